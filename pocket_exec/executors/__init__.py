"""Executor factories: they acquire what an executor needs and release it whatever happens."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pocket_exec.executors.batch import BatchExecutorFactory, HTCondorExecutorFactory, SlurmExecutorFactory
    from pocket_exec.executors.dask import (
        DaskExecutorFactory,
        LocalDaskExecutorFactory,
        SchedulerDaskExecutorFactory,
    )
    from pocket_exec.executors.factory import ExecutorFactory, ExecutorFactoryABC
    from pocket_exec.executors.local import FuturesExecutorFactory, IterativeExecutorFactory

__all__ = [
    "BatchExecutorFactory",
    "DaskExecutorFactory",
    "ExecutorFactory",
    "ExecutorFactoryABC",
    "FuturesExecutorFactory",
    "HTCondorExecutorFactory",
    "IterativeExecutorFactory",
    "LocalDaskExecutorFactory",
    "SchedulerDaskExecutorFactory",
    "SlurmExecutorFactory",
]

_HOMES = {
    "BatchExecutorFactory": "batch",
    "ExecutorFactory": "factory",
    "ExecutorFactoryABC": "factory",
    "FuturesExecutorFactory": "local",
    "HTCondorExecutorFactory": "batch",
    "IterativeExecutorFactory": "local",
    "SlurmExecutorFactory": "batch",
}


def __getattr__(name: str) -> Any:
    """Import a factory when it is asked for: Dask's are slow to import."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib

    return getattr(importlib.import_module(f"{__name__}.{_HOMES.get(name, 'dask')}"), name)
