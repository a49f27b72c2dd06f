"""Asks HTCondor's pool how large its machines are, for jobs that no machine takes."""

from __future__ import annotations

import logging
import threading
import time
from dataclasses import dataclass

from pocket_exec.batch.commands import Commands
from pocket_exec.errors import FarmError

log = logging.getLogger(__name__)

_TIMEOUT_S = 20.0
"""A pool of thousands of machines answers within seconds."""
_KEPT_S = 600.0
_WORDS = ("condor_status", "-constraint", 'SlotType =!= "Dynamic"', "-af", "TotalSlotMemory", "TotalSlotCpus")


@dataclass(frozen=True)
class Largest:
    """The most that any machine of the pool has in all, whatever runs there now."""

    memory_mib: int
    cores: int


class Pool:
    """The pool's machines, asked for only when there is a reason, and seldom."""

    def __init__(self, commands: Commands) -> None:
        self._commands = commands
        self._lock = threading.Lock()
        self._asked: float | None = None
        self._largest: Largest | None = None

    def largest(self) -> Largest | None:
        """Return the largest memory and the largest number of cores; None where that is not known."""
        with self._lock:
            if self._asked is None or time.monotonic() - self._asked > _KEPT_S:
                self._largest = self._ask()
                self._asked = time.monotonic()
            return self._largest

    def _ask(self) -> Largest | None:
        try:
            done = self._commands(_WORDS, timeout_s=_TIMEOUT_S)
        except FarmError as error:
            log.debug("how large the machines are is not known: %s", error)
            return None
        # A machine that is on its way in or out says "undefined".
        sizes = [line.split() for line in done.stdout.splitlines()] if done.returncode == 0 else []
        sized = [(int(size[0]), int(size[1])) for size in sizes if len(size) == 2 and all(map(str.isdigit, size))]
        if not sized:
            return None
        return Largest(max(memory for memory, _ in sized), max(cores for _, cores in sized))
