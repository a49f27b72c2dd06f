"""Large results that do not compress: the wall time of adding them up, and what the client's memory sees of them."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from measure import Figure, Row, in_turns, printed

ROUNDS = 5
MEDIUM = (200, 10)
LARGE = (64, 100)
"""Chunks, and the megabytes of each one's result."""
QUICK = (16, 1)
CLIENT = "the client takes in the sum of each task by itself: decrypts, reads, adds, and writes what waits"
READ_BACK = "two sums, and what one of them is being read from or written as, are there at once"
SCRIPT = Path(__file__).absolute().parent / "scripts" / "large_results.py"


def rows(*, quick: bool) -> Iterator[Row]:
    """Yield coffea's DaskExecutor over this project's, then what the largest results cost beside plain adding."""
    rounds = 1 if quick else ROUNDS
    chunks, megabytes = QUICK if quick else MEDIUM
    took = _measured(["pocket_exec:dask", "coffea:dask"], rounds, chunks, megabytes)
    what = f"{chunks} chunks with results of {megabytes} MB that do not compress, 2 workers"
    ours, theirs = _seconds(took["pocket_exec:dask"]), _seconds(took["coffea:dask"])
    yield Row(what, ours, "DaskExecutor", theirs, "s", 5, Figure.SPEED_UP)
    chunks, megabytes = QUICK if quick else LARGE
    took = _measured(["pocket_exec:dask", "loop"], rounds, chunks, megabytes)
    what = f"{chunks} chunks with results of {megabytes} MB, 2 workers"
    ours, theirs = _seconds(took["pocket_exec:dask"]), _seconds(took["loop"])
    yield Row(what, ours, "made and added in one process", theirs, "s", 2, reason=CLIENT)
    grown = [run["accumulators"] for run in took["pocket_exec:dask"]]
    beside = [run["accumulators"] for run in took["loop"]]
    what = f"the same: growth of the client's memory, in results of {megabytes} MB"
    yield Row(what, grown, "that one process", beside, "results", 3, Figure.AMOUNT, reason=READ_BACK)


def _measured(sides: Sequence[str], rounds: int, chunks: int, megabytes: int) -> dict[str, list[dict[str, Any]]]:
    words = [str(chunks), str(megabytes)]
    variants = {side: partial(printed, [sys.executable, SCRIPT, side, *words]) for side in sides}
    took: dict[str, list[dict[str, Any]]] = in_turns(variants, rounds)
    return took


def _seconds(runs: Sequence[dict[str, Any]]) -> list[float]:
    return [run["seconds"] for run in runs]
