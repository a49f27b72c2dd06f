"""A cfg.py that counts the events of one file: how many chunks there are is all that matters."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import hist
from coffea.nanoevents import BaseSchema
from coffea.processor import ProcessorABC


class CountEvents(ProcessorABC):
    """Counts."""

    def process(self, events: Any) -> dict[str, Any]:
        histogram = hist.Hist.new.Reg(100, 0, 1, name="x").Weight()
        histogram.fill(x=[0.5])
        return {"histogram": histogram, "events": len(events)}

    def postprocess(self, output: dict[str, Any]) -> dict[str, Any]:
        return output


fileset = {"dataset": {"files": {str(Path(os.environ["BENCH_FILE"]).absolute()): "Events"}}}
processor = CountEvents()
schema = BaseSchema
