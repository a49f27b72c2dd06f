"""What is computed again after a worker was killed at three quarters of a run."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from measure import Figure, Row, in_turns, printed

ROUNDS = 5
CHUNKS = 200
WORK_MS = 50
SCRIPT = Path(__file__).absolute().parent / "scripts" / "lost_worker.py"


def rows(*, quick: bool) -> Iterator[Row]:
    """Yield the chunks computed again, and those of them that had no reason to be."""
    chunks = CHUNKS // 2 if quick else CHUNKS
    words = [str(chunks), str(WORK_MS // 2 if quick else WORK_MS)]
    variants = {side: partial(printed, [sys.executable, SCRIPT, side, *words]) for side in ("coffea", "pocket_exec")}
    took = in_turns(variants, 1 if quick else ROUNDS)
    again = {side: [run["again"] for run in runs] for side, runs in took.items()}
    needless = [run["not_in_flight"] for run in took["pocket_exec"]]
    what = f"a worker killed at 75 %: of {chunks} chunks computed again, not in flight on it"
    yield Row(what, needless, "", [], "chunks", 0, Figure.AMOUNT)
    what = f"a worker killed at 75 %: of {chunks} chunks computed again"
    yield Row(what, again["pocket_exec"], "DaskExecutor", again["coffea"], "chunks", None, Figure.AMOUNT)
