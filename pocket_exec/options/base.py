"""The base of all option models: kebab-case keys, help from the docstrings, no default in code."""

from __future__ import annotations

import functools
import types
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import ConfigDict, SecretStr
from pydantic.fields import FieldInfo

from pocket_exec.options.documented import Documented
from pocket_exec.options.fields import Kind, KnownAs, Unit, WithoutEffect
from pocket_exec.options.ports import PortRange
from pocket_exec.options.quantities import Duration, Seconds, Size, TimeOfDay

Shape = Literal["scalar", "list", "table"]


@dataclass(frozen=True)
class OptionField:
    """One option as its model declares it."""

    key: str
    """Its name in YAML and, behind ``--``, on the command line."""
    name: str
    """Its attribute on the model."""
    type: str
    """What it takes, in words."""
    unit: str
    """What its number counts; empty where its type says it, or where it is no number."""
    shape: Shape
    """Whether it holds one value, a list, or a table."""
    is_flag: bool
    nullable: bool
    secret: bool
    """Whether its value must not be shown."""
    text_items: bool
    """Whether it is a table whose values are of one type that reads text, where null takes an entry away; else
    values are what YAML makes of them, null too."""
    annotation: Any
    """Its whole type, with pydantic's validators and bounds."""
    without_effect: str = ""
    """Why it does nothing; empty where it does something."""
    known_as: tuple[str, ...] = ()
    """What other tools call it."""


def kebab(name: str) -> str:
    """Return an attribute's name as a key: ``mem_per_worker`` is ``mem-per-worker``."""
    return name.replace("_", "-")


class Options(Documented):
    """Options of an executor, all resolved.

    A field's docstring is its help. A model of this project has no default in code: defaults are in
    ``executor_defaults``. A model of a user's factory may give its fields defaults.
    """

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        alias_generator=kebab,
        populate_by_name=True,
        defer_build=True,
        hide_input_in_errors=True,
    )

    @classmethod
    def option_fields(cls) -> dict[str, OptionField]:
        """Return what the model declares, by key, in the order of declaration."""
        return _described(cls)

    @classmethod
    def option_help(cls) -> dict[str, str]:
        """Return what each option means, by key, on one line."""
        docs = cls.field_docs()
        return {key: " ".join(docs.get(field.name, "").split()) for key, field in cls.option_fields().items()}

    def option_value(self, key: str) -> Any:
        """Return the value of the option ``key``, kebab-case.

        Raises:
            KeyError: the model has no such option.
        """
        return getattr(self, type(self).option_fields()[key].name)

    def contradictions(self) -> Iterator[tuple[str, str]]:
        """Yield the key and the words of each fault that lies between options; a subclass adds its own."""
        yield from ()

    def bounded(self) -> Iterator[tuple[str, str]]:
        """Yield the key of each option that another bounds, and the key of that one, whose null is no bound."""
        yield from ()

    def idle(self) -> Iterator[tuple[tuple[str, ...], str]]:
        """Yield keys of options that do nothing beside the values of others, and why."""
        yield from ()


@functools.cache
def _described(model: type[Options]) -> dict[str, OptionField]:
    return {(key := info.alias or kebab(name)): _field(key, name, info) for name, info in model.model_fields.items()}


def _field(key: str, name: str, info: FieldInfo) -> OptionField:
    annotation = info.annotation
    if info.metadata:
        annotation = Annotated[(annotation, *info.metadata)]  # type: ignore[assignment]
    bare, marks, nullable = _peel(annotation)
    kinds = [mark.text for mark in marks if isinstance(mark, Kind)]
    origin = get_origin(bare)
    shape: Shape = "table" if origin is dict else "list" if origin in (tuple, list) else "scalar"
    item = _peel(get_args(bare)[1]) if shape == "table" else None
    return OptionField(
        key=key,
        name=name,
        type=(kinds[-1] if kinds else _type_words(bare)) + (", or null" if nullable else ""),
        unit=next((mark.text for mark in marks if isinstance(mark, Unit)), _unit_of_type(bare)),
        shape=shape,
        is_flag=bare is bool,
        nullable=nullable or shape != "scalar",
        secret=bare is SecretStr,
        text_items=item is not None and item[0] is not Any,
        annotation=annotation,
        without_effect=next((mark.why for mark in marks if isinstance(mark, WithoutEffect)), ""),
        known_as=tuple(name for mark in marks if isinstance(mark, KnownAs) for name in mark.names),
    )


def _peel(annotation: Any) -> tuple[Any, list[Any], bool]:
    """Return the type under ``Annotated`` and ``| None``, its marks from the inside out, and whether null is one."""
    if get_origin(annotation) is Annotated:
        inner, *outer = get_args(annotation)
        bare, marks, nullable = _peel(inner)
        return bare, [*marks, *outer], nullable
    if get_origin(annotation) in (Union, types.UnionType):
        members = [member for member in get_args(annotation) if member is not type(None)]
        if len(members) == 1:
            bare, marks, _ = _peel(members[0])
            return bare, marks, True
    return annotation, [], False


_WORDS: dict[Any, str] = {
    Size: "size",
    Duration: "duration",
    Seconds: "duration",
    TimeOfDay: "time of day",
    PortRange: "ports",
    SecretStr: "secret text",
    bool: "flag",
    int: "whole number",
    float: "number",
    str: "text",
    Any: "anything",
}


def _unit_of_type(bare: Any) -> str:
    if isinstance(bare, type) and issubclass(bare, Size | Duration):
        return "bytes" if issubclass(bare, Size) else "seconds"
    return ""


def _type_words(bare: Any) -> str:
    origin = get_origin(bare)
    if origin is Literal:
        return " | ".join(str(word) for word in get_args(bare))
    if origin in (dict, tuple, list):
        return "table" if origin is dict else "list"
    # A type with arguments may hold what has no hash.
    words = _WORDS.get(bare) if isinstance(bare, type) else None
    return words or str(getattr(bare, "__name__", bare))
