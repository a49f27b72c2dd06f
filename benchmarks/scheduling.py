"""What scheduler and client have to do for a chunk: time, memory and tasks, beside coffea's DaskExecutor."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from measure import Figure, Row, in_turns, printed

ROUNDS = 5
SCRIPT = Path(__file__).absolute().parent / "scripts" / "scheduled.py"
SIDES = {"DaskExecutor": "coffea", "pocket-exec": "pocket_exec"}
TRIVIAL = (1_000, 10_000, 50_000)
TIME_GOAL = 14.0
MEMORY_GOAL_MB = 40.0
TASKS_OF = 4_000
TASKS_GOAL = 60
WORK_MS = 1.0
REASON = (
    "What is fixed counts more, the fewer chunks there are: the function on its way to the workers, and batches that "
    "begin with one chunk, together some 0.1 s."
)


def rows(*, quick: bool) -> Iterator[Row]:
    """Yield a row for each number of trivial chunks, memory at the largest, and the tasks known."""
    rounds = 1 if quick else ROUNDS
    for chunks in [100, 1_000] if quick else TRIVIAL:
        took = _in_turns(chunks, 0.0, rounds)
        ms = {name: [1e3 * run["seconds"] / chunks for run in took[name]] for name in SIDES}
        what = f"{chunks} trivial chunks: pocket-exec"
        sides = ms["pocket-exec"], "DaskExecutor", ms["DaskExecutor"]
        profiled = partial(printed, [sys.executable, SCRIPT, "pocket_exec", str(chunks), "0", "profile"])
        yield Row(what, *sides, "ms/chunk", TIME_GOAL, Figure.SPEED_UP, reason=REASON, profile=profiled)
    yield _amount(f"growth of scheduler and client at {chunks} chunks", took, "growth_mb", "MB", MEMORY_GOAL_MB)
    chunks = TASKS_OF // 10 if quick else TASKS_OF
    took = _in_turns(chunks, WORK_MS, rounds)
    yield _amount(f"tasks the scheduler knows at {chunks} chunks", took, "tasks", "", TASKS_GOAL)


def _in_turns(chunks: int, work_ms: float, rounds: int) -> dict[str, list[dict[str, float]]]:
    words = [str(chunks), str(work_ms)]
    variants = {name: partial(printed, [sys.executable, SCRIPT, side, *words]) for name, side in SIDES.items()}
    return in_turns(variants, rounds)


def _amount(what: str, took: dict[str, list[dict[str, float]]], key: str, unit: str, goal: float) -> Row:
    ours, theirs = ([run[key] for run in took[name]] for name in ("pocket-exec", "DaskExecutor"))
    return Row(what, ours, "DaskExecutor", theirs, unit, goal, Figure.AMOUNT)
