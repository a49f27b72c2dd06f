"""Imports dask-jobqueue without what that does to the process and to the home directory, from any thread."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from pocket_exec.interrupts import handlers_kept


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


with handlers_kept(), no_template_written():
    from dask_jobqueue.core import Job, JobQueueCluster

__all__ = ["Job", "JobQueueCluster"]
