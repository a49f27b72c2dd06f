"""Measure this project against coffea's own executors, and say which goals are met.

    python benchmarks/run.py [--only NAME] [--quick] [--markdown FILE]

Exits with 1 if a goal is missed. What needs the batch farm of the tests is left out where that does not run.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import cheap_chunks
import click
import client_memory
import farm
import start_up
import table
import z_to_mumu
from measure import NotHereError, Row

MEASUREMENTS: dict[str, Callable[..., Iterator[Row]]] = {
    "start-up": start_up.rows,
    **{executor: partial(z_to_mumu.rows, executor) for executor in z_to_mumu.COMPARISONS},
    "memory": client_memory.rows,
    **{name: partial(farm.rows, name) for name in farm.SYSTEMS},
    "chunks": cheap_chunks.rows,
}


@click.command()
@click.option("--only", multiple=True, type=click.Choice(list(MEASUREMENTS)), help="Only this; may be repeated.")
@click.option("--quick", is_flag=True, help="Fewer rounds and events: whether it works, not what it takes.")
@click.option(
    "--markdown",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Put the tables into this file, for the documentation; those of other measurements stay in it.",
)
def main(only: tuple[str, ...], quick: bool, markdown: Path | None) -> None:
    """Measure, and print the ratios."""
    machine = table.machine()
    click.echo(machine)
    rows: dict[str, list[Row]] = {}
    for name, measured in MEASUREMENTS.items():
        if only and name not in only:
            continue
        click.echo(name)
        try:
            rows[name] = list(measured(quick=quick))
        except NotHereError as error:
            if only:
                raise click.ClickException(f"{name}: {error}") from error
            click.echo(f"  left out: {error}")
    click.echo()
    every = [row for each in rows.values() for row in each]
    table.show(every)
    if markdown is not None:
        kept = table.parts(markdown.read_text()) if markdown.exists() else {}
        new = {name: table.markdown(name, each, machine) for name, each in rows.items()}
        together = {name: {**kept, **new}[name] for name in MEASUREMENTS if name in kept or name in new}
        markdown.write_text("\n".join(together.values()))
    sys.exit(1 if any(row.verdict == "miss" for row in every) else 0)


if __name__ == "__main__":
    main()
