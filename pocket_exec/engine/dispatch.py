"""Keeps a pool of workers fed with items, and meets what goes wrong by the policy."""

from __future__ import annotations

import heapq
import time
from collections import deque
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from pocket_exec.engine.chunk import Answer, Trouble
from pocket_exec.engine.outcome import FaultKind
from pocket_exec.engine.policy import Policy
from pocket_exec.engine.pool import Function, Pool

Replicas = Mapping[str, Sequence[str]]
"""Other addresses of a file, by the name that the fileset has for it."""


@dataclass(frozen=True, slots=True)
class Settled:
    """An item that is done, or given up: its number, its last answer, and how many attempts it took."""

    task: int
    answer: Answer
    attempts: int


@dataclass
class Dispatch:
    """One pass of ``function`` over ``items`` on ``pool``; iterate over ``settled()``."""

    pool: Pool
    policy: Policy
    items: Sequence[Any]
    replicas: Replicas = field(default_factory=dict)
    _fresh: deque[int] = field(default_factory=deque)
    _later: list[tuple[float, int]] = field(default_factory=list)
    _suspects: deque[int] = field(default_factory=deque)
    _flying: set[int] = field(default_factory=set)
    _attempts: dict[int, int] = field(default_factory=dict)
    _alone: int | None = None
    """The item that runs with no other beside it."""

    def settled(self, function: Function) -> Generator[Settled, None, None]:
        """Run all items and yield each once it is settled; on any exception the pool is left with nothing to do.

        The consumer stops the run by closing the iterator.
        """
        self._fresh.extend(range(len(self.items)))
        self.pool.load(function)
        try:
            while self._fresh or self._later or self._suspects or self._flying:
                self._feed()
                for task, answer in self.pool.wait(self._patience()):
                    self._flying.discard(task)
                    for warning in answer.warned:
                        warning.again()
                    if self._may_be_innocent(task, answer.trouble):
                        self._attempts[task] -= 1
                        self._suspects.append(task)
                        continue
                    attempts = self._attempts[task]
                    if answer.trouble is None or attempts >= self._most_attempts(task, answer.trouble):
                        del self._attempts[task]
                        yield Settled(task, answer, attempts)
                    else:
                        self._again(task, answer.trouble, attempts)
        finally:
            if self._flying:
                self.pool.cancel()

    def _feed(self) -> None:
        now = time.monotonic()
        slots = self.pool.slots()
        # A pool that cannot say which item killed a worker runs those under suspicion alone, one at a time.
        if self._alone in self._flying:
            return
        if self._suspects:
            if not self._flying:
                self._alone = self._suspects.popleft()
                self._submit(self._alone)
            return
        self._alone = None
        while len(self._flying) < slots:
            if self._later and self._later[0][0] <= now:
                self._submit(heapq.heappop(self._later)[1])
            elif self._fresh:
                self._submit(self._fresh.popleft())
            else:
                return

    def _most_attempts(self, task: int, trouble: Trouble) -> int:
        """Return how many attempts the item gets: what cannot be read, one at each of its addresses at least."""
        most = self.policy.attempts(trouble)
        if trouble.kind in (FaultKind.STORAGE, FaultKind.BAD_FILE):
            return max(most, len(self.replicas.get(getattr(self.items[task], "filename", ""), ())))
        return most

    def _may_be_innocent(self, task: int, trouble: Trouble | None) -> bool:
        lost = trouble is not None and trouble.kind is FaultKind.LOST_WORKER
        return lost and not self.pool.blames_exactly and task != self._alone

    def _submit(self, task: int) -> None:
        attempt = self._attempts[task] = self._attempts.get(task, 0) + 1
        self._flying.add(task)
        self.pool.submit(task, self._addressed(self.items[task], attempt))

    def _addressed(self, item: Any, attempt: int) -> Any:
        """Take the next replica of the item's file at each attempt."""
        addresses = self.replicas.get(getattr(item, "filename", ""), ())
        if attempt == 1 or len(addresses) < 2:
            return item
        return _readdress(item, addresses[(attempt - 1) % len(addresses)])

    def _again(self, task: int, trouble: Trouble, attempts: int) -> None:
        if trouble.kind is FaultKind.LOST_WORKER and not self.pool.blames_exactly:
            self._suspects.append(task)
        else:
            heapq.heappush(self._later, (time.monotonic() + self.policy.delay_s(trouble, attempts), task))

    def _patience(self) -> float | None:
        """How long to wait for an answer before there is something else to do."""
        if not self._later or (self._flying and (self._suspects or self._alone in self._flying)):
            return None
        if self._flying and len(self._flying) >= self.pool.slots():
            return None
        wait = max(0.0, self._later[0][0] - time.monotonic())
        if not self._flying:
            time.sleep(wait)
            return 0.0
        return wait


def _readdress(item: Any, address: str) -> Any:
    from coffea.processor.executor import FileMeta

    if isinstance(item, FileMeta):
        return FileMeta(item.dataset, address, item.treename, item.metadata, item.preload)
    return replace(item, filename=address)
