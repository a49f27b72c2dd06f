"""Names the user's own files in the tracebacks of workers that run copies of them."""

from __future__ import annotations

import ast
import linecache
import re
import sys
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

import cloudpickle

from pocket_exec.engine.syntax import parsed

_COPY = re.compile(r'(?m)^  File "(?P<path>[^"]*?/(?:code|pocket-exec-code-[^/"]*)/(?P<name>[^"]+\.py))"')
"""A line of a traceback about a module of the code archive, which a worker unpacks into a directory of its own."""
_BY_VALUE = re.compile(r'(?m)^  File "<dynamic-code>", line (?P<line>\d+), in (?P<name>.+)$')
"""A line about code that was pickled by value: cloudpickle 3.1 leaves out what file it is from."""


def with_users_files(traceback: str) -> str:
    """Return a worker's traceback with the files that this process imports from where the worker has copies of them.

    What is not there to be imported here, and a file that is there under the worker's own path, keeps its name. So does
    code that was pickled by value where more than one file may be meant.
    """
    return _BY_VALUE.sub(_pickled_from, _COPY.sub(_users, traceback))


def _users(line: re.Match[str]) -> str:
    if Path(line["path"]).exists():
        return line[0]
    found = (Path(place, line["name"]).absolute() for place in sys.path)
    path = next((path for path in found if path.is_file()), None)
    return f'  File "{path}"' if path else line[0]


def _pickled_from(line: re.Match[str]) -> str:
    number, name = int(line["line"]), line["name"]
    files = [file for file in _pickled_by_value() if _has(file, name.rpartition(".")[2], number)]
    if len(files) != 1:
        return line[0]
    linecache.checkcache(files[0])
    source = linecache.getline(files[0], number).strip()
    return f'  File "{files[0]}", line {number}, in {name}' + (f"\n    {source}" if source else "")


def _pickled_by_value() -> Iterator[str]:
    """Yield the files of the script and of the modules whose code travels."""
    for name in sorted({"__main__", *cloudpickle.list_registry_pickle_by_value()}):
        file = getattr(sys.modules.get(name), "__file__", None)
        if isinstance(file, str):
            yield str(Path(file).absolute())


def _has(file: str, name: str, line: int) -> bool:
    """Whether a function of a file has that line; any function for a ``<lambda>`` and the like."""
    return any(first <= line <= last and (name in (own, "") or name[0] == "<") for own, first, last in _functions(file))


def _functions(file: str) -> list[tuple[str, int, int]]:
    try:
        status = Path(file).stat()
    except OSError:
        return []
    return _functions_of(file, (status.st_mtime_ns, status.st_size))


@lru_cache(maxsize=100)
def _functions_of(file: str, _stamp: tuple[int, int]) -> list[tuple[str, int, int]]:
    try:
        tree = parsed(Path(file).read_bytes())
    except (OSError, SyntaxError, ValueError):
        return []
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)
    nodes = [node for node in ast.walk(tree) if isinstance(node, kinds)]
    return [(getattr(node, "name", "<lambda>"), node.lineno, node.end_lineno or node.lineno) for node in nodes]
