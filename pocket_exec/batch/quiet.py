"""Keeps Dask's loggers quiet while its parts are taken down."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager

_ROOTS = ("distributed", "tornado", "asyncio", "dask_jobqueue", "bokeh")
_lock = threading.Lock()
_levels: dict[str, int] = {}
_inside = 0


@contextmanager
def quiet_dask() -> Iterator[None]:
    """Let Dask's parts report nothing for the length of the block: they take each other's end for a fault."""
    global _inside  # noqa: PLW0603 - loggers are the process's, and so is the count of who wants them quiet
    with _lock:
        _inside += 1
        if _inside == 1:
            names = [name for name in logging.root.manager.loggerDict if name.partition(".")[0] in _ROOTS]
            for name in {*_ROOTS, *names}:
                _levels[name] = logging.getLogger(name).level
                logging.getLogger(name).setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        with _lock:
            _inside -= 1
            if not _inside:
                for name, level in _levels.items():
                    logging.getLogger(name).setLevel(level)
                _levels.clear()
