"""Runs a Python file of the user's, with its own traceback when it fails."""

from __future__ import annotations

import importlib.util
import sys
import traceback
from pathlib import Path
from types import ModuleType, TracebackType


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
    """Return the traceback of ``error`` from the user's file on; a syntax error is shown at its line."""
    if isinstance(error, SyntaxError):
        return "".join(traceback.format_exception_only(error)).rstrip()
    start: TracebackType | None = error.__traceback__
    while start is not None and start.tb_frame.f_code.co_filename != str(path):
        start = start.tb_next
    return "".join(traceback.format_exception(type(error), error, start or error.__traceback__)).rstrip()
