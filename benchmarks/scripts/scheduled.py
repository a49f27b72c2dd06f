"""Trivial chunks through an executor on a cluster of two workers: what scheduler and client have to do for them.

    python scheduled.py SIDE CHUNKS WORK_MS [profile]

SIDE is ``coffea`` or ``pocket_exec``: both on a cluster of the same kind, made anew, whose scheduler is in this
process. The last line printed has the seconds, the growth of this process's resident memory, and the tasks that the
scheduler knew at most; with ``profile``, where the client's own thread spends its time.
"""

from __future__ import annotations

import functools
import gc
import json
import sys
import threading
import time
from pathlib import Path
from typing import Any

# Those who start this have both beside them; the workers get them from here.
sys.path.insert(0, str(Path(__file__).absolute().parents[1]))

from many_chunks import small_result, work_items
from profiling import profile
from two_workers import cluster, on_cluster

WARM_UP = 200
LOOKED_EVERY_S = 0.05


def worked(item: Any, work_ms: float) -> Any:
    """Be busy for a while, and return a small histogram."""
    until = time.perf_counter() + work_ms / 1e3
    result = small_result(item)
    while time.perf_counter() < until:
        pass
    return result


class Watch:
    """The largest resident memory of this process, and the largest number of tasks that its scheduler knows."""

    def __init__(self, scheduler: Any) -> None:
        self._scheduler = scheduler
        self._over = threading.Event()
        self.before_mb = self.peak_mb = resident_mb()
        self.tasks = 0
        self._thread = threading.Thread(target=self._look, daemon=True)
        self._thread.start()

    def _look(self) -> None:
        while not self._over.wait(LOOKED_EVERY_S):
            self.peak_mb = max(self.peak_mb, resident_mb())
            self.tasks = max(self.tasks, len(self._scheduler.tasks))

    def stop(self) -> None:
        """Look no more."""
        self._over.set()
        self._thread.join()
        self.peak_mb = max(self.peak_mb, resident_mb())


def resident_mb() -> float:
    """Return this process's resident memory."""
    status = Path("/proc/self/status").read_text()
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS:")) * 1024 / 1e6


def main(side: str, chunks: str, work_ms: str, *asked: str) -> None:
    """Measure."""
    items = work_items(int(chunks))
    function = functools.partial(worked, work_ms=float(work_ms))
    with cluster() as client:
        made = dict(zip(("coffea", "pocket_exec"), on_cluster(client), strict=True))[side]
        made()(items[:WARM_UP], function, None)
        if asked:
            print(json.dumps(profile(lambda: made()(items, function, None))))
            return
        gc.collect()
        watch = Watch(client.cluster.scheduler)
        begin = time.perf_counter()
        total, error = made()(items, function, None)
        seconds = time.perf_counter() - begin
        watch.stop()
        assert error == 0
        assert total["out"]["events"] == {"dataset": 1000 * len(items)}
    print(json.dumps({"seconds": seconds, "growth_mb": watch.peak_mb - watch.before_mb, "tasks": watch.tasks}))


if __name__ == "__main__":  # the worker processes import this file
    main(*sys.argv[1:])
