"""What is tried again, how often and how soon, and when a run has failed too much to go on."""

from __future__ import annotations

import random
from dataclasses import dataclass

from pocket_exec.engine.chunk import Trouble
from pocket_exec.engine.outcome import FaultKind

USER_ATTEMPTS = 2
"""The user's own error is confirmed once, then believed."""
LONE_DEATHS = 4
"""So many workers that died of a chunk, with no other beside it, are no chance any more."""
HOPELESS = 3
"""A run in which this many files failed by the user's own error, and no chunk succeeded, is stopped."""


@dataclass(frozen=True)
class Policy:
    """How faults are met; the values come from the run options of the same names."""

    retries: int = 0
    """Further attempts after a storage error or a lost worker."""
    max_failures: int | None = None
    """Chunks that may fail before the run is stopped; None: 1 % of them, at least 10."""
    skip_bad_files: bool = False
    """Whether what cannot be read is left out by the user's own word."""
    failed_before: int = 0
    """Files that could not even be cut into chunks: they count as one chunk each."""
    first_delay_s: float = 0.5
    longest_delay_s: float = 30.0
    storage_s: float = 600.0
    """How long after its first storage error a chunk is tried again, from each of its replicas once in any case."""
    lone_deaths: int = LONE_DEATHS
    """Workers that may die of a chunk by itself, the last one included."""

    def allowed_failures(self, chunks: int) -> int:
        """Return how many of ``chunks`` may fail before the run stops."""
        return self.max_failures if self.max_failures is not None else max(10, -(-chunks // 100))

    def attempts(self, trouble: Trouble) -> int:
        """Return how many attempts in all an item with this trouble gets."""
        if trouble.final:
            return 1
        if trouble.kind is FaultKind.USER:
            return USER_ATTEMPTS
        if trouble.kind is FaultKind.RESULT:
            return 1
        if trouble.kind is FaultKind.BAD_FILE:
            return min(USER_ATTEMPTS, self.retries + 1)
        return self.retries + 1

    def delay_s(self, trouble: Trouble, attempt: int) -> float:
        """Return how long to wait before attempt number ``attempt`` + 1: doubling, with jitter, for storage."""
        if not trouble.passing:
            return 0.0
        bound: float = min(self.longest_delay_s, self.first_delay_s * 2.0 ** (attempt - 1))
        return bound * random.uniform(0.5, 1.0)
