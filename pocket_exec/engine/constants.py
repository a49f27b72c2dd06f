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
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import cached_property, partial
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
_LARGEST = 10**6
"""Bytes of an array that travels; a larger one is a table, not a constant."""
_PARTS = 10_000
"""Parts of a container that travels."""

Name = tuple[str, str]
"""Of a module, and of a global in it, or of a class's attribute as ``Class.attribute``."""


@dataclass(frozen=True)
class Constants:
    """Values by their names, and the process that they are from."""

    values: Mapping[Name, Any] = field(default_factory=dict)
    others: Mapping[Name, str] = field(default_factory=dict)
    """What tells the plain values of globals that each process computes for itself."""
    first: tuple[str, ...] = ()
    """Modules that were imported before their values, or those of modules that they import, were changed."""
    process: tuple[int, int] = field(default_factory=lambda: (os.getpid(), _TOKEN))

    @cached_property
    def told(self) -> Any:
        """What tells these values from others."""
        return {name: _told(value) for name, value in self.values.items()}

    @property
    def at_home(self) -> bool:
        """Whether this is the process that they are from."""
        return self.process == (os.getpid(), _TOKEN)

    @contextmanager
    def held(self) -> Iterator[None]:
        """Have these values in the modules of a worker's process while the block runs; they stay until others come.

        Blocks that want others wait for each other: a worker may have several threads, and work for several runs.
        """
        if self.at_home:
            yield
            return
        with _held.entered(self):
            yield

    def differing(self) -> frozenset[Name]:
        """Return those of the ``others`` that have another value in a worker's process.

        Their names only: what a module takes from its environment may be a secret.
        """
        found = set()
        for (module, name), told in () if self.at_home else self.others.items():
            # The user's modules may answer in any way when they are asked.
            with suppress(Exception):
                if _digest(vars(sys.modules[module])[name]) not in ("", told):
                    found.add((module, name))
        return frozenset(found)


def are_state(names: Iterable[Name]) -> set[Name]:
    """Return those globals that the code of one of the user's modules, or of the script, seems to change."""
    scripts = {name: module for name in _MAIN if isinstance((module := sys.modules.get(name)), ModuleType)}
    modules = _users_modules() | {name: module for name, module in scripts.items() if hasattr(module, "__file__")}
    written = _written(modules)
    return {(module, name) for module, name in names if any(written.changes(one, name) for one in modules)}


def changed_constants() -> Constants:
    """Return the globals of the user's modules whose plain value is another one than the file gives them.

    What the file computes is not looked at: it may well differ from machine to machine. Nor is what functions change:
    that is state, and each process has its own.
    """
    modules = _users_modules()
    written = _written(modules)
    others = {
        (name, constant): told
        for name, module in modules.items()
        for constant in written.computed(name)
        if (told := _digest(vars(module).get(constant, _told)))
    }
    found = {
        (name, constant): now
        for name in _with_differing(modules, written)
        for constant, now in _differing(modules[name], written.constants_that_stay(name))
    }
    if not found:
        return Constants(others=others)
    changed, late = {module for module, _ in found}, set[str]()
    for name, module in modules.items():
        # What it has taken over tells whether it was imported before the change; as a rule it was.
        for constant, source in written.taken_over(name).items():
            now = _now(module, constant, None)
            if source in found and _is_plain(now):
                if not _differ(now, found[source]):
                    late.add(name)
                found[name, constant] = now
    first = (name for name in modules if name in changed or written.imports(name) & changed)
    return Constants(found, others, tuple(name for name in first if name not in late))


def _with_differing(modules: Mapping[str, ModuleType], written: Written) -> list[str]:
    return [name for name, module in modules.items() if any(_differing(module, written.constants(name)))]


