"""Gives the text of a flag the form that YAML would have given it, by the type of its option."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pocket_exec.options.base import OptionField
from pocket_exec.options.parsed import shown
from pocket_exec.options.yaml_text import parse_value

_NULL = ("null", "Null", "NULL", "~", "none", "None")


def parse_flag(option: OptionField, value: Any) -> Any:
    """Return what a flag's text says; numbers, sizes and durations stay text for the option's type to read.

    Args:
        value: text, None for a flag alone, or for a table a mapping of its entries' texts.

    Raises:
        ValueError: it is not of the option's shape.
    """
    if isinstance(value, Mapping):
        return _entries(option, value)
    if value is None and option.is_flag:
        return True
    if value is None:
        raise ValueError(f"needs a value ({option.type}), as --{option.key}=...")
    return _parsed(option, value) if isinstance(value, str) else value


def _parsed(option: OptionField, value: str) -> Any:
    if option.nullable and value in _NULL:
        return None
    match option.shape:
        case "table":
            return _table(option, value)
        case "list":
            return parse_value(value) if value.lstrip().startswith("[") else [value]
        case "scalar":
            return value


def _table(option: OptionField, text: str) -> dict[str, Any]:
    table = parse_value(text) if text.lstrip().startswith("{") else None
    if not isinstance(table, dict):
        what = f"is not a table; write '{{key: value}}', or -O {option.key}.key=value"
        raise ValueError(f"{shown(text)} {what}")  # noqa: TRY004 - it is the text that is wrong
    return table


def _entries(option: OptionField, entries: Mapping[str, Any]) -> dict[str, Any]:
    if option.shape != "table":
        key = next(iter(entries))
        raise ValueError(f"is no table, so there is no '{option.key}.{key}'")
    return {key: _entry(option, text) for key, text in entries.items()}


def _entry(option: OptionField, text: Any) -> Any:
    if not isinstance(text, str):
        return text
    if text in ("null", "~"):
        return None
    if not option.text_items or text.lstrip().startswith("["):
        return parse_value(text)
    return text
