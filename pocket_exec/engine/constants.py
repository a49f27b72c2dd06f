"""Constants of the user's modules that were changed after the import: workers import the modules as they are written.

``import cuts; cuts.PT = 20`` in a cfg.py, a script or a notebook changes the module of that process only. So what
differs from the file travels with the function.
"""

from __future__ import annotations

import copy
import hashlib
import importlib
import os
import secrets
import sys
import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import cached_property
from types import ModuleType
from typing import Any

from pocket_exec.engine.module_identity import is_library_file
from pocket_exec.engine.written import Written

_TOKEN: int = secrets.randbits(64)
"""Processes of two machines may have one number."""
_STARTED_WITH = "__mp_main__"
"""The script, as a process runs it that multiprocessing has started: it changes constants there, too."""
_MAIN = ("__main__", _STARTED_WITH)
"""Their code travels by value."""
_ALONE = (type(None), bool, int, float, complex, str, bytes)
_TOGETHER = (tuple, list, set, frozenset)
_LONGEST = 60
_LARGEST = 10**6
"""Bytes of an array that travels; a larger one is a table, not a constant."""


@dataclass(frozen=True)
class Constants:
    """Values by the names of module and global, ``Class.attribute`` among these, and the process that they are from."""

    values: Mapping[tuple[str, str], Any] = field(default_factory=dict)
    others: Mapping[tuple[str, str], str] = field(default_factory=dict)
    """What tells the plain values of globals that each process computes for itself."""
    process: tuple[int, int] = field(default_factory=lambda: (os.getpid(), _TOKEN))

    @cached_property
    def told(self) -> Any:
        """What tells these values from others."""
        return {name: _told(value) for name, value in self.values.items()}

    @contextmanager
    def held(self) -> Iterator[None]:
        """Have these values in the modules of a worker's process while the block runs; they stay until others come.

        Blocks that want others wait for each other: a worker may have several threads, and work for several runs.
        """
        if self.process == (os.getpid(), _TOKEN):
            yield
            return
        with _held.changed:
            while _held.blocks and not _held.are(self):
                _held.changed.wait()
            if not _held.are(self):
                _held.become(self)
            _held.blocks += 1
        try:
            yield
        finally:
            with _held.changed:
                _held.blocks -= 1
                _held.changed.notify_all()

    def differing(self) -> dict[tuple[str, str], str]:
        """Return those of the ``others`` that have another value in a worker's process, with that value in words."""
        if self.process == (os.getpid(), _TOKEN):
            return {}
        found = {}
        for (module, name), told in self.others.items():
            if (there := sys.modules.get(module)) is not None and hasattr(there, name):
                now = getattr(there, name)
                if _digest(now) not in ("", told):
                    found[module, name] = in_words(now)
        return found


def in_words(value: Any) -> str:
    """Return a value as a message has it."""
    text = repr(value)
    return text if len(text) <= _LONGEST else text[:_LONGEST] + "..."


def are_state(names: Iterable[tuple[str, str]]) -> set[tuple[str, str]]:
    """Return those globals of the user's modules that their module's own code changes."""
    modules = _users_modules()
    written = Written({name: str(module.__file__) for name, module in modules.items()}, strict=True)
    return {(module, name) for module, name in names if module in modules and written.changes(module, name)}


def _digest(value: Any) -> str:
    """Return what tells a value from others; empty where it is not plain, or says where something lies."""
    try:
        told = repr(_told(value))
    except (_NotPlainError, RecursionError):
        return ""
    return "" if os.sep in told else hashlib.sha256(told.encode()).hexdigest()[:16]


def changed_constants() -> Constants:
    """Return the globals of the user's modules whose plain value is another one than the file gives them.

    What the file computes is not looked at: it may well differ from machine to machine. Nor is what functions change:
    that is state, and each process has its own.
    """
    modules = _users_modules()
    files = {name: str(module.__file__) for name, module in modules.items()}
    written = Written(files, strict=False)
    others = {
        (name, constant): told
        for name, module in modules.items()
        for constant in written.computed(name)
        if (told := _digest(vars(module).get(constant, _told)))
    }
    if not any(_differing(modules, written)):
        return Constants(others=others)
    written = Written(files, strict=True)
    found = dict(_differing(modules, written))
    # On a worker they are taken over when their source may have its own value already, or not yet.
    for name, module in modules.items():
        for constant, source in written.taken_over(name).items():
            if source in found and (name, constant) not in found:
                now = _now(module, constant, found[source])
                with suppress(_NotPlainError):
                    _told(now)
                    found[name, constant] = now
    return Constants(found, others)


