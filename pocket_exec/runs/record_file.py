"""Writes ``run.json``, reads what is there, and tells what its fields mean."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from pydantic import ValidationError

from pocket_exec.runs.atomic import atomic_write
from pocket_exec.runs.record import RunRecord


class ReadRecord(NamedTuple):
    """A record, or why there is none."""

    record: RunRecord | None
    reason: str
    """Empty where there is a record."""


def write_record(path: Path, record: RunRecord) -> None:
    """Write a record, whole or not at all; raises OutputDirectoryError when the storage fails."""
    text = record.model_dump_json(indent=2) + "\n"

    def write(stream: BinaryIO) -> None:
        stream.write(text.encode())

    atomic_write(path, write)


def read_record(path: Path) -> ReadRecord:
    """Return the record at ``path``; a missing, torn or foreign one is None and a reason."""
    try:
        text = path.read_bytes()
    except FileNotFoundError:
        return ReadRecord(None, f"there is no {path.name}")
    except OSError as error:
        return ReadRecord(None, f"{path.name} cannot be read: {error.strerror or error}")
    try:
        return ReadRecord(RunRecord.model_validate_json(text), "")
    except ValidationError as error:
        return ReadRecord(None, f"{path.name} is not a record that can be used: {_first(error)}")


def record_json_schema() -> dict[str, Any]:
    """Return the JSON schema of ``run.json``."""
    schema = RunRecord.model_json_schema(mode="serialization")
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}


def record_markdown() -> str:
    """Return the documentation of ``run.json``: a Markdown table for the record and for each kind of row in it."""
    schema = record_json_schema()
    parts = {"run.json": schema, **schema["$defs"]}
    return "\n\n".join(_table(name, part) for name, part in parts.items() if "properties" in part) + "\n"


def _table(name: str, part: Mapping[str, Any]) -> str:
    rows = [f"| `{field}` | {_type(of)} | {of['description']} |" for field, of in part["properties"].items()]
    return "\n".join([f"## {name}", "", "| field | type | meaning |", "|---|---|---|", *rows])


def _type(of: Mapping[str, Any]) -> str:
    match of:
        case {"$ref": str(ref)}:
            return ref.rpartition("/")[2]
        case {"anyOf": list(choices)}:
            return " or ".join(map(_type, choices))
        case {"const": value}:
            return str(value)
        case {"type": "array", "items": items}:
            return f"list of {_type(items)}"
        case {"type": "object", "additionalProperties": values}:
            return f"table of {_type(values)}"
        case _:
            return "time" if of.get("format") == "date-time" else str(of.get("type", "any"))


def _first(error: ValidationError) -> str:
    fault = error.errors(include_url=False)[0]
    place = ".".join(map(str, fault["loc"]))
    return f"{place}: {fault['msg']}" if place else fault["msg"]
