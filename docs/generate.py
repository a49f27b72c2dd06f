"""Generates the parts of the documentation that the code knows: option tables, help texts, the schema of run.json.

    python docs/generate.py

Sphinx calls it before it reads the pages that include what is written to ``docs/generated``.
"""

from __future__ import annotations

import ast
import inspect
import itertools
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from pocket_exec.cli.commands import program, run_command
from pocket_exec.executors.registry import Registry
from pocket_exec.options.defaults import BATCH_SYSTEMS, defaults_layers, known_sites, model_for
from pocket_exec.options.layers import Layer
from pocket_exec.options.model import BatchOptions, GeneralOptions
from pocket_exec.options.show import option_rows, options_markdown
from pocket_exec.runs.record_file import record_json_schema
from pocket_exec.worker.statuses import WorkerExit


def main(directory: Path) -> None:
    """Write everything into ``directory``."""
    directory.mkdir(parents=True, exist_ok=True)
    schema = record_json_schema()
    pages = {
        "options.md": "\n\n".join(option_tables()),
        "executors.md": "\n".join(executor_table()),
        "cli.md": "\n\n".join(help_texts()),
        "run_record.md": "\n\n".join(schema_tables(schema)),
        "worker_statuses.md": "\n".join(worker_statuses()),
        "benchmarks.md": benchmark_table(),
        "run.schema.json": json.dumps(schema, indent=2),
    }
    for name, text in pages.items():
        path = directory / name
        # What is unchanged keeps its time, so that Sphinx does not read its page again.
        if not path.exists() or path.read_text() != f"{text}\n":
            path.write_text(f"{text}\n")


def option_tables() -> Iterator[str]:
    """Yield a section for each kind, batch system and site: the options it adds, and the defaults it changes."""
    general = OptionTable.of("iterative", title="Every executor")
    dask = OptionTable.of("dask@local", title="`dask`, `dask@local`")
    scheduler = OptionTable.of("dask@tls", title="`dask@tls://...`, `dask@tcp://...`")
    # Without the layer of one batch system, what is left is common to all.
    batch = OptionTable("Every batch system", BatchOptions, defaults_layers("dask@htcondor")[:-1])
    systems = {name: OptionTable.of(f"dask@{name}") for name in BATCH_SYSTEMS}

    yield from general.section()
    yield from OptionTable.of("futures").section(beside=general)
    yield from dask.section(beside=general)
    yield from scheduler.section(beside=dask)
    yield from batch.section(beside=dask)
    for system in systems.values():
        yield from system.section(beside=batch)
    for site in known_sites().values():
        base = scheduler if site.batch_system == "scheduler" else systems.get(site.batch_system, dask)
        yield from OptionTable.of(site.executor).section(beside=base, about=site.description)


def worker_statuses() -> Iterator[str]:
    """Yield a table of the exit statuses of workers that could not start, from the text under each of them."""
    [kind] = [node for node in ast.parse(inspect.getsource(WorkerExit)).body if isinstance(node, ast.ClassDef)]
    yield "| status | |"
    yield "|---|---|"
    for member, text in itertools.pairwise(kind.body):
        if isinstance(member, ast.Assign) and isinstance(text, ast.Expr) and isinstance(text.value, ast.Constant):
            yield f"| {ast.literal_eval(member.value)} | {str(text.value.value).replace('``', '`')} |"


@dataclass(frozen=True)
class OptionTable:
    """The options of an executor with their defaults."""

    title: str
    model: type[GeneralOptions]
    defaults: Sequence[Layer]

    @classmethod
    def of(cls, executor: str, title: str = "") -> OptionTable:
        """Return the table of a known executor."""
        return cls(title or f"`{executor}`", model_for(executor), defaults_layers(executor))

    def section(self, beside: OptionTable | None = None, about: str = "") -> Iterator[str]:
        """Yield heading and table; of what is in the table ``beside`` too, only what is different."""
        heading, rule, *lines = options_markdown(self.model, self.defaults).splitlines()
        known = beside.default_by_key() if beside else {}
        told = [key for key, default in self.default_by_key().items() if known.get(key) != default]
        lines = [line for line in lines if line.startswith(tuple(f"| `{key}` |" for key in told))]
        yield f"## {self.title}"
        if about:
            yield about.rstrip(".") + "."
        if beside and lines:
            yield f"As {beside.title[:1].lower()}{beside.title[1:]}, and:"
        yield "\n".join([heading, rule, *lines]) if lines else f"The same as {beside.title.lower() if beside else ''}."

    def default_by_key(self) -> dict[str, str]:
        """Return the default of each option as text."""
        return {row.key: row.default for row in option_rows(self.model, self.defaults)}


def executor_table() -> Iterator[str]:
    """Yield the lines of a table of all executors that this package brings."""
    yield "| executor | factory |"
    yield "|---|---|"
    for entry in Registry.installed().entries():
        if entry.source.startswith("pocket-exec "):
            yield f"| `{entry.name}` | `{entry.target.partition(':')[2]}` |"


def help_texts() -> Iterator[str]:
    """Yield the help of each command."""
    yield from _help("runner.py", run_command)
    for name, command in sorted(program.commands.items()):
        if command is not run_command:
            yield from _help(f"pocket-exec {name}", command)


def _help(name: str, command: click.Command) -> Iterator[str]:
    context = click.Context(command, info_name=name, terminal_width=100, max_content_width=100)
    yield f"## `{name}`"
    yield f"```text\n{command.get_help(context)}\n```"


def schema_tables(schema: Mapping[str, Any]) -> Iterator[str]:
    """Yield a table of the record's fields, and one for each object in it."""
    parts = schema.get("$defs", {})
    yield "## The record"
    yield "\n".join(_fields(schema, parts))
    for name, part in parts.items():
        if "properties" in part:
            yield f"## {name}"
            yield part.get("description", "")
            yield "\n".join(_fields(part, parts))


def _fields(part: Mapping[str, Any], parts: Mapping[str, Any]) -> Iterator[str]:
    yield "| field | type | meaning |"
    yield "|---|---|---|"
    for name, field in part["properties"].items():
        meaning = " ".join(field.get("description", "").split()).replace("|", "\\|")
        yield f"| `{name}` | {_type(field, parts)} | {meaning} |"


def _type(field: Mapping[str, Any], parts: Mapping[str, Any]) -> str:  # noqa: PLR0911 (a table of cases)
    match field:
        case {"$ref": str(target)}:
            name = target.rpartition("/")[2]
            return f"[{name}](#{name.lower()})" if "properties" in parts[name] else _type(parts[name], parts)
        case {"anyOf": list(choices)}:
            return " or ".join(_type(choice, parts) for choice in choices)
        case {"enum": list(values)}:
            return "one of its words" if len(values) > 3 else " or ".join(f"`{value}`" for value in values)
        case {"const": value}:
            return f"`{value}`"
        case {"type": "array", "items": {**items}}:
            return f"list of {_type(items, parts)}"
        case {"type": "object", "additionalProperties": {**values}}:
            return f"mapping to {_type(values, parts)}"
        case {"type": "string", "format": form}:
            return str(form)
        case {"type": kind}:
            return str(kind)
    return "anything"


def benchmark_table() -> str:
    """Return the last measurement that was kept, where there is one."""
    kept = Path(__file__).parent / "benchmarks_table.md"
    return kept.read_text().strip() if kept.exists() else "This copy of the documentation has no measurements."


if __name__ == "__main__":
    main(Path(__file__).parent / "generated")
