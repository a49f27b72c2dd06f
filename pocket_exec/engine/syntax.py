"""Parses and compiles source, in one thread at a time.

Of two threads that do it at the same time, one may get a SystemError: "AST constructor recursion depth mismatch" (seen
with Python 3.11.7, python/cpython#106905). Nor are the filters of warnings one thread's own.
"""

from __future__ import annotations

import ast
import threading
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import CodeType
from typing import Any

_lock = threading.Lock()


def parsed(source: str | bytes) -> ast.Module:
    """Return the syntax tree of a module.

    Raises:
        SyntaxError, ValueError: it is no Python.
    """
    with _alone():
        return ast.parse(source)


def compiled(source: str, filename: str) -> tuple[ast.Module, CodeType]:
    """Return the syntax tree of a module, and its code.

    Raises:
        SyntaxError, ValueError: it is no Python.
    """
    with _alone():
        tree = ast.parse(source)
        return tree, compile(tree, filename, "exec", dont_inherit=True)


def evaluated(node: ast.expr, names: Mapping[str, Any]) -> Any:
    """Return the value of an expression in which nothing but these names is known; it raises what it raises."""
    with _alone():
        code = compile(ast.Expression(node), "<expression>", "eval", dont_inherit=True)
    return eval(code, {"__builtins__": {}}, names)


@contextmanager
def _alone() -> Iterator[None]:
    with _lock, warnings.catch_warnings():
        # They are the author's affair.
        warnings.simplefilter("ignore")
        yield
