"""Measure this project against coffea's own executors and loops written by hand, and say which goals are met.

    python benchmarks/run.py [--only NAME] [--all] [--quick] [--markdown FILE]

Exits with 1 if a goal is missed. What the machine lacks the means for is left out.
"""

from __future__ import annotations

import importlib
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import click
import table
from measure import NotHereError, Row

GOALS = {
    "zmumu": ("two_workers", "rows"),
    "chunks": ("cheap_chunks", "rows"),
    "http": ("remote", "rows", "http"),
    "xrootd": ("remote", "rows", "xrootd"),
    "futures-scaling": ("two_workers", "futures_rows"),
    "scheduling": ("scheduling", "rows"),
    "accumulators": ("accumulators", "rows"),
    "ledger": ("whole_runs", "ledger_rows"),
    "lost-worker": ("lost_worker", "rows"),
    "first-chunk": ("whole_runs", "first_chunk_rows"),
}
"""What the engine is held to: measurements by name, each a function of a module and its arguments."""
OTHERS = {
    "start-up": ("start_up", "rows"),
    "iterative": ("z_to_mumu", "rows", "iterative"),
    "futures": ("z_to_mumu", "rows", "futures"),
    "dask": ("z_to_mumu", "rows", "dask"),
    "memory": ("client_memory", "rows"),
    "slow-network": ("slow_network", "rows"),
}
"""Whole processes as users start them."""
FARM = {name: ("farm", "rows", name) for name in ("farm-htcondor", "farm-slurm")}
"""Only by name: an hour, and the batch farm of the tests."""
MEASUREMENTS = {**GOALS, **OTHERS, **FARM}


@click.command()
@click.option("--only", multiple=True, type=click.Choice(list(MEASUREMENTS)), help="Only this; may be repeated.")
@click.option("--all", "everything", is_flag=True, help="Whole processes too; the farm is measured by its name only.")
@click.option("--quick", is_flag=True, help="One or two rounds of little: whether it works, not what it takes.")
@click.option(
    "--markdown",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Put the tables into this file, for the documentation; those of other measurements stay in it.",
)
def main(only: tuple[str, ...], everything: bool, quick: bool, markdown: Path | None) -> None:
    """Measure, and print the ratios."""
    machine = table.machine()
    click.echo(machine)
    every: list[Row] = []
    for name in only or [*GOALS, *(OTHERS if everything else ())]:
        began = time.monotonic()
        click.echo(name)
        rows: list[Row] = []
        misses: list[str] = []
        try:
            for row in _measurement(name)(quick=quick):
                rows.append(row)
                if row.verdict == "miss" and not quick:
                    misses.append(table.miss(row))
        except NotHereError as error:
            if only:
                raise click.ClickException(f"{name}: {error}") from error
            click.echo(f"  left out: {error}")
            continue
        table.show(rows)
        click.echo("\n".join(misses))
        click.echo(f"{name} took {time.monotonic() - began:.0f} s\n")
        every += rows
        if markdown is not None:
            kept = table.parts(markdown.read_text()) if markdown.exists() else {}
            kept[name] = table.markdown(name, rows, misses, machine)
            markdown.write_text("\n".join(kept[each] for each in MEASUREMENTS if each in kept))
    table.show(every)
    sys.exit(1 if any(row.verdict == "miss" for row in every) else 0)


def _measurement(name: str) -> Callable[..., Iterator[Row]]:
    """Return a measurement's function; what one of them imports is not in the memory of another's processes."""
    module, function, *arguments = MEASUREMENTS[name]
    try:
        imported = importlib.import_module(module)
    except ModuleNotFoundError as error:
        raise NotHereError(f"{error}") from error
    return partial(getattr(imported, function), *arguments)


if __name__ == "__main__":
    main()
