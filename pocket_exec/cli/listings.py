"""Prints what there is to choose from: executors, options, and what a run would do."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from rich.table import Table
from rich.text import Text

from pocket_exec.cli.terminal import Terminal
from pocket_exec.executors.registry import Registry
from pocket_exec.options.defaults import known_sites
from pocket_exec.options.resolve import Resolved
from pocket_exec.options.show import as_yaml, json_schema, option_rows, resolved_rows
from pocket_exec.request import Prepared, Request, choose

LONGEST_FILE_LIST = 3


def show_sites() -> None:
    """Print all executors; those whose workers this version cannot start yet are marked."""
    sites = known_sites()
    batch = {name: site.batch_system for site in sites.values() for name in (site.executor, *site.aliases)}
    registry = Registry.installed()
    rows = [(entry.name, batch.get(entry.name) or "-", entry.source, entry.target) for entry in registry.entries()]
    there = {row[0] for row in rows}
    rows += [
        (site.executor, site.batch_system or "-", "defaults only", site.description)
        for site in sites.values()
        if site.executor not in there
    ]
    _print(_table(("executor", "batch system", "source", "factory or site"), sorted(rows)))


def show_options_of(executor: str, custom_setup: Path | None, schema: bool) -> None:
    """Print the options of an executor with their defaults, or their JSON schema."""
    model, defaults = _options_of(executor, custom_setup)
    if schema:
        print(json.dumps(json_schema(model), indent=2))
        return
    rows = [(row.key, row.type, row.default, row.unit, row.help) for row in option_rows(model, defaults)]
    _print(_table(("option", "type", "default", "unit", "meaning"), rows))


def _options_of(executor: str, custom_setup: Path | None) -> tuple[Any, Sequence[Any]]:
    from pocket_exec.options.defaults import built_in_executors, defaults_layers, model_for, same_executor

    # What this project has itself needs no factory, which would bring Dask along.
    if custom_setup is None and same_executor(executor) in built_in_executors():
        return model_for(executor), defaults_layers(executor)
    choice = choose(Request(executor=executor, custom_setup=custom_setup), Registry.installed())
    return choice.model, choice.defaults


def show_resolved(resolved: Resolved[Any], form: str) -> None:
    """Print each option with its value and where that came from; ``yaml`` can be fed back."""
    if form == "yaml":
        print(as_yaml(resolved), end="")
        return
    rows = [(row.key, row.value, row.origin) for row in resolved_rows(resolved)]
    _print(_table(("option", "value", "from"), rows))


def show_dry_run(prepared: Prepared, outputdir: Path | None) -> None:
    """Print what would run and where; nothing is started or written."""
    console = Terminal(highlight=False)
    console.print(Text(f"executor   {prepared.executor.text}"))
    console.print(Text(f"output     {outputdir if outputdir is not None else '(a directory of its own)'}"))
    console.print(Text(f"results    {', '.join(unit.name for unit in prepared.units)}"))
    rows = [
        (dataset.name, str(len(dataset.files)), _few([file.name for file in dataset.files]))
        for dataset in prepared.fileset
    ]
    console.print(_table(("dataset", "files", "which"), rows))
    show_resolved(prepared.resolved, "table")


def _few(names: list[str]) -> str:
    more = len(names) - LONGEST_FILE_LIST
    return "\n".join([*names[:LONGEST_FILE_LIST], *([f"and {more} more"] if more > 0 else [])])


def _table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold", show_edge=False)
    for heading in headings:
        table.add_column(heading, overflow="fold")
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))
    return table


def _print(table: Table) -> None:
    """Print for a terminal; a pipe gets lines that are not cut at 80 columns."""
    console = Terminal(highlight=False)
    if not console.is_terminal:
        console = Terminal(highlight=False, width=240)
    console.print(table)
