"""The Dask task that this thread runs, where it runs one."""

from __future__ import annotations

import sys
from typing import Any


def cancelled() -> bool:
    """Whether nobody waits for it any more; Dask lets one that has begun go on."""
    worker, key = _running()
    if worker is None:
        return False
    try:
        task = worker.state.tasks.get(key)
        return task is None or bool(task.state == "cancelled")
    except AttributeError:
        # A Dask that keeps its books in another way: then a task goes on to its end.
        return False


def worker_address() -> str:
    """Return the address of its worker; empty where there is none."""
    worker, _ = _running()
    return str(getattr(worker, "address", ""))


def _running() -> tuple[Any, Any]:
    """Return worker and key of the task; of both None where this thread runs none."""
    if "distributed.worker" not in sys.modules:
        return None, None
    try:
        from distributed.utils import thread_state  # type: ignore[attr-defined]  # Dask has moved it before

        return thread_state.execution_state["worker"], thread_state.key
    except (ImportError, AttributeError, KeyError, TypeError):
        return None, None