def _as_written() -> list[tuple[str, str, Any]]:
    """Return the constants that are not as their files have them, with the values that these give."""
    modules = _users_modules()
    written = Written({name: str(module.__file__) for name, module in modules.items()}, strict=True)
    found = [name for name, _ in _differing(modules, written)]
    return [(module, name, written.constants(module)[name]) for module, name in found]


def _users_modules() -> dict[str, ModuleType]:
    return {
        name: module
        for name, module in sys.modules.copy().items()
        # Objects of other kinds stand there, too.
        if type(module) is ModuleType and name not in _MAIN and _is_users(name, module)
    }


def _differing(modules: Mapping[str, ModuleType], written: Written) -> Iterator[tuple[tuple[str, str], Any]]:
    for name, module in modules.items():
        for constant, value in written.constants(name).items():
            now = _now(module, constant, value)
            if _differ(now, value):
                yield (name, constant), now


def _is_users(name: str, module: ModuleType) -> bool:
    file, top = getattr(module, "__file__", None), name.partition(".")[0]
    if not isinstance(file, str) or not file.endswith(".py") or top in sys.stdlib_module_names:
        return False
    return not is_library_file(file, top)


def _now(module: ModuleType, constant: str, default: Any) -> Any:
    """Return a constant's value; an attribute's only where it is the class's own."""
    owner, _, name = constant.rpartition(".")
    place = vars(module).get(owner) if owner else module
    return vars(place).get(name, default) if isinstance(place, type | ModuleType) else default


def _differ(now: Any, written: Any) -> bool:
    try:
        return bool(_told(now) != _told(written))
    except (_NotPlainError, RecursionError):
        return False


class _NotPlainError(Exception):
    """A value is no constant."""


def _told(value: Any) -> Any:
    """Return what tells a plain value from others; of equal values of different types, as of signs of zero, too."""
    kind = type(value)
    if kind in _ALONE:
        return repr(value)
    if kind is dict:
        return [(_told(key), _told(part)) for key, part in value.items()]
    if kind in _TOGETHER:
        parts = list(map(_told, value))
        return kind.__name__, parts if kind in (tuple, list) else sorted(parts, key=repr)
    numpy = sys.modules.get("numpy")
    array = numpy is not None and (isinstance(value, numpy.generic) or kind is numpy.ndarray)
    if array and not value.dtype.hasobject and value.nbytes <= _LARGEST:
        return kind.__name__, value.dtype.str, value.shape, value.tobytes()
    raise _NotPlainError


class _Held:
    """What this process has instead of what the files say, what that was, and how many blocks rely on it."""

    def __init__(self) -> None:
        self.changed = threading.Condition()
        self.blocks = 0
        self._now = Constants()
        self._before: list[tuple[str, str, Any]] = []
        self._first_seen = False

    def are(self, wanted: Constants) -> bool:
        """Whether the modules have these values."""
        settled = self._first_seen or _STARTED_WITH not in sys.modules
        return wanted is self._now or (settled and bool(wanted.told == self._now.told))

    def become(self, wanted: Constants) -> None:
        """Give the modules these values, and others that have been given one their own again."""
        if _STARTED_WITH in sys.modules and not self._first_seen:
            self._first_seen = True
            self._before += _as_written()
        for module, name, value in reversed(self._before):
            # The user's code may have unloaded it.
            with suppress(Exception):
                _put(sys.modules[module], name, value)
        self._before.clear()
        for module in dict.fromkeys(module for module, _ in wanted.values):
            # What of it the function needs, it says itself.
            with suppress(Exception):
                importlib.import_module(module)
        # Only now: one of them may take another's over as it is imported.
        for (module, name), value in wanted.values.items():
            with suppress(Exception):
                self._before.append((module, name, _put(sys.modules[module], name, value)))
        self._now = wanted


def _put(module: ModuleType, constant: str, value: Any) -> Any:
    """Set a constant and return what it was; a container gets another content, as others may hold it, too."""
    owner, _, name = constant.rpartition(".")
    place: Any = getattr(module, owner) if owner else module
    there = getattr(place, name)
    if type(there) is type(value) and isinstance(there, (dict, list, set)):
        before = copy.copy(there)
        there.clear()
        (there.extend if isinstance(there, list) else there.update)(copy.deepcopy(value))
        return before
    setattr(place, name, copy.deepcopy(value))
    return there


_held = _Held()
