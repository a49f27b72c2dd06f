"""Read a user's module as source: its whole content without comments and docstrings, and the modules it imports."""

from __future__ import annotations

import ast
import hashlib
import sys
from collections.abc import Iterator
from importlib.machinery import ModuleSpec, PathFinder
from importlib.util import find_spec
from pathlib import Path

from pocket_exec.engine.code_form import tree_form, without_docstrings
from pocket_exec.engine.module_identity import ModuleIdentity, identity, identity_of_globals
from pocket_exec.engine.syntax import parsed


def read_source(module: ModuleIdentity) -> tuple[bytes, list[ModuleIdentity]]:
    """Digest the file of ``module`` and identify what it imports, at any level of it.

    A file that is not Python's source counts by its bytes.
    """
    if module.file is None or module.root is None:
        return b"", []
    try:
        content = module.file.read_bytes()
    except OSError:  # a namespace package, a file that is gone
        return b"", []
    try:
        tree = parsed(content)
    except (SyntaxError, ValueError):
        return hashlib.sha256(content).digest(), []
    names = sorted(set(_imported_names(tree, module.label)))
    found = [located(name, module.root) for name in names]
    return tree_form(without_docstrings(tree)), [one for one in found if one is not None]


def located(name: str, root: Path) -> ModuleIdentity | None:
    """Identify the module ``name``, loaded or not, without importing it; None if there is no such module.

    It is looked for in ``root`` and then where Python looks.
    """
    if name in sys.modules:
        return identity_of_globals(vars(sys.modules[name]))
    top, *rest = name.split(".")
    spec = PathFinder.find_spec(top, [str(root)]) or _installed(top)
    if spec is None:
        return None
    found = identity(top, spec.origin or "")
    if not found.users:
        return found
    for depth, _ in enumerate(rest, start=2):
        spec = PathFinder.find_spec(".".join(name.split(".")[:depth]), spec.submodule_search_locations or [])
        if spec is None:
            return None
    return identity(name, spec.origin or "")


def _installed(top: str) -> ModuleSpec | None:
    try:
        return find_spec(top)
    except (ImportError, ValueError):
        return None


def _imported_names(tree: ast.AST, label: str) -> Iterator[str]:
    """Give the dotted names that are imported, with ``a.b`` for ``from a import b``: it may be a module."""
    package = label.split("/")[:-1]
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else []
            base = ".".join([*above, *([node.module] if node.module else [])])
            if base:
                yield base
                yield from (f"{base}.{alias.name}" for alias in node.names if alias.name != "*")
