"""What the files of the user's modules give their globals: constants that can be told without running the file."""

from __future__ import annotations

import ast
import importlib.util
import math
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from functools import cached_property, lru_cache
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
_PARTS = 1000
"""Parts of a container that is written out; one of more is a table, not a constant."""
_OF_LISTS = {"append", "extend", "insert", "remove", "pop", "clear", "sort", "reverse"}
_CHANGING = _OF_LISTS | {"update", "setdefault", "popitem", "add", "discard"}
"""Methods of containers that change them."""


class Written:
    """The constants of some modules, by their names, from their files."""

    def __init__(self, files: Mapping[str, str]) -> None:
        self._modules = {name: _module(name, file) for name, file in files.items()}
        self._constants: dict[str, dict[str, Any]] = {}

    def constants(self, module: str) -> dict[str, Any]:
        """Return the globals that a module sets to a constant, ``Class.attribute`` among them, with that value.

        Some may be changed later by the module's own code, which is not looked through.
        """
        if module not in self._constants:
            # Of modules that import each other, one has not got its names yet.
            self._constants[module] = {}
            self._constants[module] = self._modules[module].values(self._from_others(module))
        return self._constants[module]

    def constants_that_stay(self, module: str) -> dict[str, Any]:
        """Return those that the module's own code does not change later; it takes longer than all else."""
        source = self._modules[module]
        found = source.values(self._from_others(module), source.changed)
        return {name: value for name, value in found.items() if not source.changes(name)}

    def changes(self, module: str, name: str) -> bool:
        """Whether a module's code changes a global later, or its functions seem to: that of another module, too."""
        source = self._modules[module]
        return source.changes(name) or any(changed.endswith(f".{name}") for changed in source.changed_by_functions)

    def imports(self, module: str) -> set[str]:
        """Return what a module imports at its top, by full names that modules may have."""
        return self._modules[module].imports

    def computed(self, module: str) -> set[str]:
        """Return the globals that a module sets to something else."""
        return self._modules[module].names - self.constants(module).keys()

    def taken_over(self, module: str) -> dict[str, tuple[str, str]]:
        """Return the globals that a module imports from other user's modules, and where each comes from."""
        found: dict[str, tuple[str, str]] = {}
        for origin, name, as_name in self._modules[module].taken:
            if origin in self._modules and origin != module:
                names = self._modules[origin].public if name == "*" else [name]
                found.update({as_name or each: (origin, each) for each in names})
        return found

    def _from_others(self, module: str) -> dict[str, Any]:
        return {
            name: self.constants(origin)[there]
            for name, (origin, there) in self.taken_over(module).items()
            if there in self.constants(origin)
        }


def _module(name: str, file: str) -> _Module:
    with suppress(OSError):
        status = Path(file).stat()
        return _read(name, file, (status.st_mtime_ns, status.st_size))
    return _Module(name, file)


@lru_cache(maxsize=1000)
def _read(name: str, file: str, _stamp: tuple[int, int]) -> _Module:
    return _Module(name, file)


