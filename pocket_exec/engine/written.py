"""What the files of the user's modules give their globals: constants that can be told without running the file."""

from __future__ import annotations

import ast
import importlib.util
import math
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from pocket_exec.engine.syntax import evaluated, parsed

_FUNCTIONS = (range, len, min, max, sum, abs, round, int, float, str, bool, tuple, list, dict, set, frozenset, sorted)
_BUILTINS = {function.__name__: function for function in _FUNCTIONS}
_ARRAYS = {"array", "asarray", "arange", "linspace", "logspace", "geomspace", "concatenate", "newaxis"}
_NUMBERS = {"pi", "e", "inf", "nan", "float32", "float64", "int32", "int64", "sqrt", "log", "log10", "exp", "deg2rad"}
_CALCULATING = (
    ast.Constant,
    ast.Tuple,
    ast.List,
    ast.Set,
    ast.Dict,
    ast.UnaryOp,
    ast.unaryop,
    ast.BinOp,
    ast.operator,
    ast.Subscript,
    ast.Slice,
    ast.Name,
    ast.Attribute,
    ast.Call,
    ast.keyword,
    ast.expr_context,
)
_OF_LISTS = {"append", "extend", "insert", "remove", "pop", "clear", "sort", "reverse"}
_CHANGING = _OF_LISTS | {"update", "setdefault", "popitem", "add", "discard"}
"""Methods of containers that change them."""


class Written:
    """The constants of some modules, by their names, from their files.

    With ``strict`` none that the module's own code changes later is among them: to know that, all of it is looked
    through, which takes longer than all else.
    """

    def __init__(self, files: Mapping[str, str], *, strict: bool) -> None:
        self._modules = {name: _Module(name, file, strict=strict) for name, file in files.items()}
        self._constants: dict[str, dict[str, Any]] = {}

    def constants(self, module: str) -> dict[str, Any]:
        """Return the globals that a module sets to a constant, ``Class.attribute`` among them, with that value."""
        if module not in self._constants:
            # Of modules that import each other, one has not got its names yet.
            self._constants[module] = {}
            taken_over = {
                name: self.constants(origin)[there]
                for name, (origin, there) in self.taken_over(module).items()
                if there in self.constants(origin)
            }
            self._constants[module] = self._modules[module].values(taken_over)
        return self._constants[module]

    def changes(self, module: str, name: str) -> bool:
        """Whether a module's own code changes a global later; the modules have to be read strictly."""
        return self._modules[module].changes(name)

    def computed(self, module: str) -> set[str]:
        """Return the globals that a module sets to something else."""
        return self._modules[module].names - self.constants(module).keys()

    def taken_over(self, module: str) -> dict[str, tuple[str, str]]:
        """Return the globals that a module imports from other user's modules, and where each comes from."""
        found: dict[str, tuple[str, str]] = {}
        for origin, name, as_name in self._modules[module].taken:
            if origin in self._modules and origin != module:
                names = self._modules[origin].public() if name == "*" else [name]
                found.update({as_name or each: (origin, each) for each in names})
        return found


class _Module:
    """One file; one that cannot be read has nothing."""

    def __init__(self, name: str, file: str, *, strict: bool) -> None:
        try:
            self._body: list[ast.stmt] = parsed(Path(file).read_bytes()).body
        except (OSError, SyntaxError, ValueError):
            self._body = []
        package = name if Path(file).name == "__init__.py" else name.rpartition(".")[0]
        self.taken = [each for node in self._body if isinstance(node, ast.ImportFrom) for each in _taken(node, package)]
        """Module, name (or ``*``) and the name here (or none), of what it imports at its top."""
        self.names = {name for name, _ in _set(self._body)}
        """Globals that it sets at its top."""
        self._changed = {name for node in self._body for name in _changed(node)} if strict else set[str]()

    def public(self) -> list[str]:
        """Return the names that ``*`` stands for, as a rule."""
        names = self.names | {as_name or name for _, name, as_name in self.taken}
        return [name for name in names if not name.startswith("_")]

    def values(self, taken_over: Mapping[str, Any]) -> dict[str, Any]:
        """Return its constants; ``taken_over``: those that it imports."""
        known = {**_libraries(self._body), **taken_over}
        found = dict(taken_over)
        for name, node in _set(self._body):
            if name in self._changed or (value := _calculated(node, known)) is _UNKNOWN:
                known.pop(name, None)
                found.pop(name, None)
            else:
                known[name] = found[name] = value
        for owner in self._body:
            if isinstance(owner, ast.ClassDef):
                found.update((f"{owner.name}.{name}", _calculated(node, known)) for name, node in _set(owner.body))
        return {name: value for name, value in found.items() if value is not _UNKNOWN and not self.changes(name)}

    def changes(self, name: str) -> bool:
        """Whether its own code changes a global later; it has to be read strictly."""
        owner, dot, attribute = name.partition(".")
        return not self._changed.isdisjoint({name, owner, dot + attribute})


