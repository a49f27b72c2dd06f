"""Generates the parts of the documentation that the code knows: option tables, help texts, the schema of run.json.

    python docs/generate.py

Sphinx calls it before it reads the pages that include what is written to ``docs/generated``.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import click

from pocket_exec.cli.commands import program, run_command
from pocket_exec.executors.registry import Registry
from pocket_exec.options.defaults import defaults_layers, known_sites, model_for
from pocket_exec.options.show import options_markdown
from pocket_exec.runs.record_file import record_json_schema

OPTION_TABLES = ("iterative", "futures", "dask@local", "dask@tls")


def main(directory: Path) -> None:
    """Write everything into ``directory``."""
    directory.mkdir(parents=True, exist_ok=True)
    schema = record_json_schema()
    pages = {
        "options.md": "\n\n".join(option_tables()),
        "executors.md": "\n".join(executor_table()),
        "cli.md": "\n\n".join(help_texts()),
        "run_record.md": "\n\n".join(schema_tables(schema)),
        "benchmarks.md": benchmark_table(),
        "run.schema.json": json.dumps(schema, indent=2),
    }
    for name, text in pages.items():
        path = directory / name
        # What is unchanged keeps its time, so that Sphinx does not read its page again.
        if not path.exists() or path.read_text() != f"{text}\n":
            path.write_text(f"{text}\n")


def option_tables() -> Iterator[str]:
    """Yield a section with a table for each executor."""
    sites = {site.executor for site in known_sites().values()}
    for executor in (*OPTION_TABLES, *sorted(sites - set(OPTION_TABLES))):
        yield f"## `{executor}`"
        yield options_markdown(model_for(executor), defaults_layers(executor))


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


def _type(field: Mapping[str, Any], parts: Mapping[str, Any]) -> str:
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
