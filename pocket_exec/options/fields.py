"""The types of option fields: what each takes from YAML, Python and the command line, and how it refuses the rest."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field

from pocket_exec.options.parsed import shown
from pocket_exec.options.quantities import Duration


@dataclass(frozen=True)
class Unit:
    """What a field's number counts: ``events``, ``cores``."""

    text: str


@dataclass(frozen=True)
class Kind:
    """A field's type in the words of the help."""

    text: str


@dataclass(frozen=True)
class WithoutEffect:
    """Marks a published option that is accepted, and does nothing here; ``why`` finishes "has no effect: "."""

    why: str


@dataclass(frozen=True)
class KnownAs:
    """What other tools call this option; a user who writes that is told the name here."""

    names: tuple[str, ...]


def known_as(*names: str) -> KnownAs:
    """Return the mark for an option that other tools call ``names``."""
    return KnownAs(names)


_TRUE = {"true", "yes", "on", "1", "y"}
_FALSE = {"false", "no", "off", "0", "n"}


def _flag(value: Any) -> bool:
    word = str(value).strip().lower()
    if isinstance(value, bool | int | str) and word in _TRUE | _FALSE:
        return word in _TRUE
    raise ValueError(f"{shown(value)} is not a flag; write true or false")


def _whole_number(value: Any) -> int:
    number = _number_in(value)
    if number is None or not math.isfinite(number) or number != int(number):
        raise ValueError(f"{shown(value)} is not a whole number{_null_hint(value)}")
    return int(number)


def _chunksize(value: Any) -> int | str:
    if isinstance(value, str) and value.strip().lower() == "auto":
        return "auto"
    try:
        return _whole_number(value)
    except ValueError as error:
        raise ValueError(f"{shown(value)} is neither a whole number nor 'auto'") from error


def _number(value: Any) -> float:
    number = _number_in(value)
    if number is None or math.isnan(number):
        raise ValueError(f"{shown(value)} is not a number{_null_hint(value)}")
    return float(number)


def _number_in(value: Any) -> int | float | None:
    """Return the number that a value is or says: ``100_000`` and ``1e5`` are what people write for chunk sizes."""
    if isinstance(value, bool):
        return None
    if isinstance(value, int | float):
        return value
    if hasattr(value, "__index__"):
        return int(value.__index__())
    try:
        return int(value) if re.fullmatch(r"\s*[-+]?[\d_]+\s*", value, re.ASCII) else float(value)
    except (TypeError, ValueError):
        return None


def _null_hint(value: Any) -> str:
    return "; write null for none" if isinstance(value, str) and value.strip().lower() in ("none", "") else ""


def _share(value: Any) -> float:
    return 0.0 if value is False or value in ("false", "off") else _number(value)


def _text(value: Any) -> str:
    if isinstance(value, os.PathLike):
        value = os.fspath(value)
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    if not isinstance(value, str):
        return _refuse_text(value)
    if "\0" in value:
        raise ValueError("a NUL character cannot stand in an option")
    return value


def _refuse_text(value: Any) -> str:
    if isinstance(value, bool | float):
        kind = "a flag" if isinstance(value, bool) else "a number"
        raise ValueError(f"{shown(value)} is {kind}, not text; put what you mean in quotes")  # noqa: TRY004 - pydantic's
    if value is None:
        raise ValueError("null is not text; write '' for none")
    hint = "; a line with ': ' in it goes in quotes" if isinstance(value, Mapping) else ""
    raise ValueError(f"{shown(value)} is not text{hint}")


def _one_line(text: str) -> str:
    if "\n" in text.strip() or "\r" in text.strip():
        raise ValueError(f"{text!r} holds a line break; write it in one line")
    return text.strip()


def _address(text: str) -> str:
    if not re.fullmatch(r"[a-z][a-z0-9+.-]*://[^\s/]\S*", text):
        raise ValueError(f"{text!r} is not an address; write it as 'tls://host:8786'")
    return text


def _list(value: Any) -> Any:
    if value is None:
        return ()
    if isinstance(value, str | os.PathLike):
        return (value,)
    if isinstance(value, list | tuple):
        return tuple(value)
    raise ValueError(f"{shown(value)} is not a list; write [{shown(value) if isinstance(value, int) else '...'}]")


def _table(value: Any) -> Any:
    """Take a table; a key whose value is null is one that the user took away, and null is the empty table."""
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise ValueError(f"{shown(value)} is not a table; write {{key: value}}")  # noqa: TRY004 - pydantic's
    return {str(key): item for key, item in value.items() if item is not None}


def _whole_table(value: Any) -> Any:
    """Take a table in which null is a value like any other."""
    return dict(value) if isinstance(value, Mapping) else _table(value)


def _setting(value: Any) -> bool | str | None:
    if value is None:
        return None
    if isinstance(value, bool | str):
        return _text(value) if isinstance(value, str) else value
    return repr(value) if isinstance(value, float) else _text(value)


# Bounds stand before the validator: pydantic applies them to the number that it returns.
Flag = Annotated[bool, BeforeValidator(_flag), Kind("flag")]
Positive = Annotated[int, Field(ge=1), BeforeValidator(_whole_number), Kind("whole number from 1")]
ChunkSize = Annotated[
    Annotated[int, Field(ge=1)] | Literal["auto"], BeforeValidator(_chunksize), Kind("whole number from 1, or auto")
]
NotNegative = Annotated[int, Field(ge=0), BeforeValidator(_whole_number), Kind("whole number from 0")]
Port = Annotated[int, Field(ge=0, le=65535), BeforeValidator(_whole_number), Kind("port")]
Share = Annotated[float, Field(ge=0, le=1), BeforeValidator(_share), Kind("number from 0 to 1")]
Lines = Annotated[str, BeforeValidator(_text), Kind("text")]
"""Text of any number of lines: a piece of shell."""
Text = Annotated[str, BeforeValidator(_text), AfterValidator(_one_line), Kind("text")]
Address = Annotated[str, BeforeValidator(_text), AfterValidator(_one_line), AfterValidator(_address), Kind("address")]
Texts = Annotated[tuple[Text, ...], BeforeValidator(_list), Kind("list of text")]
Commands = Annotated[tuple[Lines, ...], BeforeValidator(_list), Kind("list of shell commands")]
TextTable = Annotated[dict[str, Text], BeforeValidator(_table), Kind("table of text")]
Groups = Annotated[dict[str, Texts], BeforeValidator(_table), Kind("table of lists")]
Durations = Annotated[dict[str, Duration], BeforeValidator(_table), Kind("table of durations")]
Settings = Annotated[
    dict[str, Annotated[bool | str | None, BeforeValidator(_setting)]],
    BeforeValidator(_whole_table),
    Kind("table of settings"),
]
"""Words for a batch system, passed on as they are; ``true`` is left to the batch system's own spelling, and null takes
away what this program would write."""
Anything = Annotated[dict[str, Any], BeforeValidator(_whole_table), Kind("table")]
