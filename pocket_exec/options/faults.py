"""Turns what pydantic finds wrong into faults in the words of the field."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import TypeAdapter, ValidationError
from pydantic_core import ErrorDetails

from pocket_exec.errors import Fault, did_you_mean
from pocket_exec.options.base import OptionField
from pocket_exec.options.parsed import shown


def faults_of(error: ValidationError, fields: Mapping[str, OptionField], origins: Mapping[str, str]) -> Iterator[Fault]:
    """Yield the faults of a validation, each with where its value comes from; one for each value."""
    told: set[str] = set()
    for details in error.errors(include_url=False):
        key = str(details["loc"][0]) if details["loc"] else ""
        where = _where(key, details["loc"][1:], fields.get(key))
        if where not in told:
            told.add(where)
            yield Fault(where, in_words(details, fields.get(key)), origin_of(where, origins))


def validated(field: OptionField, value: Any) -> Any:
    """Return ``value`` as the field takes it.

    Raises:
        ValueError: it does not; in words.
    """
    try:
        return TypeAdapter(field.annotation).validate_python(value)
    except ValidationError as error:
        details = error.errors(include_url=False)[0]
        at = _where("", details["loc"], field).strip(".")
        words = in_words(details, field)
        raise ValueError(f"{at}: {words}" if at else words) from error


def in_words(details: ErrorDetails, field: OptionField | None) -> str:
    """Return one error of pydantic's as a person would say it; the value of a secret is not in it."""
    if field is not None and field.secret:
        return "is not text; put it in quotes"
    value, context = shown(details.get("input")), details.get("ctx", {})
    match details["type"]:
        case "value_error":
            return str(context["error"])
        case "literal_error" | "enum":
            return _not_among(details.get("input"), str(context["expected"]))
        case "missing":
            return "must be set; there is no default"
        case kind if kind in _BOUNDS:
            limit, words = _BOUNDS[kind]
            return f"must be {words.format(_short(context[limit]))}, not {_short(details.get('input'))}"
        case kind:
            wanted = _TYPES.get(kind)
            said = f"{details['msg'][:1].lower()}{details['msg'][1:]}"
            return f"{value} is not {wanted}" if wanted else f"{said}, not {value}"


_BOUNDS = {
    "greater_than_equal": ("ge", "{} or more"),
    "greater_than": ("gt", "more than {}"),
    "less_than_equal": ("le", "{} or less"),
    "less_than": ("lt", "less than {}"),
}
_WHOLE, _NUMBER, _FLAG = "a whole number", "a number", "a flag; write true or false"
_TYPES = {
    **dict.fromkeys(("int_parsing", "int_type", "int_from_float", "int_parsing_size"), _WHOLE),
    **dict.fromkeys(("float_parsing", "float_type"), _NUMBER),
    **dict.fromkeys(("bool_parsing", "bool_type"), _FLAG),
    "string_type": "text; put it in quotes",
    **dict.fromkeys(("list_type", "tuple_type"), "a list; write [...]"),
    "dict_type": "a table; write {key: value}",
}
"""What a field of a user's own model may be refused for; those of this project say it themselves."""


def _short(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else shown(value)


def _not_among(value: Any, expected: str) -> str:
    words = [word.strip(" '") for word in expected.replace(" or ", ", ").split(",")]
    near = did_you_mean(value, words) if isinstance(value, str) else ""
    return f"{shown(value)} is not one of {', '.join(words)}{near}"


def _where(key: str, inner: tuple[int | str, ...], field: OptionField | None) -> str:
    """Name a value in an option; members of unions, which pydantic puts into the way, are no part of it."""
    if field is None or field.shape == "scalar" or not inner:
        return key
    first = inner[0]
    return f"{key}, item {first + 1}" if isinstance(first, int) else f"{key}.{first}"


def origin_of(where: str, origins: Mapping[str, str]) -> str:
    """Return the origin of an option, or of an entry of its table."""
    path = where.partition(",")[0]
    return origins.get(path) or origins.get(path.partition(".")[0], "")
