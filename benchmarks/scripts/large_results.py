"""Chunks whose results are large and do not compress, through an executor alone, or added up one after the other.

    python large_results.py EXECUTOR CHUNKS MEGABYTES

EXECUTOR is as in ``own_script.py``, or ``loop``. The last line printed has the seconds and by how much this process's
own memory grew at most, in results: what it had in memory of files, which the system may take back, is not counted.
"""

from __future__ import annotations

import functools
import json
import sys
import threading
import time
from pathlib import Path
from typing import Any

import hist
import numpy as np
from coffea.processor import accumulate
from coffea.processor.executor import WorkItem
from own_script import opened

HISTOGRAMS = 5
BYTES_OF_A_BIN = 8
LOOKED_EVERY_S = 0.005


def work_items(chunks: int) -> list[WorkItem]:
    """Return chunks of one file."""
    return [WorkItem("dataset", "file.root", "Events", 1000 * c, 1000 * c + 1000, b"", {}) for c in range(chunks)]


def large_result(item: WorkItem, megabytes: int) -> dict[str, Any]:
    """Return histograms of random numbers, ``megabytes`` in all."""
    bins = megabytes * 10**6 // (HISTOGRAMS * BYTES_OF_A_BIN)
    random = np.random.default_rng(item.entrystart)
    out: dict[str, Any] = {"events": {item.dataset: len(item)}}
    for number in range(HISTOGRAMS):
        out[f"histogram {number}"] = histogram = hist.Hist.new.Reg(bins, 0, 1, flow=False).Double()
        random.random(out=histogram.view())
    return {"out": out, "processed": {item}}


def own_mb() -> float:
    """Return the memory that is this process's own."""
    status = Path("/proc/self/status").read_text()
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("RssAnon:")) * 1024 / 1e6


class Peak:
    """Watches this process's memory; ``VmHWM`` would have what it took to start, too."""

    def __init__(self) -> None:
        self.before_mb = self.mb = own_mb()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def stop(self) -> float:
        """Return by how much it has grown at most."""
        self._over.set()
        self._thread.join()
        return self.mb - self.before_mb

    def _watch(self) -> None:
        while not self._over.wait(LOOKED_EVERY_S):
            self.mb = max(self.mb, own_mb())


def main(executor_name: str, chunks: str, megabytes: str) -> None:
    """Run, check, and print what it took."""
    items = work_items(int(chunks))
    function = functools.partial(large_result, megabytes=int(megabytes))
    if executor_name == "loop":
        peak, begin = Peak(), time.perf_counter()
        total = function(items[0])
        for item in items[1:]:
            total = accumulate([function(item)], total)
        seconds, growth_mb = time.perf_counter() - begin, peak.stop()
    else:
        with opened(executor_name) as executor:
            executor.copy()(items[:2], functools.partial(large_result, megabytes=1), None)
            peak, begin = Peak(), time.perf_counter()
            total, error = executor.copy()(items, function, None)
            seconds, growth_mb = time.perf_counter() - begin, peak.stop()
        assert error == 0, error
    assert total["out"]["events"] == {"dataset": 1000 * len(items)}
    assert len(total["processed"]) == len(items)
    print(json.dumps({"seconds": seconds, "accumulators": growth_mb / int(megabytes)}))


if __name__ == "__main__":  # the worker processes import this file
    main(*sys.argv[1:])
