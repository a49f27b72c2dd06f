"""A cfg.py whose processor notes when its first chunk begins."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import hist
from coffea.processor import ProcessorABC

run_options = {"chunksize": 10_000}


class FirstChunk(ProcessorABC):
    """Fills a histogram."""

    def process(self, events: Any) -> dict[str, Any]:
        noted = Path(os.environ["BENCH_FIRST"])
        if not noted.exists():
            noted.write_text(str(time.time()))
        histogram = hist.Hist.new.Reg(100, 0, 200, name="met").Weight()
        histogram.fill(met=events.MET.pt)
        return {"met": histogram}

    def postprocess(self, accumulator: dict[str, Any]) -> dict[str, Any]:
        return accumulator


fileset = {"dataset": {"files": {os.environ["BENCH_FILE"]: "Events"}}}
processor = FirstChunk()
