"""Measure this project against coffea's own executors, and say which goals are met.

    python benchmarks/run.py [--only NAME] [--quick] [--markdown FILE]

Exits with 1 if a goal is missed.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import click
import client_memory
import start_up
import table
import z_to_mumu
from measure import Row

MEASUREMENTS: dict[str, Callable[..., Iterator[Row]]] = {
    "start-up": start_up.rows,
    **{executor: partial(z_to_mumu.rows, executor) for executor in z_to_mumu.COMPARISONS},
    "memory": client_memory.rows,
}


@click.command()
@click.option("--only", multiple=True, type=click.Choice(list(MEASUREMENTS)), help="Only this; may be repeated.")
@click.option("--quick", is_flag=True, help="Fewer rounds and events: whether it works, not what it takes.")
@click.option("--markdown", type=click.Path(path_type=Path), help="Write the table here, for the documentation.")
def main(only: tuple[str, ...], quick: bool, markdown: Path | None) -> None:
    """Measure, and print the ratios."""
    machine = table.machine()
    click.echo(machine)
    rows = []
    for name, measured in MEASUREMENTS.items():
        if not only or name in only:
            click.echo(name)
            rows += list(measured(quick=quick))
    click.echo()
    table.show(rows)
    if markdown is not None:
        markdown.write_text(table.markdown(rows, machine))
    sys.exit(1 if any(row.verdict == "miss" for row in rows) else 0)


if __name__ == "__main__":
    main()
