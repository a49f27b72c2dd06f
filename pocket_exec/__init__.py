"""Run a coffea analysis anywhere, from the laptop to a batch farm, with one word and the same bits."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pocket_exec.api import open_executor, run
    from pocket_exec.errors import PartialResult, PocketExecError
    from pocket_exec.runs.course import RunResult

__all__ = ["PartialResult", "PocketExecError", "RunResult", "open_executor", "run"]

_HOMES = {
    "PartialResult": "errors",
    "PocketExecError": "errors",
    "RunResult": "runs.course",
    "open_executor": "api",
    "run": "api",
}


def __getattr__(name: str) -> Any:
    """Import what is asked for: coffea and Dask take their time."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib

    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
