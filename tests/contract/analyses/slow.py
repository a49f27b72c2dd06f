"""An analysis whose first chunks are fast and whose last ones take for ever, for runs that are ended half-way."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

from coffea.processor import ProcessorABC


class Slow(ProcessorABC):
    """Count events; from entry FAST on, say so in a file and sleep."""

    def __init__(self, fast: int, sign: str) -> None:
        self.fast = fast
        self.sign = sign

    def process(self, events: Any) -> dict[str, int]:
        if events.metadata["entrystart"] >= self.fast:
            Path(self.sign).touch()
            time.sleep(300)
        return {"events": len(events)}


fileset = {"DY": {"files": [os.environ["SLOW_FILE"]]}}
processor = Slow(int(os.environ["SLOW_FROM"]), os.environ["SLOW_SIGN"])
run_options = {"chunksize": 50, "worker-timeout": 60}
