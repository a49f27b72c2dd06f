"""Write a Python value in a canonical form, equal in each process that builds an equal value.

What counts: types, values, and the order of lists, tuples and **dicts**. The order of a dict is content because a
processor that loops over one fills growing categories, and adds floats, in that order (coffea merges mappings in key
order too). What does not count: the order of sets and of an object's attributes, memory addresses, object identity (two
equal copies are one value twice), and the directory a checkout lies in (absolute paths below a root are written
relative to it).
"""

from __future__ import annotations

import copyreg
import hashlib
import math
import os
import struct
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

Handler = Callable[["CanonicalForm", Any], bytes]
"""Gives the content of one value, its parts written by ``at``."""

PICKLE_PROTOCOL = 4
INLINE_BYTES = 64


class NoCanonicalForm(Exception):
    """A value whose content cannot be told: an open file, a lock, a generator."""

    def __init__(self, path: str, type_name: str) -> None:
        super().__init__(f"{path} ({type_name}) has no canonical form")
        self.path = path
        """Where it is, as an attribute path: ``self.evaluator.handle``."""
        self.type_name = type_name

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.path, self.type_name)


def refuse(path: str, value: Any) -> bytes:
    """Raise NoCanonicalForm: what happens to such a value unless the caller has another answer."""
    raise NoCanonicalForm(path, type_name(value))


def type_name(value: Any) -> str:
    """Name the type of ``value`` as a user would write it."""
    cls = type(value)
    return cls.__qualname__ if cls.__module__ == "builtins" else f"{cls.__module__}.{cls.__qualname__}"


class CanonicalForm:
    """Writes values; remembers those it has written, so that what is shared is written once.

    Parts of a cycle are written as the distance to the value that closes it. ``handlers`` are found by the dotted name
    of a class in the value's MRO, so that no library is imported to recognise its types.
    """

    def __init__(
        self,
        handlers: Mapping[str, Handler],
        roots: Sequence[Path] = (),
        no_form: Callable[[str, Any], bytes] = refuse,
    ) -> None:
        self._handlers = handlers
        self._by_type: dict[type, Handler] = {}
        self._roots = [(os.path.join(root, ""), number) for number, root in enumerate(roots)]
        self._roots.sort(key=lambda pair: -len(pair[0]))
        self._no_form = no_form
        self._path: list[tuple[str, Any]] = []
        self._depths: dict[int, int] = {}
        self._lows: list[int] = []  # per open value: the outermost open value that its parts refer back to
        self._done: dict[int, tuple[Any, bytes, int | None]] = {}  # holds the value: an id must stay its own
        self._within: dict[int, list[int]] = {}  # forms that hold only while the value at that depth is open

    def form(self, value: Any) -> bytes:
        """Write ``value``: self-delimiting, short values as they are and all others as a digest."""
        atom = ATOMS.get(type(value))
        if atom is not None:
            return self._text(value) if type(value) is str else atom(value)
        key = id(value)
        if key in self._done:
            _, known, low = self._done[key]
            self._refer_back(low)
            return known
        if key in self._depths:
            self._refer_back(self._depths[key])
            return b"^" + struct.pack(">I", len(self._lows) - self._depths[key])
        return self._opened(key, value)

    def at(self, kind: str, name: Any, value: Any) -> bytes:
        """Write a part of the value being written; ``kind`` is "." for an attribute, "[" for an item."""
        self._path.append((kind, name))
        form = self.form(value)
        self._path.pop()
        return form

    def without(self, value: Any) -> bytes:
        """Answer for a value that has no canonical form."""
        return self._no_form(self.path, value)

    @property
    def path(self) -> str:
        """Where the value being written is."""
        written = {".": ".{}", "[": "[{!r}]", "": "{}"}
        return "".join(written[kind].format(name) for kind, name in self._path)

    def begin(self, name: str) -> None:
        """Start on a value that is part of no other, also after an error; its path begins with ``name``."""
        self._path[:] = [("", name)]
        self._depths.clear()
        self._lows.clear()
        for keys in self._within.values():
            for key in keys:
                self._done.pop(key, None)
        self._within.clear()

    def known(self, value: Any, form: bytes) -> None:
        """Let ``value`` be written as ``form`` wherever it is met."""
        self._done[id(value)] = (value, form, None)

    def attributes(self, state: Mapping[str, Any]) -> bytes:
        """Write an object's attributes, whose order does not count."""
        return b"A" + b"".join(_bytes(name.encode()) + self.at(".", name, state[name]) for name in sorted(state))

    def unordered(self, values: Iterable[Any]) -> bytes:
        """Write values whose order does not count."""
        return b"{" + b"".join(sorted(self.form(value) for value in values))

    def _opened(self, key: int, value: Any) -> bytes:
        depth = len(self._lows)
        self._depths[key] = depth
        self._lows.append(depth)
        form = b"#" + hashlib.sha256(self._handler(type(value))(self, value)).digest()
        del self._depths[key]
        low = self._lows.pop()
        for inner in self._within.pop(depth, ()):
            self._done.pop(inner, None)
        if low < depth:
            self._refer_back(low)
            self._within.setdefault(low, []).append(key)
        self._done[key] = (value, form, low if low < depth else None)
        return form

    def _refer_back(self, depth: int | None) -> None:
        if depth is not None and self._lows:
            self._lows[-1] = min(self._lows[-1], depth)

    def _handler(self, cls: type) -> Handler:
        if cls not in self._by_type:
            names = (f"{base.__module__}.{base.__qualname__}" for base in cls.__mro__)
            self._by_type[cls] = next((self._handlers[name] for name in names if name in self._handlers), reduced)
        return self._by_type[cls]

    def _text(self, value: str) -> bytes:
        for root, number in self._roots:
            if value.startswith(root):
                return b"r" + struct.pack(">I", number) + text_form(value[len(root) :])
            if value == root[:-1]:
                return b"r" + struct.pack(">I", number) + text_form("")
        return text_form(value)


