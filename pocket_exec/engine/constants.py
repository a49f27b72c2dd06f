"""Constants of the user's modules that were changed after the import: workers import the modules as they are written.

``import cuts; cuts.PT = 20`` in a cfg.py, a script or a notebook changes the module of that process only. So what
differs from the file travels with the function.
"""

from __future__ import annotations

import ast
import importlib
import os
import secrets
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

from pocket_exec.engine.module_identity import is_library_file
from pocket_exec.engine.syntax import parsed

_TOKEN: int = secrets.randbits(64)
"""Processes of two machines may have one number."""
_ALONE = (type(None), bool, int, float, complex, str, bytes)
_TOGETHER = (tuple, list, set, frozenset)


@dataclass(frozen=True)
class Constants:
    """Values by the names of module and global, and the process that they are from."""

    values: Mapping[tuple[str, str], Any] = field(default_factory=dict)
    process: tuple[int, int] = field(default_factory=lambda: (os.getpid(), _TOKEN))

    def hold(self) -> None:
        """Give modules of a worker's process these values, and those of another call before it their own again."""
        if self is _held.now or self.process == (os.getpid(), _TOKEN):
            return
        with _lock:
            for (module, name), value in _held.before.items():
                # The user's code may have unloaded it.
                with suppress(KeyError):
                    setattr(sys.modules[module], name, value)
            _held.before = {}
            for (module, name), value in self.values.items():
                # What of it the function needs, it says itself.
                with suppress(Exception):
                    there = importlib.import_module(module)
                    _held.before[module, name] = getattr(there, name)
                    setattr(there, name, value)
            _held.now = self


def changed_constants() -> Constants:
    """Return the globals of the user's modules whose plain value is another one than the file gives them.

    What the file computes is not looked at: it may well differ from machine to machine.
    """
    found: dict[tuple[str, str], Any] = {}
    for name, module in sys.modules.copy().items():
        # Objects of other kinds stand there, too.
        if type(module) is not ModuleType or name == "__main__" or not _is_users(name, module):
            continue
        for constant, written in _written(Path(str(module.__file__))):
            now = vars(module).get(constant, written)
            # Of equal values of different types, as of the signs of zero, only the text tells.
            if _is_plain(now) and repr(now) != repr(written):
                found[name, constant] = now
    return Constants(found)


def _is_users(name: str, module: ModuleType) -> bool:
    file, top = getattr(module, "__file__", None), name.partition(".")[0]
    if not isinstance(file, str) or not file.endswith(".py") or top in sys.stdlib_module_names:
        return False
    return not is_library_file(file, top)


def _written(file: Path) -> Iterator[tuple[str, Any]]:
    """Yield the globals that a file sets to what stands there, with the value that they have last."""
    try:
        tree = parsed(file.read_bytes())
    except (OSError, SyntaxError, ValueError):
        return
    last: dict[str, ast.expr | None] = {}
    for node in tree.body:
        if isinstance(node, ast.Assign):
            last.update((target.id, node.value) for target in node.targets if isinstance(target, ast.Name))
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            last[node.target.id] = node.value
    for name, value in last.items():
        with suppress(ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
            if value is not None:
                yield name, ast.literal_eval(value)


def _is_plain(value: Any) -> bool:
    kind = type(value)
    if kind is dict:
        return all(_is_plain(key) and _is_plain(part) for key, part in value.items())
    return kind in _ALONE or (kind in _TOGETHER and all(map(_is_plain, value)))


class _Held:
    """What this process has instead of what the files say, and what that was."""

    def __init__(self) -> None:
        self.now: Constants | None = None
        self.before: dict[tuple[str, str], Any] = {}


_held = _Held()
_lock = threading.Lock()
