"""Renders options: rows for tables, YAML that can be fed back, the JSON schema for editors, Markdown for the docs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any

import yaml
from pydantic import BaseModel, SecretStr

from pocket_exec.options.base import OptionField, Options
from pocket_exec.options.defaults import KINDS
from pocket_exec.options.keys import CUSTOM
from pocket_exec.options.layers import Layer, stack
from pocket_exec.options.quantities import Duration, Size, TimeOfDay
from pocket_exec.options.resolve import Resolved

_HIDDEN = "***"


@dataclass(frozen=True)
class OptionRow:
    """One option as the help shows it."""

    key: str
    type: str
    default: str
    """Its default as YAML text; empty where there is none, and the user must set it."""
    unit: str
    help: str
    origin: str
    """Where the default stands."""


@dataclass(frozen=True)
class ValueRow:
    """One option as a run uses it; a table is a row for each of its entries."""

    key: str
    """Dotted for the entry of a table."""
    value: str
    """As YAML text; ``***`` for a secret."""
    origin: str


def option_rows(model: type[Options], defaults: Sequence[Layer]) -> list[OptionRow]:
    """Return a row for each option of ``model``, with the default that ``defaults`` stack up to."""
    stacked, meanings = stack(defaults), model.option_help()
    return [
        OptionRow(
            key=key,
            type=option.type,
            default=flow_text(stacked.values[key]) if key in stacked.values else _default_in_code(model, option),
            unit=option.unit,
            help=meanings[key],
            origin=_origin(key, stacked.origins),
        )
        for key, option in model.option_fields().items()
    ]


def resolved_rows(resolved: Resolved[Options]) -> list[ValueRow]:
    """Return the options of a run, each with its origin, and the keys of the user's own factory behind them."""
    rows: list[ValueRow] = []
    for key, option in type(resolved.options).option_fields().items():
        value = resolved.options.option_value(key)
        if option.shape == "table" and value:
            rows.extend(
                ValueRow(f"{key}.{entry}", flow_text(item), _entry_origin(resolved, key, entry))
                for entry, item in value.items()
            )
        else:
            text = _HIDDEN if option.secret and value is not None else flow_text(value)
            rows.append(ValueRow(key, text, _own_origin(resolved, key)))
    rows.extend(ValueRow(key, flow_text(value), resolved.origin(key)) for key, value in resolved.custom.items())
    return rows


def as_yaml(resolved: Resolved[Options]) -> str:
    """Return the options of a run as YAML that gives the same options again.

    Entries of tables that a default has and the user took away are null. Secrets are left out, with a comment.
    """
    values: dict[str, Any] = {}
    hidden: list[str] = []
    for key, option in type(resolved.options).option_fields().items():
        value = resolved.options.option_value(key)
        if option.secret and value is not None:
            hidden.append(key)
        elif option.shape == "table" and option.text_items:
            gone = dict.fromkeys(resolved.table_keys.get(key, ()))
            # A null in place of the table empties it; an entry that is null may take away more than a default.
            values[key] = plain_data({**gone, **value}) if value or not gone else None
        else:
            values[key] = plain_data(value)
    if resolved.custom:
        values[CUSTOM] = plain_data(resolved.custom)
    head = [f"# {resolved.executor}", *(f"# {key}: a secret, left out" for key in hidden)]
    return "\n".join(head) + "\n" + yaml.dump(values, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=120)


def json_schema(model: type[Options], executors: Iterable[str] = ()) -> dict[str, Any]:
    """Return the JSON schema of a file of run options: nothing is required, unknown keys are wrong, sections may be.

    Args:
        model: the options of the running executor.
        executors: further executor strings that a section may be named by.
    """
    schema = model.model_json_schema(by_alias=True)
    options = schema["properties"]
    for option in options.values():
        option.pop("title", None)
        option.pop("default", None)
        option["description"] = " ".join(option.get("description", "").split())
    section = {"type": ["object", "null"], "description": "Options for these executors only."}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": f"Run options ({model.__name__.removesuffix('Options')})",
        "type": "object",
        "properties": {
            **options,
            **dict.fromkeys(("general", *KINDS, *executors), section),
            CUSTOM: {"type": ["object", "null"], "description": "Keys of a factory of your own."},
        },
        "patternProperties": {"^[a-z]+@.+$": section},
        "additionalProperties": False,
        **({"$defs": schema["$defs"]} if "$defs" in schema else {}),
    }


def options_markdown(model: type[Options], defaults: Sequence[Layer]) -> str:
    """Return a Markdown table of the options, for the documentation."""
    lines = ["| option | type | default | unit | meaning |", "|---|---|---|---|---|"]
    for row in option_rows(model, defaults):
        default = f"`{row.default}`" if row.default else "must be set"
        cells = (f"`{row.key}`", row.type, default, row.unit, row.help)
        lines.append(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |")
    return "\n".join(lines) + "\n"


def flow_text(value: Any) -> str:
    """Return a value as one line of YAML.

    >>> flow_text({"a": None, "b": ["x y", True]})
    '{a: null, b: [x y, true]}'
    """
    text: str = yaml.dump(
        plain_data(value), Dumper=_Dumper, default_flow_style=True, sort_keys=False, allow_unicode=True, width=10**9
    )
    return text.removesuffix("...\n").rstrip("\n")


def plain_data(value: Any) -> Any:
    """Return a value in the types that YAML and JSON have; a size, a duration or a time as its text.

    A secret is ``***``; what has no such form is its ``repr``.
    """
    if isinstance(value, BaseModel):
        value = value.model_dump(by_alias=True)
    if isinstance(value, Mapping):
        return {str(key): plain_data(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [plain_data(item) for item in value]
    if isinstance(value, Size | Duration | TimeOfDay | str | PurePath):
        return str(value)
    if value is None or isinstance(value, bool | int | float):
        return value
    return _HIDDEN if isinstance(value, SecretStr) else repr(value)


class _Dumper(yaml.SafeDumper):
    """Writes text that this project's reader, or any other of YAML 1.1, would take for something else in quotes."""

    def ignore_aliases(self, data: Any) -> bool:
        """Write a value that stands in two places twice."""
        return True

    def represent_text(self, data: str) -> yaml.ScalarNode:
        """Escape line breaks other than the common one, which PyYAML writes so that no YAML reader gets them back."""
        style = '"' if set(data) & _OTHER_BREAKS else None
        return self.represent_scalar("tag:yaml.org,2002:str", data, style=style)


_OTHER_BREAKS = set("\r\x85\u2028\u2029")
_Dumper.add_representer(str, _Dumper.represent_text)


def _default_in_code(model: type[Options], option: OptionField) -> str:
    info = model.model_fields[option.name]
    return "" if info.is_required() else flow_text(info.get_default(call_default_factory=True, validated_data={}))


def _origin(key: str, origins: Mapping[str, str]) -> str:
    entries = [origin for path, origin in origins.items() if path.startswith(f"{key}.")]
    return ", ".join(dict.fromkeys(entries)) or origins.get(key, "")


def _own_origin(resolved: Resolved[Options], key: str) -> str:
    return resolved.origins.get(key) or resolved.origin(key) or "default of the factory's Options"


def _entry_origin(resolved: Resolved[Options], key: str, entry: str) -> str:
    return resolved.origins.get(f"{key}.{entry}") or _own_origin(resolved, key)