class _Module:
    """One file, and of it no more than what it sets to what; one that cannot be read has nothing."""

    def __init__(self, name: str, file: str) -> None:
        self._file = file
        body = self._body()
        package = name if Path(file).name == "__init__.py" else name.rpartition(".")[0]
        self.taken = [each for node in body if isinstance(node, ast.ImportFrom) for each in _taken(node, package)]
        """Module, name (or ``*``) and the name here (or none), of what it imports at its top."""
        imported = [alias for node in body if isinstance(node, ast.Import) for alias in node.names]
        self.imports = {alias.name for alias in imported} | {
            full for origin, name, _ in self.taken for full in (origin, f"{origin}.{name}")
        }
        """Names of the modules that it may import at its top."""
        self._libraries = {alias.asname or alias.name: alias.name for alias in imported}
        self._set = list(_set(body))
        classes = [node for node in body if isinstance(node, ast.ClassDef)]
        self._classes = [(f"{node.name}.{name}", value) for node in classes for name, value in _set(node.body)]
        self.names = {name for name, _ in self._set}
        """Globals that it sets at its top."""

    @property
    def public(self) -> list[str]:
        """The names that ``*`` stands for, as a rule."""
        names = self.names | {as_name or name for _, name, as_name in self.taken}
        return [name for name in names if not name.startswith("_")]

    @property
    def changed(self) -> set[str]:
        """What its own code changes otherwise than by setting it to a constant.

        A global by its name, a class's attribute as ``Class.attribute``, or, of a class that is not named,
        ``.attribute``.
        """
        return self._changes.names

    @property
    def changed_by_functions(self) -> set[str]:
        """What of it functions change, as often as they are called."""
        return self._changes.by_functions

    @cached_property
    def _changes(self) -> _Changes:
        found = _Changes()
        for node in self._body():
            found.of_module(node)
        return found

    def changes(self, name: str) -> bool:
        """Whether its own code changes a global later."""
        owner, dot, attribute = name.partition(".")
        return not self.changed.isdisjoint({name, owner, dot + attribute})

    def values(self, taken_over: Mapping[str, Any], changed: Iterable[str] = ()) -> dict[str, Any]:
        """Return its constants: ``taken_over`` are those that it imports; nothing is made of what is ``changed``."""
        available = {"numpy": _numpy(), "math": math}
        known = {name: available[library] for name, library in self._libraries.items() if library in available}
        known = {**_BUILTINS, **known, **taken_over}
        found, changed = dict(taken_over), set(changed)
        for name, node in self._set:
            if name in changed or (value := _calculated(node, known)) is _UNKNOWN:
                known.pop(name, None)
                found.pop(name, None)
            else:
                known[name] = found[name] = value
        found.update((name, _calculated(node, known)) for name, node in self._classes)
        return {name: value for name, value in found.items() if value is not _UNKNOWN}

    def _body(self) -> list[ast.stmt]:
        try:
            return parsed(Path(self._file).read_bytes()).body
        except (OSError, SyntaxError, ValueError, RecursionError, MemoryError):
            return []


_UNKNOWN = object()
_NOTHING = ast.Name("")
"""An expression of which nothing is known."""


def _set(body: Iterable[ast.stmt]) -> Iterator[tuple[str, ast.expr]]:
    """Yield the names that statements set, one after the other, and to what."""
    for node in body:
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and node.value is not None:
            yield node.target.id, _small(node.value)
        if isinstance(node, ast.Assign):
            for target in node.targets:
                yield from _pairs(target, node.value)


def _pairs(target: ast.expr, value: ast.expr) -> Iterator[tuple[str, ast.expr]]:
    if isinstance(target, ast.Name):
        yield target.id, _small(value)
    elif isinstance(target, ast.Tuple | ast.List):
        same = isinstance(value, ast.Tuple | ast.List) and len(target.elts) == len(value.elts)
        values = value.elts if isinstance(value, ast.Tuple | ast.List) and same else [_NOTHING] * len(target.elts)
        for each, part in zip(target.elts, values, strict=True):
            yield from _pairs(each, part)
    elif isinstance(target, ast.Starred):
        yield from _pairs(target.value, _NOTHING)


def _small(value: ast.expr) -> ast.expr:
    parts = value.keys if isinstance(value, ast.Dict) else getattr(value, "elts", ())
    return value if len(parts) <= _PARTS else _NOTHING


def _taken(node: ast.ImportFrom, package: str) -> Iterator[tuple[str, str, str]]:
    with suppress(ImportError, ValueError):
        origin = importlib.util.resolve_name("." * node.level + (node.module or ""), package)
        for alias in node.names:
            yield origin, alias.name, alias.asname or ""


