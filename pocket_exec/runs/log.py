"""The log of one run: a file beside its results."""

from __future__ import annotations

import logging
import sys
import threading
import time
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from pocket_exec.runs.atomic import storage_faults
from pocket_exec.runs.failure_log import TRACEBACK
from pocket_exec.runs.masking import masked_text

_FORMAT = "%(asctime)s %(levelname)-8s %(name)s: %(message)s"


@contextmanager
def run_log(path: Path, level: int | str = logging.INFO) -> Iterator[None]:
    """Write what this project logs, and Python's warnings, to ``path`` for the time of the block.

    The file is begun anew and its directory is made. The root logger is left alone, and handlers of loggers above this
    project's see what they would see without it. Two at a time in one process, from two threads, each hold both runs'
    lines. Raises OutputDirectoryError when the file cannot be opened; a disk that fills up later costs the log, not the
    run.
    """
    with storage_faults(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        handler = _File(path, mode="w", encoding="utf-8", errors="backslashreplace")
    handler.setLevel(level)
    handler.setFormatter(_Formatter(_FORMAT, datefmt="%Y-%m-%d %H:%M:%SZ"))
    try:
        with _heard(handler):
            yield
    finally:
        handler.close()


class _Formatter(logging.Formatter):
    """Writes UTC, whole tracebacks of the user's code, and no secret."""

    converter = staticmethod(time.gmtime)

    def format(self, record: logging.LogRecord) -> str:
        text = super().format(record)
        if users := getattr(record, TRACEBACK, ""):
            text += f"\n{users}"
        return masked_text(text)


class _File(logging.FileHandler):
    """A file that may fill up: what cannot be written is dropped, without a word per line on the terminal."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802, logging's own name
        if not isinstance(sys.exc_info()[1], OSError):
            super().handleError(record)

    def close(self) -> None:
        with suppress(OSError):
            super().close()


class _Upward(logging.Handler):
    """Hands on to the loggers above what would have reached them at the level from before."""

    def emit(self, record: logging.LogRecord) -> None:
        above = _PROJECT.parent
        if above is not None:
            above.callHandlers(record)


_PROJECT = logging.getLogger("pocket_exec")
_WARNINGS = logging.getLogger("py.warnings")
_LOCK = threading.Lock()
_OPEN: list[logging.Handler] = []
_UNDO = ExitStack()


@contextmanager
def _heard(handler: logging.Handler) -> Iterator[None]:
    with _LOCK:
        if not _OPEN:
            _begin()
        _OPEN.append(handler)
        _PROJECT.setLevel(min(_PROJECT.getEffectiveLevel(), handler.level))
        for logger in (_PROJECT, _WARNINGS):
            logger.addHandler(handler)
    try:
        yield
    finally:
        with _LOCK:
            for logger in (_PROJECT, _WARNINGS):
                logger.removeHandler(handler)
            _OPEN.remove(handler)
            if not _OPEN:
                _UNDO.close()


def _begin() -> None:
    _UNDO.callback(_PROJECT.setLevel, _PROJECT.level)
    if _PROJECT.propagate:
        upward = _Upward(_PROJECT.getEffectiveLevel())
        _PROJECT.propagate = False
        _PROJECT.addHandler(upward)
        _UNDO.callback(setattr, _PROJECT, "propagate", True)
        _UNDO.callback(_PROJECT.removeHandler, upward)
    shown = warnings.showwarning
    logging.captureWarnings(True)
    # Unchanged where somebody captures them already, who goes on after this run.
    if warnings.showwarning is not shown:
        _UNDO.callback(logging.captureWarnings, False)
