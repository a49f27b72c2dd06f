"""Write the code of a function or a module in a form that comments, docstrings and layout do not change."""

from __future__ import annotations

import ast
import dis
import hashlib
import linecache
from collections.abc import Iterator
from dataclasses import dataclass, field
from types import CodeType

from pocket_exec.engine.syntax import compiled

FUNCTION_NODES = (ast.FunctionDef, ast.AsyncFunctionDef)
DOCUMENTED_NODES = (ast.Module, ast.ClassDef, *FUNCTION_NODES)
GLOBAL_LOADS = {dis.opmap[name] for name in ("LOAD_NAME", "LOAD_FROM_DICT_OR_GLOBALS") if name in dis.opmap}


@dataclass
class NamesReached:
    """What a function's code, with the functions inside it, asks of its module."""

    globals: set[str] = field(default_factory=set)
    imports: set[str] = field(default_factory=set)
    names: set[str] = field(default_factory=set)
    """All names in the code: the attributes that it may take of a module are among them."""


def names_reached(code: CodeType) -> NamesReached:
    """Collect the global names and the imports of ``code``.

    What is looked up by a computed name (``globals()[name]``, ``importlib.import_module(name)``) is not seen.
    """
    reached = NamesReached()
    for part in _nested(code):
        reached.names.update(part.co_names)
        argument = 0
        for operation, low in zip(part.co_code[::2], part.co_code[1::2], strict=True):
            argument = argument << 8 | low
            if operation == dis.EXTENDED_ARG:
                continue
            if operation == dis.opmap["LOAD_GLOBAL"]:  # its lowest bit is a flag, not part of the index
                reached.globals.add(part.co_names[argument >> 1])
            elif operation in GLOBAL_LOADS:
                reached.globals.add(part.co_names[argument])
            elif operation == dis.opmap["IMPORT_NAME"]:
                reached.imports.add(part.co_names[argument])
            argument = 0
    return reached


def function_form(code: CodeType) -> bytes:
    """Digest a function's code: its syntax tree where the source is that of the running code, else its byte code.

    The source is compiled and compared because a file may have been edited since it was imported.
    """
    if code.co_name == "<lambda>":
        return byte_code_form(code)
    linecache.checkcache(code.co_filename)
    definition = _definitions(code.co_filename, "".join(linecache.getlines(code.co_filename))).get(
        (code.co_name, code.co_firstlineno)
    )
    if definition is None or byte_code_form(definition[1]) != byte_code_form(code):
        return byte_code_form(code)
    return tree_form(definition[0])


def tree_form(tree: ast.AST) -> bytes:
    """Digest a syntax tree without positions, docstrings taken out before."""
    return hashlib.sha256(b"tree" + ast.dump(tree).encode("utf-8", "surrogatepass")).digest()


def without_docstrings(tree: ast.AST) -> ast.AST:
    """Take the docstrings out of ``tree`` itself; to be done once, as the next string would then look like one."""
    for node in ast.walk(tree):
        if isinstance(node, DOCUMENTED_NODES) and ast.get_docstring(node, clean=False) is not None:
            node.body = node.body[1:] or [ast.Pass()]
    return tree


def byte_code_form(code: CodeType) -> bytes:
    """Digest byte code and what it uses; a Python of another minor version gives another digest."""
    digest = hashlib.sha256(b"byte code" + code.co_code)
    for names in (code.co_names, code.co_varnames, code.co_freevars, code.co_cellvars):
        digest.update(repr(names).encode())
    counts = (code.co_argcount, code.co_posonlyargcount, code.co_kwonlyargcount, code.co_flags, code.co_exceptiontable)
    digest.update(repr(counts).encode())
    for constant in code.co_consts:
        digest.update(_constant_form(constant))
    return digest.digest()


def _constant_form(value: object) -> bytes:
    match value:
        case CodeType():
            return byte_code_form(value)
        case frozenset():
            return b"{" + b"".join(sorted(_constant_form(item) for item in value)) + b"}"
        case tuple():
            return b"(" + b"".join(_constant_form(item) for item in value) + b")"
        case _:
            text = repr(value).encode("utf-8", "surrogatepass")
            return hashlib.sha256(type(value).__name__.encode() + b":" + text).digest()


_Definition = tuple[ast.AST, CodeType]
_parsed: dict[str, tuple[str, dict[tuple[str, int], _Definition]]] = {}


def _definitions(filename: str, source: str) -> dict[tuple[str, int], _Definition]:
    if filename not in _parsed or _parsed[filename][0] != source:
        _parsed[filename] = (source, dict(_compiled_definitions(filename, source)))
    return _parsed[filename][1]


def _compiled_definitions(filename: str, source: str) -> Iterator[tuple[tuple[str, int], _Definition]]:
    try:
        tree, module = compiled(source, filename)
    except (SyntaxError, ValueError):
        return
    codes: dict[tuple[str, int], list[CodeType]] = {}
    for code in _nested(module):
        codes.setdefault((code.co_name, code.co_firstlineno), []).append(code)
    for node in ast.walk(without_docstrings(tree)):
        if isinstance(node, FUNCTION_NODES):
            place = (node.name, min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)]))
            if len(codes.get(place, ())) == 1:
                yield place, (node, codes[place][0])


def _nested(code: CodeType) -> Iterator[CodeType]:
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _nested(constant)