_UNKNOWN = object()


def _set(body: Iterable[ast.stmt]) -> Iterator[tuple[str, ast.expr]]:
    """Yield the names that statements set, one after the other, and to what."""
    for node in body:
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and node.value is not None:
            yield node.target.id, node.value
        if isinstance(node, ast.Assign):
            for target in node.targets:
                yield from _pairs(target, node.value)


def _pairs(target: ast.expr, value: ast.expr) -> Iterator[tuple[str, ast.expr]]:
    if isinstance(target, ast.Name):
        yield target.id, value
    elif isinstance(target, ast.Tuple | ast.List) and isinstance(value, ast.Tuple | ast.List):
        if len(target.elts) == len(value.elts):
            for each, part in zip(target.elts, value.elts, strict=True):
                yield from _pairs(each, part)
    else:
        # Set all the same, and to what cannot be told.
        yield from ((each.id, ast.Name("")) for each in ast.walk(target) if isinstance(each, ast.Name))


def _taken(node: ast.ImportFrom, package: str) -> Iterator[tuple[str, str, str]]:
    with suppress(ImportError, ValueError):
        origin = importlib.util.resolve_name("." * node.level + (node.module or ""), package)
        for alias in node.names:
            yield origin, alias.name, alias.asname or ""


def _changed(node: ast.stmt) -> Iterator[str]:
    """Yield what a statement of a module changes otherwise than by setting it to a constant.

    A global by its name, a class's attribute as ``Class.attribute``, or, of a class that is not named, ``.attribute``.
    """
    scope = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    simple = isinstance(node, ast.Assign | ast.AnnAssign | ast.ClassDef) or scope
    for each in ast.walk(node):
        if isinstance(each, ast.Global):
            yield from each.names
        elif isinstance(each, ast.Attribute | ast.Subscript) and isinstance(each.ctx, ast.Store | ast.Del):
            yield from _owner(each)
        elif isinstance(each, ast.AugAssign) and isinstance(each.target, ast.Name) and not scope:
            yield each.target.id
        elif isinstance(each, ast.Call) and isinstance(each.func, ast.Attribute) and each.func.attr in _CHANGING:
            yield from _owner(each.func.value)
        elif isinstance(each, ast.Name) and isinstance(each.ctx, ast.Store | ast.Del) and not simple:
            yield each.id


def _owner(node: ast.expr) -> Iterator[str]:
    """Yield what is changed when this is set or deleted, or something within it."""
    below = ""
    while isinstance(node, ast.Attribute | ast.Subscript):
        below = node.attr if isinstance(node, ast.Attribute) else below
        node = node.value
    if isinstance(node, ast.Name):
        if node.id in ("cls", "self") and below:
            yield f".{below}"
        else:
            yield f"{node.id}.{below}" if below else node.id


def _libraries(body: Iterable[ast.stmt]) -> dict[str, Any]:
    names = (alias for node in body if isinstance(node, ast.Import) for alias in node.names)
    modules = {"numpy": _numpy(), "math": math}
    return {alias.asname or alias.name: modules[alias.name] for alias in names if alias.name in modules}


def _calculated(node: ast.expr, known: Mapping[str, Any]) -> Any:
    """Return the value of an expression of constants, arithmetic and the usual of numpy; ``_UNKNOWN`` of another."""
    names = {**_BUILTINS, **known}
    if not all(_is_calculation(each, names) for each in ast.walk(node)):
        return _UNKNOWN
    try:
        return evaluated(node, names)
    except Exception:  # noqa: BLE001 - then it is not what it seems
        return _UNKNOWN


def _is_calculation(node: ast.AST, names: Mapping[str, Any]) -> bool:
    if isinstance(node, ast.Attribute):
        library = names.get(node.value.id) if isinstance(node.value, ast.Name) else None
        return library is math or (library is not None and library is _numpy() and node.attr in _ARRAYS | _NUMBERS)
    if isinstance(node, ast.Call) and not isinstance(node.func, ast.Attribute):
        return isinstance(node.func, ast.Name) and names.get(node.func.id) in _FUNCTIONS
    return isinstance(node, _CALCULATING) and (not isinstance(node, ast.Name) or node.id in names)


def _numpy() -> Any:
    return sys.modules.get("numpy")
