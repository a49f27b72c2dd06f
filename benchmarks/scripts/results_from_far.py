"""Results of 10 MB from the workers of a Dask scheduler.

    python results_from_far.py ADDRESS KIND CHUNKS SIDE

KIND is ``few``, ``counts`` or ``random``; SIDE ``pocket-exec``, or ``uncompressed``: the same without compression.
The last line printed has the seconds. ``ADDRESS wait WORKERS SECONDS`` waits for workers.
"""

from __future__ import annotations

import functools
import json
import sys
import time

from coffea.processor.executor import WorkItem
from distributed import Client
from large_bins import MADE, result

from pocket_exec.engine.executor import PocketExecutor
from pocket_exec.executors.dask_pool import DaskPool

PATIENCE_S = 60.0


class Uncompressed(DaskPool):
    """Does not tell the workers how fast results come."""

    def bytes_s(self) -> float:
        """Return what stands for unknown."""
        return 0.0


def work_items(start: int, chunks: int) -> list[WorkItem]:
    """Return chunks of one file."""
    return [WorkItem("dataset", "file.root", "Events", c, c + 1, b"", {}) for c in range(start, start + chunks)]


def main(address: str, kind: str, chunks: str, side: str) -> None:
    """Run, check, and print what it took."""
    with Client(address) as client:
        if kind == "wait":
            client.wait_for_workers(int(chunks), timeout=float(side))
            print(json.dumps({"workers": chunks}))
            return
        pool = (DaskPool if side == "pocket-exec" else Uncompressed)(client, PATIENCE_S)
        executor = PocketExecutor(pool=pool)
        function = functools.partial(result, kind=kind)
        first, items = work_items(0, 2 * MADE), work_items(100 * MADE, int(chunks))
        # The workers have made everything before the clock starts, and it is known how fast results come.
        executor.copy()(first, function, None)
        begin = time.perf_counter()
        total, error = executor.copy()(items, function, None)
        seconds = time.perf_counter() - begin
        assert error == 0, error
        assert len(total["processed"]) == len(items)
        print(json.dumps({"seconds": seconds}))


if __name__ == "__main__":
    main(*sys.argv[1:])
