"""An analysis whose first chunks are fast and whose last ones take for ever, for runs that are ended half-way."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

from coffea.processor import ProcessorABC

ON_ITS_WAY_S = 2.0
"""How long the first answer may take to the client, before the run is ended."""


class Slow(ProcessorABC):  # type: ignore[misc]  # coffea is not typed
    """Count events; from entry ``fast`` on, make a file and wait for somebody to remove it."""

    def __init__(self, fast: int, sign: str) -> None:
        self.fast = fast
        self.sign = sign

    def process(self, events: Any) -> dict[str, int]:
        begun = Path(f"{self.sign}, and a fast chunk is done")
        if events.metadata["entrystart"] < self.fast:
            begun.touch()
        if events.metadata["entrystart"] >= self.fast:
            # A worker that came later may be at a slow chunk before the first one is through a fast one. Any fast
            # one will do: the others may stand in the queue of a worker that is at a slow one.
            while self.fast and not (begun.exists() and time.time() - begun.stat().st_mtime > ON_ITS_WAY_S):
                time.sleep(0.05)
            Path(self.sign).touch()
            while Path(self.sign).exists():
                time.sleep(0.05)
        return {"events": len(events)}


fileset = {"DY": {"files": [os.environ["SLOW_FILE"]]}}
processor = Slow(int(os.environ["SLOW_FROM"]), os.environ["SLOW_SIGN"])
run_options = {"chunksize": 50, "worker-timeout": 60}
