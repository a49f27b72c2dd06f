"""Sorts the keys of layers: options of the running executor, of others, of the user's own factory, and mistakes."""

from __future__ import annotations

import functools
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from pocket_exec.errors import Fault, asked, nearest
from pocket_exec.options.base import OptionField, Options, kebab
from pocket_exec.options.defaults import built_in_executors, model_for
from pocket_exec.options.faults import validated
from pocket_exec.options.flag_text import parse_flag
from pocket_exec.options.layers import Layer
from pocket_exec.options.sections import GENERAL

CUSTOM = "custom"
_MISSPELT = {"scalout": "scaleout"}
"""Spellings of published defaults that are taken for what they mean."""


@functools.cache
def other_options() -> dict[str, tuple[OptionField, tuple[str, ...]]]:
    """Return every option of this project's executors, with the executors that have it."""
    found: dict[str, tuple[OptionField, tuple[str, ...]]] = {}
    for executor in built_in_executors():
        for key, option in model_for(executor).option_fields().items():
            found[key] = (option, (*found.get(key, (option, ()))[1], executor))
    return found


@dataclass
class SortedKeys:
    """What the keys of all layers came to."""

    layers: list[Layer] = field(default_factory=list)
    """The layers with options of the running executor only, of which flags are parsed."""
    custom: dict[str, Any] = field(default_factory=dict)
    """What is for the user's own factory."""
    custom_origins: dict[str, str] = field(default_factory=dict)
    set_aside: dict[str, None] = field(default_factory=dict)
    """Options of other executors."""
    notes: list[str] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)


