"""Imports dask-jobqueue without the SIGINT handler that it installs, from any thread."""

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


with no_handlers_installed():
    from dask_jobqueue.core import Job, JobQueueCluster

__all__ = ["Job", "JobQueueCluster"]
