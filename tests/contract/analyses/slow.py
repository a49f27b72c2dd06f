"""An analysis whose first chunk is fast and whose others take for ever, for runs that are ended half-way."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

from coffea.processor import ProcessorABC

FIRST_S = 0.5
"""Longer than a run keeps an answer before it writes it to its ledger, where a test sees that the client has it."""


class Slow(ProcessorABC):  # type: ignore[misc]  # coffea is not typed
    """Count the events of the chunk that comes first; with any other, make a file and wait for somebody to remove it.

    Which one comes first, no executor promises.
    """

    def __init__(self, sign: str) -> None:
        self.sign = sign

    def process(self, events: Any) -> dict[str, int]:
        try:
            Path(f"{self.sign}, and one chunk is fast").touch(exist_ok=False)
            time.sleep(FIRST_S)
        except FileExistsError:
            Path(self.sign).touch()
            while Path(self.sign).exists():
                time.sleep(0.05)
        return {"events": len(events)}


fileset = {"DY": {"files": [os.environ["SLOW_FILE"]]}}
processor = Slow(os.environ["SLOW_SIGN"])
run_options = {"chunksize": 50, "worker-timeout": 60}
