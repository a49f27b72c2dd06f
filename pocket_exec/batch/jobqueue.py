"""Imports dask-jobqueue without what that does to the process and to the home directory, from any thread."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def no_handlers_installed() -> Iterator[None]:
    """Let what is imported in the block install no signal handler.

    dask-jobqueue 0.9.0 does so when it is imported: Ctrl-C would be SystemExit with status 0 afterwards, and in another
    thread than the main one the import would fail (dask-jobqueue#667, #696).
    """
    importing = threading.get_ident()
    install = signal.signal

    def guarded(number: int, handler: Any) -> Any:
        if threading.get_ident() == importing:
            return signal.getsignal(number)
        return install(number, handler)

    signal.signal = guarded  # type: ignore[assignment]  # it takes what the other one takes
    try:
        yield
    finally:
        signal.signal = install


@contextmanager
def no_template_written() -> Iterator[None]:
    """Let what is imported in the block leave no template of its configuration in the user's ``~/.config/dask``.

    dask-jobqueue 0.9.0 does so when it is imported (``dask.config.ensure_file``); its defaults are there all the same.
    """
    import dask.config

    ensure_file = dask.config.ensure_file
    dask.config.ensure_file = lambda source, destination=None, comment=True: None
    try:
        yield
    finally:
        dask.config.ensure_file = ensure_file


with no_handlers_installed(), no_template_written():
    from dask_jobqueue.core import Job, JobQueueCluster

__all__ = ["Job", "JobQueueCluster"]