class _Changes(ast.NodeVisitor):
    """Collects what code changes of its module's globals; what is a function's, or a class's, own does not count."""

    def __init__(self) -> None:
        self.names: set[str] = set()
        self.by_functions: set[str] = set()
        self._own: list[set[str]] = []
        self._functions = 0

    def of_module(self, node: ast.stmt) -> None:
        """Look at one of the module's own statements."""
        if not isinstance(node, ast.Assign | ast.AnnAssign | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            self.names |= _stored([node])
        self.visit(node)

    def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
        """Look into a function, with its own names."""
        self._function(node, node.body)

    def visit_AsyncFunctionDef(self, node: ast.AsyncFunctionDef) -> None:
        """Look into a function, with its own names."""
        self._function(node, node.body)

    def visit_Lambda(self, node: ast.Lambda) -> None:
        """Look into a function, with its own names."""
        self._function(node, [node.body])

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        """Look into a class: its methods do not know its names."""
        methods = [part for part in node.body if isinstance(part, ast.FunctionDef | ast.AsyncFunctionDef)]
        for part in methods:
            self.visit(part)
        self._own.append(_stored(node.body))
        for other in node.body:
            if other not in methods:
                self.visit(other)
        self._own.pop()

    def visit_Attribute(self, node: ast.Attribute) -> None:
        """Look at what is set or deleted in an object."""
        if not isinstance(node.ctx, ast.Load):
            self._changed(node, within=False)
        self.generic_visit(node)

    def visit_Subscript(self, node: ast.Subscript) -> None:
        """Look at what is set or deleted in a container."""
        if not isinstance(node.ctx, ast.Load):
            self._changed(node, within=True)
        self.generic_visit(node)

    def visit_Call(self, node: ast.Call) -> None:
        """Look at calls that change a container."""
        if isinstance(node.func, ast.Attribute) and node.func.attr in _CHANGING:
            self._changed(node.func.value, within=True)
        self.generic_visit(node)

    def _function(self, node: ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda, body: Iterable[ast.AST]) -> None:
        body = list(body)
        stored = _stored(body)
        globals_ = {name for each in _within(body) if isinstance(each, ast.Global) for name in each.names}
        self._functions += 1
        self._note(globals_ & stored)
        arguments = {each.arg for each in ast.walk(node.args) if isinstance(each, ast.arg)}
        self._own.append((arguments | stored) - globals_)
        for part in body:
            self.visit(part)
        self._own.pop()
        self._functions -= 1

    def _note(self, names: set[str]) -> None:
        self.names |= names
        self.by_functions |= names if self._functions else set()

    def _changed(self, node: ast.expr, *, within: bool) -> None:
        """Note what is changed when this is set, or, with ``within``, something in it."""
        first, depth = "", 0
        while isinstance(node, ast.Attribute | ast.Subscript):
            first = node.attr if isinstance(node, ast.Attribute) else ""
            node, depth = node.value, depth + 1
        if not isinstance(node, ast.Name):
            return
        if node.id in ("cls", "self") and first:
            # What is set by itself is the instance's own.
            if node.id == "cls" or within or depth > 1:
                self._note({f".{first}"})
        elif not any(node.id in own for own in self._own):
            self._note({f"{node.id}.{first}" if first else node.id})


def _stored(body: Iterable[ast.AST]) -> set[str]:
    """Return the names that statements set, those of functions and classes within them aside."""
    return {each.id for each in _within(body) if isinstance(each, ast.Name) and not isinstance(each.ctx, ast.Load)}


def _within(body: Iterable[ast.AST]) -> Iterator[ast.AST]:
    waiting = list(body)
    while waiting:
        node = waiting.pop()
        yield node
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.Lambda):
            waiting += ast.iter_child_nodes(node)


def _calculated(node: ast.expr, known: Mapping[str, Any]) -> Any:
    """Return the value of an expression of constants, arithmetic and the usual of numpy; ``_UNKNOWN`` of another."""
    try:
        if all(_is_calculation(each, known) for each in ast.walk(node)):
            return evaluated(node, known)
    except Exception:  # noqa: BLE001 - then it is not what it seems
        return _UNKNOWN
    return _UNKNOWN


def _is_calculation(node: ast.AST, known: Mapping[str, Any]) -> bool:
    if isinstance(node, ast.Attribute):
        library = known.get(node.value.id) if isinstance(node.value, ast.Name) else None
        return library is math or (library is not None and library is _numpy() and node.attr in _ARRAYS | _NUMBERS)
    if isinstance(node, ast.Call) and not isinstance(node.func, ast.Attribute):
        called = known.get(node.func.id) if isinstance(node.func, ast.Name) else None
        return any(called is function for function in _FUNCTIONS)
    return isinstance(node, _CALCULATING) and (not isinstance(node, ast.Name) or node.id in known)


def _numpy() -> Any:
    return sys.modules.get("numpy")