def reduced(canon: CanonicalForm, value: Any) -> bytes:
    """Write any object by what it would be pickled to."""
    reducer = copyreg.dispatch_table.get(type(value))
    try:
        parts = reducer(value) if reducer else value.__reduce_ex__(PICKLE_PROTOCOL)
    except Exception:  # noqa: BLE001 - whatever an object's own code raises, it has no form
        return canon.without(value)
    if isinstance(parts, str):
        return b"n" + canon.form(type(value)) + text_form(parts)
    function, arguments, state, items, pairs = (*parts, None, None, None)[:5]
    body = b"o" + canon.form(function) + b"".join(canon.at("[", i, part) for i, part in enumerate(arguments))
    body += b"s" + _state(canon, state)
    body += b"l" + b"".join(canon.at("[", i, item) for i, item in enumerate(items or ()))
    return body + b"d" + b"".join(canon.form(key) + canon.at("[", key, item) for key, item in pairs or ())


def _state(canon: CanonicalForm, state: Any) -> bytes:
    if type(state) is dict and all(type(name) is str for name in state):
        return canon.attributes(state)
    if type(state) is tuple and len(state) == 2 and type(state[1]) is dict:  # (instance dict, slots)
        return b"2" + _state(canon, state[0]) + _state(canon, state[1])
    return canon.form(state)


def _bytes(value: bytes) -> bytes:
    if len(value) > INLINE_BYTES:
        return b"B" + hashlib.sha256(value).digest()
    return b"b" + bytes([len(value)]) + value


def text_form(value: str) -> bytes:
    """Write text as it is, whatever path it may hold."""
    return b"u" + _bytes(value.encode("utf-8", "surrogatepass"))


def _integer(value: int) -> bytes:
    return b"i" + _bytes(value.to_bytes(value.bit_length() // 8 + 1, "big", signed=True))


def _float(value: float) -> bytes:
    return b"f" + (struct.pack(">d", value) if not math.isnan(value) else b"nan     ")


ATOMS: dict[type, Callable[[Any], bytes]] = {
    type(None): lambda value: b"N",
    bool: lambda value: b"T" if value else b"F",
    int: _integer,
    float: _float,
    complex: lambda value: b"c" + _float(value.real) + _float(value.imag),
    str: text_form,
    bytes: _bytes,
    type(...): lambda value: b"E",
    type(NotImplemented): lambda value: b"X",
}
