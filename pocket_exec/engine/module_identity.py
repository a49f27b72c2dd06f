"""Tell a user's modules from libraries, and name both without a path of this machine."""

from __future__ import annotations

import importlib.metadata
import sys
import sysconfig
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

INTERPRETERS_OWN = (sys.stdlib_module_names | set(sys.builtin_module_names)) - {"__main__"}
OWN_PACKAGE = Path(__file__).resolve().parent.parent


@dataclass(frozen=True)
class ModuleIdentity:
    """Where a module's code comes from."""

    label: str
    """A user's module: its file below its root (``my_cuts.py``, ``pkg/cuts.py``); a library: its name."""
    version: str | None
    """The library's version; None for a user's module."""
    file: Path | None = None
    root: Path | None = None
    """The directory that a user's module is imported from."""

    @property
    def users(self) -> bool:
        """Whether the module counts by its content, not by its version."""
        return self.version is None


def identity_of_globals(namespace: Mapping[str, Any]) -> ModuleIdentity:
    """Identify the module whose globals are ``namespace``."""
    name = namespace.get("__name__")
    file = namespace.get("__file__")
    if not isinstance(file, str):
        search = list(getattr(namespace.get("__spec__"), "submodule_search_locations", None) or ())
        file = str(Path(search[0], "__init__.py")) if search else ""
    return identity(name if isinstance(name, str) else "", file)


@cache
def identity(name: str, file: str) -> ModuleIdentity:
    """Identify the module ``name`` that was loaded from ``file`` (empty: from no file).

    A module whose name does not end its path was loaded under a name of someone's making (as cfg.py is): its file name
    is its label, since the name may be another one each time.
    """
    top = name.partition(".")[0]
    if not file:
        return _library(top) if top in INTERPRETERS_OWN else ModuleIdentity(name or "<no module>", None)
    if is_library_file(file, top):
        return _library(top)
    path = Path(file).absolute()
    as_parts = tuple(name.split("."))
    own = (*path.parent.parts, path.stem) if path.stem != "__init__" else path.parent.parts
    if own[-len(as_parts) :] == as_parts:
        root = Path(*own[: -len(as_parts)])
    else:
        root = path.parent.parent if path.stem == "__init__" else path.parent
    return ModuleIdentity(path.relative_to(root).as_posix(), None, path, root)


@cache
def is_library_file(file: str, top: str) -> bool:
    """Say whether ``file``, of the top-level module ``top``, was installed and not written by the user.

    Installed is what lies in the standard library, in a site-packages, or beside the metadata of its distribution
    (``pip install --target``). A package installed in editable mode is the user's own code, save this one.
    """
    path = Path(file)
    if not {"site-packages", "dist-packages"}.isdisjoint(path.parts):
        return True
    resolved = path.resolve()
    libraries = (sysconfig.get_path("stdlib"), sysconfig.get_path("platstdlib"))
    if resolved.is_relative_to(OWN_PACKAGE) or any(
        resolved.is_relative_to(Path(place).resolve()) for place in libraries
    ):
        return True
    beside = next((parent.parent for parent in path.parents if parent.name == top), path.parent)
    return top.isidentifier() and any(beside.glob(f"{top}-*.dist-info"))


@cache
def _library(top: str) -> ModuleIdentity:
    if top in INTERPRETERS_OWN:
        return ModuleIdentity("python", f"{sys.version_info.major}.{sys.version_info.minor}")
    return ModuleIdentity(top, installed_version(top))


@cache
def installed_version(top: str) -> str:
    """Give the version of the distribution that holds the top-level module ``top``; "unknown" if nothing tells."""
    try:
        return importlib.metadata.version(top)
    except importlib.metadata.PackageNotFoundError:
        pass
    version = getattr(sys.modules.get(top), "__version__", None)
    if isinstance(version, str):
        return version
    distributions = importlib.metadata.packages_distributions().get(top, ())
    return ", ".join(sorted(importlib.metadata.version(name) for name in distributions)) or "unknown"