def _differing(module: ModuleType, written: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for constant, value in written.items():
        now = _now(module, constant, value)
        if _is_plain(now) and _differ(now, value):
            yield constant, now


def _as_written() -> list[tuple[Name, Any]]:
    """Return the constants that are not as their files have them, with the values that these give."""
    modules = _users_modules()
    written = _written(modules)
    found = []
    for name in _with_differing(modules, written):
        values = written.constants_that_stay(name)
        found += [((name, constant), values[constant]) for constant, _ in _differing(modules[name], values)]
    return found


def _users_modules() -> dict[str, ModuleType]:
    return {
        name: module
        for name, module in sys.modules.copy().items()
        # Objects of other kinds stand there, too.
        if type(module) is ModuleType and name not in _MAIN and _is_users(name, module)
    }


def _written(modules: Mapping[str, ModuleType]) -> Written:
    return Written({name: str(module.__file__) for name, module in modules.items()})


def _is_users(name: str, module: ModuleType) -> bool:
    file, top = vars(module).get("__file__"), name.partition(".")[0]
    if not isinstance(file, str) or not file.endswith(".py") or top in sys.stdlib_module_names:
        return False
    return not is_library_file(file, top)


def _now(module: ModuleType, constant: str, default: Any) -> Any:
    """Return a constant's value; an attribute's only where it is the class's own."""
    owner, _, name = constant.rpartition(".")
    place = vars(module).get(owner) if owner else module
    return vars(place).get(name, default) if type(place) is ModuleType or isinstance(place, type) else default


def _differ(one: Any, other: Any) -> bool:
    try:
        return bool(_told(one) != _told(other))
    except Exception:  # noqa: BLE001 - the user's values; what cannot be compared does not travel
        return False


def _is_plain(value: Any) -> bool:
    try:
        _told(value)
    except Exception:  # noqa: BLE001 - as above
        return False
    return True


def _digest(value: Any) -> str:
    """Return what tells a value from others; empty where it is not plain, or says where something lies."""
    try:
        told = repr(_told(value, across=True))
    except Exception:  # noqa: BLE001 - as above
        return ""
    return hashlib.sha256(told.encode()).hexdigest()[:16]


class _NotPlainError(Exception):
    """A value is no constant."""


def _told(value: Any, *, across: bool = False) -> Any:
    """Return what tells a plain value from others; of equal values of different types, as of signs of zero, too.

    With ``across`` it tells the same in every process: there the order of keys may be another one, and paths are.
    """
    kind = type(value)
    if kind in _ALONE:
        if across and kind is str and os.sep in value:
            raise _NotPlainError
        return repr(value)
    if kind is dict and len(value) <= _PARTS:
        pairs = [(_told(key, across=across), _told(part, across=across)) for key, part in value.items()]
        return sorted(pairs, key=repr) if across else pairs
    if kind in _TOGETHER and len(value) <= _PARTS:
        parts = [_told(part, across=across) for part in value]
        return kind.__name__, parts if kind in (tuple, list) else sorted(parts, key=repr)
    numpy = sys.modules.get("numpy")
    array = numpy is not None and (kind is numpy.ndarray or issubclass(kind, numpy.generic))
    if array and not value.dtype.hasobject and value.nbytes <= _LARGEST:
        return kind.__name__, value.dtype.str, value.shape, value.tobytes()
    raise _NotPlainError


class _Held:
    """What this process has instead of what the files say, what that was, and who relies on it."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._blocks = 0
        self._waiting = 0
        """Threads that want others than the values that are there."""
        self._now = Constants()
        self._undo: list[Callable[[], object]] = []
        self._reset = False

    @contextmanager
    def entered(self, wanted: Constants) -> Iterator[None]:
        """Have these values; who wants others gets its turn before whoever comes later for those that are there."""
        with self._changed:
            waits = False
            while (self._blocks if not self._are(wanted) else self._waiting - waits) > 0:
                if not waits and not self._are(wanted):
                    waits = True
                    self._waiting += 1
                self._changed.wait()
            self._waiting -= waits
            if not self._are(wanted):
                self._become(wanted)
            self._blocks += 1
            self._changed.notify_all()
        try:
            yield
        finally:
            with self._changed:
                self._blocks -= 1
                self._changed.notify_all()

    def _are(self, wanted: Constants) -> bool:
        settled = self._reset or _STARTED_WITH not in sys.modules
        return wanted is self._now or (settled and bool(wanted.told == self._now.told))

    def _become(self, wanted: Constants) -> None:
        """Give the modules these values, and others that have been given one their own again."""
        if _STARTED_WITH in sys.modules and not self._reset:
            self._undo += [partial(_set, place, value) for place, value in _as_written()]
        self._reset = True
        for undo in reversed(self._undo):
            # The user's code may have unloaded it.
            with suppress(Exception):
                undo()
        self._undo.clear()
        _import(wanted.first)
        self._put({place: value for place, value in wanted.values.items() if place[0] in sys.modules})
        later = {place: value for place, value in wanted.values.items() if place[0] not in sys.modules}
        _import(dict.fromkeys(module for module, _ in later))
        self._put(later)
        self._now = wanted

    def _put(self, values: Mapping[Name, Any]) -> None:
        """Set constants; a container that all its names want to be another one gets its content: others may hold it."""
        # What is one object there has to be one here.
        values = copy.deepcopy(dict(values))
        there: dict[Name, Any] = {}
        for place in values:
            with suppress(Exception):
                there[place] = _get(place)
        names = _names_of([value for value in there.values() if isinstance(value, (dict, list, set))])
        for place, before in there.items():
            value, same = values[place], names.get(id(before), ())
            if value is before:
                continue
            with suppress(Exception):
                if same and type(value) is type(before) and all(values.get(name) is value for name in same):
                    self._undo.append(partial(_fill, before, copy.copy(before)))
                    _fill(before, value)
                    values = {name: before if other is value else other for name, other in values.items()}
                else:
                    self._undo.append(partial(_set, place, before))
                    _set(place, value)


def _names_of(containers: Collection[Any]) -> dict[int, list[Name]]:
    """Return the globals and class attributes of the user's modules that are these very objects."""
    found: dict[int, list[Name]] = {id(container): [] for container in containers}
    for module, there in _users_modules().items() if containers else ():
        for name, value in list(vars(there).items()):
            if id(value) in found:
                found[id(value)].append((module, name))
            if isinstance(value, type) and value.__module__ == module:
                for attribute, part in list(vars(value).items()):
                    if id(part) in found:
                        found[id(part)].append((module, f"{name}.{attribute}"))
    return found


def _import(modules: Iterable[str]) -> None:
    for module in modules:
        # What of it the function needs, it says itself.
        with suppress(Exception, SystemExit):
            importlib.import_module(module)


def _get(place: Name) -> Any:
    owner, _, name = place[1].rpartition(".")
    module = sys.modules[place[0]]
    return getattr(getattr(module, owner) if owner else module, name)


def _set(place: Name, value: Any) -> None:
    owner, _, name = place[1].rpartition(".")
    module = sys.modules[place[0]]
    setattr(getattr(module, owner) if owner else module, name, value)


def _fill(container: Any, content: Any) -> None:
    container.clear()
    (container.extend if isinstance(container, list) else container.update)(content)


_held = _Held()