@dataclass(frozen=True)
class KeySorter:
    """Sorts layers for one executor."""

    executor: str
    fields: Mapping[str, OptionField]
    sections: Collection[str]
    """What a section may be called."""
    custom_module: bool
    """The executor comes from the user's own module."""
    custom_table: bool
    """That module declares no options, so a ``custom:`` table is welcome."""
    lenient_flags: bool
    """An option of another executor is no fault on the command line either."""

    @classmethod
    def for_model(cls, model: type[Options], **settings: Any) -> KeySorter:
        """Return the sorter for a model; the user's own is one that no executor of this project has."""
        own = all(model is not model_for(executor) for executor in (*built_in_executors(), ""))
        table = bool(settings["custom_module"]) and not own
        return cls(fields=model.option_fields(), custom_table=table, **settings)

    def sort_defaults(self, layers: Iterable[Layer], into: SortedKeys) -> None:
        """Take the defaults; what another executor's model has is not for this one."""
        for layer in layers:
            values = {}
            for key, value in layer.values.items():
                if key in self.fields:
                    values[key] = value
                elif key not in other_options():
                    into.faults.append(Fault(key, f"no such option{self._near(key)}", layer.origin(key)))
            into.layers.append(Layer(layer.name, values, layer.origins))

    def sort_user(self, layer: Layer, into: SortedKeys) -> None:
        """Take a layer of the user's."""
        values: dict[str, Any] = {}
        origins = dict(layer.origins)
        for written, value in layer.values.items():
            origin = layer.origin(written)
            key = _MISSPELT.get(written, written)
            if key != written:
                if key in layer.values:
                    into.faults.append(Fault(written, f"is '{key}' misspelt, and '{key}' is set as well", origin))
                    continue
                into.notes.append(f"{written} ({origin}): taken for '{key}'; please write it so")
                origins[key] = origin
            if key in self.fields:
                self._take(self.fields[key], value, layer, origin, values, into)
            elif key == CUSTOM:
                self._take_custom_table(value, layer, origin, into)
            elif key in other_options():
                self._take_other(key, value, layer, origin, into)
            else:
                into.faults.append(self._unknown(written, value, layer, origin))
        into.layers.append(Layer(layer.name, values, origins))

    def _take(
        self, option: OptionField, value: Any, layer: Layer, origin: str, values: dict[str, Any], into: SortedKeys
    ) -> None:
        try:
            values[option.key] = parse_flag(option, value) if layer.command_line else value
        except ValueError as error:
            into.faults.append(Fault(option.key, str(error), origin))

    def _take_custom_table(self, value: Any, layer: Layer, origin: str, into: SortedKeys) -> None:
        if not self.custom_module:
            into.notes.append(f"custom ({origin}): not used; it is for a factory of --executor-custom-setup")
            return
        if not self.custom_table:
            what = "the custom module declares its options in a class Options; write its keys beside the others"
            into.faults.append(Fault(CUSTOM, what, origin))
            return
        try:
            table = parse_flag(_CUSTOM_FIELD, value) if layer.command_line else validated(_CUSTOM_FIELD, value)
        except ValueError as error:
            into.faults.append(Fault(CUSTOM, str(error), origin))
            return
        for key, item in table.items():
            if key in self.fields or key in _MISSPELT:
                what = f"is an option of every such executor; write it outside '{CUSTOM}:'"
                into.faults.append(Fault(f"{CUSTOM}.{key}", what, layer.origin(f"{CUSTOM}.{key}")))
            else:
                _merge_custom(into, key, item, layer.origin(f"{CUSTOM}.{key}"))

    def _take_other(self, key: str, value: Any, layer: Layer, origin: str, into: SortedKeys) -> None:
        option, executors = other_options()[key]
        if self.custom_table:
            try:
                item = validated(option, parse_flag(option, value) if layer.command_line else value)
            except ValueError as error:
                into.faults.append(Fault(key, str(error), origin))
            else:
                _merge_custom(into, key, item, origin)
        elif layer.command_line and not self.lenient_flags:
            what = f"not an option of {self.executor}; {_families(executors)} {_have(executors)} it"
            into.faults.append(Fault(_as_flag(key, origin), what, origin))
        else:
            into.set_aside[key] = None

    def _unknown(self, key: str, value: Any, layer: Layer, origin: str) -> Fault:
        flag = origin.startswith("--") and layer.command_line
        where = origin if flag else key
        if flag and key.removeprefix("no-") in self.fields and self.fields[key.removeprefix("no-")].is_flag:
            return Fault(where, f"no such option; write '--{key.removeprefix('no-')}=false'", origin)
        near = self._near(key, "--" if flag else "", isinstance(value, Mapping))
        hint = ""
        if self.custom_table and not near:
            hint = "; a key of your own factory goes into a table 'custom:'"
        elif self.custom_table:
            hint = " A key of your own factory goes into a table 'custom:'"
        return Fault(where, f"no such option{near}{hint}", origin)

    def _near(self, key: str, prefix: str = "", table: bool = False) -> str:
        """Return the nearest right answer: the same word in kebab-case, another tool's word for it, or a like one."""
        plain = kebab(key.strip().lower())
        known = {**{name: option for name, (option, _) in other_options().items()}, **self.fields}
        names = {_MISSPELT.get(plain, plain), plain.replace(" ", "-")} & set(known)
        names |= {option.key for option in known.values() if plain in option.known_as}
        if names:
            return asked(sorted(names), prefix)
        # An option that the running executor has is likelier meant than another's.
        for words in ({*self.fields, *(self.sections if table else ())}, set(known)):
            if near := nearest(plain, words):
                return asked(near, prefix)
        return ""


_CUSTOM_FIELD = OptionField(
    key=CUSTOM,
    name=CUSTOM,
    type="table",
    unit="",
    shape="table",
    is_flag=False,
    nullable=True,
    secret=False,
    text_items=False,
    annotation=dict[str, Any] | None,
)


def _merge_custom(into: SortedKeys, key: str, item: Any, origin: str) -> None:
    below = into.custom.get(key)
    into.custom[key] = {**below, **item} if isinstance(below, Mapping) and isinstance(item, Mapping) else item
    into.custom_origins[key] = origin


def _as_flag(key: str, origin: str) -> str:
    return origin if origin.startswith("--") else key


def _families(executors: tuple[str, ...]) -> str:
    """Name executors in few words: all of Dask's by that word, sites by that of their batch system."""
    dask = [executor for executor in built_in_executors() if executor.startswith("dask")]
    if set(dask) <= set(executors):
        rest = [executor for executor in executors if executor not in dask]
        return ", ".join([*rest, "dask and every dask@..."])
    short = [executor for executor in executors if executor in _places()] or list(executors)
    return ", ".join(short) + (" and the sites that run on them" if len(short) < len(executors) else "")


def _have(executors: tuple[str, ...]) -> str:
    return "has" if len(executors) == 1 else "have"


@functools.cache
def _places() -> set[str]:
    from pocket_exec.options.defaults import known_sites

    return set(built_in_executors()) - set(known_sites())


__all__ = ["CUSTOM", "GENERAL", "KeySorter", "SortedKeys", "other_options"]
