"""A run on two workers, one of which is killed at three quarters: what is computed again.

    python lost_worker.py SIDE CHUNKS WORK_MS

SIDE is ``coffea`` or ``pocket_exec``. The last line printed has the chunks that were begun more than once, and those of
them that were not in flight on the killed worker: of no batch that had been begun there and not been answered.
"""

from __future__ import annotations

import functools
import json
import os
import signal
import sys
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).absolute().parents[1]))

from dimuons import ours
from many_chunks import work_items
from scheduled import worked
from two_workers import PATIENCE_S, cluster, on_cluster

from pocket_exec.executors.dask_pool import DaskPool

KILLED_AT = 0.75
LOOKED_EVERY_S = 0.005


def noted(item: Any, work_ms: float, log: Path) -> Any:
    """Process a chunk, and leave which one it is and where: one line, one write."""
    with log.open("a") as lines:
        lines.write(f"{os.getpid()} {number(item)}\n")
    return worked(item, work_ms)


def number(item: Any) -> int:
    """Return which chunk of ``work_items`` it is."""
    return int.from_bytes(item.fileuuid, "big") * 100 + item.entrystart // 1000


class RecordingPool(DaskPool):
    """Remembers what is in flight."""

    def __init__(self, client: Any) -> None:
        """Run on the workers of ``client``."""
        super().__init__(client, PATIENCE_S)
        self.in_flight: dict[int, set[int]] = {}

    def _submitted(self, task: int, item: Any, **how: Any) -> Any:
        """Take note of the batch's chunks, to whichever worker it goes."""
        self.in_flight[task] = {number(each) for span in item.spans for each in span.items}
        return super()._submitted(task, item, **how)

    def wait(self, timeout_s: float | None) -> Any:
        """Take note of the batches that are back."""
        answers = super().wait(timeout_s)
        for task, _ in answers:
            self.in_flight.pop(task, None)
        return answers


def begun(log: Path) -> list[tuple[int, int]]:
    """Return the worker's process and the number of each chunk that was begun."""
    lines = log.read_text().splitlines() if log.exists() else []
    return [(int(pid), int(chunk)) for pid, chunk in (line.split() for line in lines)]


class Killer:
    """Kills the worker that began the last chunk, once enough were begun, and looks at what was in flight then."""

    def __init__(self, log: Path, after: int, pool: RecordingPool | None) -> None:
        self._log, self._after, self._pool = log, after, pool
        self.lost: set[int] = set()
        self._thread = threading.Thread(target=self._kill, daemon=True)
        self._thread.start()

    def _kill(self) -> None:
        while len({chunk for _, chunk in begun(self._log)}) < self._after:
            time.sleep(LOOKED_EVERY_S)
        victim = begun(self._log)[-1][0]
        batches = [] if self._pool is None else [set(batch) for batch in self._pool.in_flight.values()]
        os.kill(victim, signal.SIGKILL)
        there = {chunk for pid, chunk in begun(self._log) if pid == victim}
        self.lost = {chunk for batch in batches if batch & there for chunk in batch}

    def join(self) -> None:
        """Wait for its end."""
        self._thread.join()


def main(side: str, chunks: str, work_ms: str) -> None:
    """Measure."""
    items = work_items(int(chunks))
    with tempfile.TemporaryDirectory(prefix="bench-") as made, cluster() as client:
        log = Path(made) / "begun"
        pool = RecordingPool(client) if side == "pocket_exec" else None
        executor = on_cluster(client)[0]() if pool is None else ours(pool=pool)
        killer = Killer(log, int(KILLED_AT * len(items)), pool)
        function = functools.partial(noted, work_ms=float(work_ms), log=log)
        total, error = executor(items, function, None)
        killer.join()
        assert error == 0
        assert total["out"]["events"] == {"dataset": 1000 * len(items)}
        again = {chunk for chunk, times in Counter(chunk for _, chunk in begun(log)).items() if times > 1}
        print(json.dumps({"again": len(again), "not_in_flight": len(again - killer.lost)}))


if __name__ == "__main__":  # the worker processes import this file
    main(*sys.argv[1:])
