"""Runs a Python file of the user's, with its own traceback when it fails."""

from __future__ import annotations

import importlib.util
import re
import sys
import sysconfig
import traceback
from pathlib import Path
from types import ModuleType

_HEADING = "Traceback (most recent call last):\n"


class FailedImport(Exception):
    """A file that does not import: ``args[0]`` is the text for the user, ``__cause__`` the error."""


def load_module(path: Path, name: str) -> ModuleType:
    """Import the file at ``path`` as module ``name``; the modules beside it can be imported too, from now on.

    Raises:
        FailedImport: the file is missing, has a syntax error, or raises.
    """
    path = path.absolute()
    if not path.is_file():
        raise FailedImport(f"{path}: {'it is a directory' if path.is_dir() else 'no such file'}")
    if str(path.parent) not in sys.path:
        sys.path.insert(0, str(path.parent))
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise FailedImport(f"{path}: not a Python file (its name must end in .py)")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException as error:
        del sys.modules[name]
        if isinstance(error, KeyboardInterrupt):
            raise
        raise FailedImport(f"{path} failed:\n{users_traceback(error, path)}") from error
    return module


def users_traceback(error: BaseException, path: Path) -> str:
    """Return the traceback of ``error`` from the user's file at ``path`` to the last line of the user's.

    What libraries do below that line is left out, and what called the file too. A syntax error is shown at its line.
    """
    path = path.absolute()
    told = traceback.TracebackException.from_exception(error)
    if isinstance(error, SyntaxError) and Path(error.filename or "").is_file():
        return "".join(told.format_exception_only()).rstrip()
    cause: traceback.TracebackException | None = told
    while cause is not None:
        theirs = [number for number, frame in enumerate(cause.stack) if _is_beside(frame.filename, path)]
        cause.stack[:] = cause.stack[theirs[0] : theirs[-1] + 1] if theirs else []
        cause = cause.__cause__ or (None if cause.__suppress_context__ else cause.__context__)
    # Without a line of the user's, the heading stands above nothing.
    return re.sub(rf"{re.escape(_HEADING)}(?!  )", "", "".join(told.format())).rstrip()


def _is_beside(file: str, path: Path) -> bool:
    """Whether ``file`` is the user's as ``path`` is: in its directory or below, and not of an environment there."""
    places = (str(Path(__file__).parent), *map(sysconfig.get_path, ("stdlib", "purelib", "platlib")))
    libraries = [place for place in places if not path.is_relative_to(place)]
    return Path(file).is_relative_to(path.parent) and not any(map(Path(file).is_relative_to, libraries))
