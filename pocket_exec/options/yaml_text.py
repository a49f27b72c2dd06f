"""Reads YAML as run options are written: each key with its line, and no value that is not what it looks like."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import yaml

from pocket_exec.errors import Fault, OptionsError

_INT = re.compile(r"[-+]?(0|[1-9][0-9_]*)", re.ASCII)
_FLOAT = re.compile(r"[-+]?([0-9][0-9_]*\.[0-9_]*|\.[0-9][0-9_]*)([eE][-+][0-9]+)?", re.ASCII)
_SPECIAL = {".inf": float("inf"), "+.inf": float("inf"), "-.inf": float("-inf"), ".nan": float("nan")}
_CORE = "tag:yaml.org,2002:"


@dataclass
class ParsedYaml:
    """A YAML mapping, and the line of each key by its dotted path."""

    values: dict[str, Any]
    lines: dict[str, int]


@dataclass
class _Reader:
    name: str
    lines: dict[str, int] = field(default_factory=dict)
    faults: list[Fault] = field(default_factory=list)
    within: set[int] = field(default_factory=set)

    def value(self, node: yaml.Node, path: str) -> Any:
        if id(node) in self.within:
            self.fault(node, path, "holds itself")
            return None
        self.within.add(id(node))
        try:
            match node:
                case yaml.MappingNode():
                    return self.mapping(node, path)
                case yaml.SequenceNode(value=items):
                    return [self.value(item, f"{path}.{index}") for index, item in enumerate(items)]
                case _:
                    return self.scalar(node, path)
        finally:
            self.within.remove(id(node))

    def mapping(self, node: yaml.MappingNode, path: str) -> dict[str, Any]:
        values: dict[str, Any] = {}
        lines: dict[str, int] = {}
        for key_node, value_node in _pairs(node, values_of_merged=False):
            if not isinstance(key_node, yaml.ScalarNode):
                self.fault(key_node, path or "a key", "a key is a word, not a list or a table")
                continue
            key, line = key_node.value, key_node.start_mark.line + 1
            full = f"{path}.{key}" if path else key
            if key in lines:
                self.fault(key_node, full, f"is given twice; the first is on line {lines[key]}")
                continue
            lines[key] = self.lines[full] = line
            values[key] = self.value(value_node, full)
        for key_node, value_node in _pairs(node, values_of_merged=True):
            if key_node.value not in values:
                full = f"{path}.{key_node.value}" if path else key_node.value
                self.lines[full] = key_node.start_mark.line + 1
                values[key_node.value] = self.value(value_node, full)
        return values

    def scalar(self, node: yaml.Node, path: str) -> Any:
        if node.tag not in _KNOWN_TAGS:
            self.fault(node, path, f"'{node.tag}' is a type that run options do not have; write text or a number")
            return None
        return plain(node.value) if isinstance(node, yaml.ScalarNode) and not node.style else node.value

    def fault(self, node: yaml.Node, where: str, what: str) -> None:
        self.faults.append(Fault(where, what, f"{self.name}, line {node.start_mark.line + 1}"))


_KNOWN_TAGS = {f"{_CORE}{word}" for word in ("null", "bool", "int", "float", "str", "timestamp", "value", "merge")}


def _pairs(node: yaml.MappingNode, *, values_of_merged: bool) -> Iterator[tuple[Any, Any]]:
    """Yield the pairs that stand in the mapping, or those that its ``<<`` brings in, the first of a name first."""
    for key, value in node.value:
        merges = key.tag == f"{_CORE}merge"
        if merges and values_of_merged:
            for source in value.value if isinstance(value, yaml.SequenceNode) else [value]:
                if isinstance(source, yaml.MappingNode):
                    yield from _pairs(source, values_of_merged=False)
                    yield from _pairs(source, values_of_merged=True)
        elif not merges and not values_of_merged:
            yield key, value


def plain(text: str) -> Any:
    """Return what an unquoted word of YAML means.

    Flags, null and decimal numbers as in YAML 1.1; all else is the text itself, where YAML 1.1 would make 720 of
    ``12:00``, 8 of ``010``, and a date of ``2026-01-01``.

    >>> [plain(word) for word in ("yes", "12:00", "010", "1.5", "~")]
    [True, '12:00', '010', 1.5, None]
    """
    lowered = text.lower()
    if text in ("", "~", "null", "Null", "NULL"):
        return None
    if lowered in ("true", "yes", "on", "false", "no", "off") and text in (lowered, lowered.title(), lowered.upper()):
        return lowered in ("true", "yes", "on")
    if _INT.fullmatch(text):
        return int(text.replace("_", ""))
    if _FLOAT.fullmatch(text):
        return float(text.replace("_", ""))
    return _SPECIAL.get(lowered, text)


def parse_yaml(text: str, name: str) -> ParsedYaml:
    """Read a YAML mapping; an empty file is an empty one. ``name`` is what messages call the file.

    Raises:
        OptionsError: it is not YAML, not a mapping, or has a key twice; with the file's line.
    """
    node = _compose(text, name)
    if node is None or (isinstance(node, yaml.ScalarNode) and node.value == ""):
        return ParsedYaml({}, {})
    if not isinstance(node, yaml.MappingNode):
        kind = "a list" if isinstance(node, yaml.SequenceNode) else f"the text {node.value!r}"
        place = f"{name}, line {node.start_mark.line + 1}"
        raise OptionsError([Fault(place, f"is {kind}, not options; write 'key: value' in each line")])
    reader = _Reader(name)
    values = reader.value(node, "")
    if reader.faults:
        raise OptionsError(reader.faults)
    return ParsedYaml(values, reader.lines)


def parse_value(text: str) -> Any:
    """Read the YAML text of one value, as a flag carries it: ``{a: 1}``, ``[1, 2]``, ``30``.

    Raises:
        ValueError: it is not YAML.
    """
    try:
        node = _compose(text, "")
    except OptionsError as error:
        raise ValueError(error.faults[0].what) from error
    if node is None:
        return None
    reader = _Reader("")
    value = reader.value(node, "")
    if reader.faults:
        raise ValueError(f"{reader.faults[0].where.strip('.')}: {reader.faults[0].what}")
    return value


def _compose(text: str, name: str) -> yaml.Node | None:
    node: yaml.Node | None
    with suppress(yaml.YAMLError, AttributeError):  # not every PyYAML is built with libyaml
        node = yaml.compose(text, Loader=yaml.CSafeLoader)
        return node
    try:
        # Ten times slower, and better at saying what is wrong.
        node = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = mark.line + 1 if mark else 1
        raise OptionsError([Fault(f"{name}, line {line}", _in_words(error, text, line))]) from error
    except yaml.YAMLError as error:
        raise OptionsError([Fault(name, f"not YAML: {_unreadable(error)}")]) from error
    return node


def _in_words(error: yaml.MarkedYAMLError, text: str, line: int) -> str:
    problem = " ".join((error.problem or str(error)).split())
    written = (text.splitlines() or [""])[min(line, len(text.splitlines()) or 1) - 1]
    if "\t" in written[: len(written) - len(written.lstrip())] or "'\\t'" in problem:
        return "a tab; YAML is indented with spaces"
    if "expected a single document" in str(error.context):
        return "'---' begins a second document; a file of run options has one"
    if "mapping values are not allowed" in problem:
        problem = "a second ': ' in one line, or a line indented too far; text with ': ' goes in quotes"
    return f"not YAML: {problem}: {written.strip()!r}"


def _unreadable(error: yaml.YAMLError) -> str:
    return " ".join(str(error).split())
