"""Prints the options that there are, those of a run, and what a run would do."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.text import Text

from pocket_exec.cli.columns import PROSE, print_columns
from pocket_exec.cli.foresight import foreseen
from pocket_exec.cli.terminal import Terminal
from pocket_exec.errors import Fault, OptionsError, did_you_mean
from pocket_exec.executors.registry import Registry
from pocket_exec.options.resolve import Resolved
from pocket_exec.options.show import as_yaml, json_schema, option_rows, resolved_rows
from pocket_exec.request import Prepared, Request, choose

LONGEST_FILE_LIST = 3


FIRST = ("scaleout", "queue", "walltime", "mem-per-worker", "cores-per-worker", "worker-image", "chunksize")
"""What one changes most, where an executor has it."""


def show_options_of(executor: str, custom_setup: Path | None, schema: bool, only: Sequence[str] = ()) -> None:
    """Print the options of an executor with their defaults, those that one changes most first, or their JSON schema.

    Args:
        only: the options to print; without any, all.

    Raises:
        OptionsError: those of ``only`` that there are not.
    """
    model, defaults = _options_of(executor, custom_setup)
    if schema:
        print(json.dumps(json_schema(model), indent=2))
        return
    by_key = {row.key: row for row in option_rows(model, defaults)}
    if unknown := [key for key in only if key not in by_key]:
        raise OptionsError([Fault(key, f"no such option{did_you_mean(key, by_key)}") for key in unknown])
    keys = only or (*(key for key in FIRST if key in by_key), *(key for key in by_key if key not in FIRST))
    rows = [(row.key, row.type, row.default, row.unit, row.help) for row in map(by_key.__getitem__, keys)]
    print_columns(("option", "type", "default", "unit", "meaning"), rows, PROSE)


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
    print_columns(("option", "value", "from"), rows)


def show_dry_run(prepared: Prepared, outputdir: Path | None) -> None:
    """Print what would run, where, and what would become of what is there; nothing is started or written."""
    console = Terminal(highlight=False)
    console.print(Text(f"executor   {prepared.executor.text}"))
    console.print(
        Text(f"output     {outputdir if outputdir is not None else '(a directory of its own)'}"), soft_wrap=True
    )
    for line in foreseen(prepared, outputdir) if outputdir is not None else ():
        console.print(Text(f"           {line}"), soft_wrap=True)
    console.print(Text(f"results    {', '.join(unit.name for unit in prepared.units)}"), soft_wrap=True)
    rows = [
        (dataset.name, str(len(dataset.files)), _few([file.name for file in dataset.files]))
        for dataset in prepared.fileset
    ]
    print_columns(("dataset", "files", "which"), rows)
    show_resolved(prepared.resolved, "table")
    # Another package's factory, or the user's own, may start something as soon as it is made.
    if prepared.engine_known and (jobs := prepared.make_factory(outputdir).dry_run()):
        print(f"\n{jobs}", end="")


def _few(names: list[str]) -> str:
    more = len(names) - LONGEST_FILE_LIST
    return "\n".join([*names[:LONGEST_FILE_LIST], *([f"and {more} more"] if more > 0 else [])])
