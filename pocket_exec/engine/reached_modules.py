"""Keep account of the user's modules, and the libraries, that code reaches."""

from __future__ import annotations

import hashlib
import sys
import types
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pocket_exec.engine.code_form import NamesReached
from pocket_exec.engine.module_identity import ModuleIdentity, identity_of_globals
from pocket_exec.engine.module_source import located, read_source

OF_THE_MODULE_ITSELF = frozenset(
    (
        "__name__",
        "__file__",
        "__path__",
        "__spec__",
        "__package__",
        "__loader__",
        "__cached__",
        "__doc__",
        "__builtins__",
    )
)
"""Globals that the import system sets: they hold names and paths that are another one each time."""


@dataclass
class ReachedModule:
    """A user's module, and what of it is reached: name to digest, empty until its content is written."""

    identity: ModuleIdentity
    namespace: Mapping[str, Any]
    entries: dict[str, bytes] = field(default_factory=dict)


class ReachedModules:
    """The account: globals by module, whole sources, libraries by version."""

    def __init__(self) -> None:
        self.libraries: dict[str, str] = {}
        self.waiting: list[tuple[ReachedModule, str]] = []
        """Globals that were named and whose content is to be written."""
        self._modules: dict[int, ReachedModule] = {}
        self._sources: dict[str, bytes] = {}

    def identity(self, namespace: Mapping[str, Any]) -> ModuleIdentity:
        """Identify the module that has these globals; a library is noted."""
        identity = identity_of_globals(namespace)
        if identity.version is not None:
            self.libraries[identity.label] = identity.version
        return identity

    def reach(self, namespace: Mapping[str, Any], names: Iterable[str]) -> None:
        """Count those ``names`` that are globals of the user's module with these globals."""
        if id(namespace) not in self._modules:
            self._modules[id(namespace)] = ReachedModule(identity_of_globals(namespace), namespace)
        module = self._modules[id(namespace)]
        for name in (set(names) & namespace.keys()) - module.entries.keys() - OF_THE_MODULE_ITSELF:
            module.entries[name] = b""
            self.waiting.append((module, name))

    def reach_from(self, function: types.FunctionType, names: NamesReached) -> None:
        """Count what a function takes from its module, and from the modules it knows as globals or imports itself."""
        namespace = function.__globals__
        self.reach(namespace, names.globals)
        known = [namespace[name] for name in names.globals & namespace.keys()]
        known += [content_of(cell) for cell in function.__closure__ or ()]
        self._taken_from([*known, *self._imported(namespace, names)], names.names)

    def whole_source(self, identity: ModuleIdentity) -> None:
        """Count the source of a user's module, and of those that it imports; a library counts by its version."""
        waiting = [identity]
        while waiting:
            module = waiting.pop()
            if module.version is not None:
                self.libraries[module.label] = module.version
            elif module.label not in self._sources:
                self._sources[module.label], imported = read_source(module)
                waiting.extend(imported)

    def whole_source_of(self, label: str) -> None:
        """Count the whole source of the reached module that is called ``label``."""
        for module in list(self._modules.values()):
            if module.identity.label == label:
                self.whole_source(module.identity)

    def names(self) -> set[tuple[str, str]]:
        """Give all globals that are reached, by the names of module and global."""
        modules = self._modules.values()
        return {(str(one.namespace.get("__name__")), name) for one in modules for name in one.entries}

    def digests(self) -> dict[str, str]:
        """Give each user's module, by label, the digest of what of it is reached."""
        parts: dict[str, list[bytes]] = {label: [b"source" + form] for label, form in self._sources.items()}
        for module in self._modules.values():
            entries = b"".join(name.encode() + b"=" + form for name, form in sorted(module.entries.items()))
            parts.setdefault(module.identity.label, []).append(hashlib.sha256(entries).digest())
        return {label: hashlib.sha256(b"".join(sorted(found))).hexdigest() for label, found in sorted(parts.items())}

    def _taken_from(self, values: Iterable[Any], names: set[str]) -> None:
        """Count the user's modules among ``values``, and what code with ``names`` may take of them."""
        seen = set()
        waiting = list(values)
        while waiting:
            module = waiting.pop()
            if not isinstance(module, types.ModuleType) or id(module) in seen:
                continue
            seen.add(id(module))
            identity = self.identity(vars(module))
            if identity.users:
                self.whole_source(identity)
                self.reach(vars(module), names)
                waiting.extend(vars(module)[name] for name in names & vars(module).keys())

    def _imported(self, namespace: Mapping[str, Any], names: NamesReached) -> Iterator[types.ModuleType]:
        """Give the loaded modules that a function imports in its body; count the others by their source.

        Byte code does not tell ``from . import a`` from ``import a`` at a glance, so both readings are tried.
        """
        root = identity_of_globals(namespace).root or Path()
        package = str(namespace.get("__package__") or "")
        readings = set(names.imports)
        while package:
            readings.update(f"{package}.{name}".rstrip(".") for name in names.imports)
            package = package.rpartition(".")[0]
        for name in sorted(readings - {""}):
            module = located(name, root)
            if module is not None:
                self.whole_source(module)
            if module is None or not module.users:
                continue
            for full in (name, *(f"{name}.{inner}" for inner in sorted(names.names))):
                if full in sys.modules:
                    yield sys.modules[full]
                elif full != name and (inner_module := located(full, root)) is not None:
                    self.whole_source(inner_module)


def content_of(cell: types.CellType) -> Any:
    """Give what a closure's cell holds; NotImplemented for a name that has no value yet."""
    try:
        return cell.cell_contents
    except ValueError:
        return NotImplemented
