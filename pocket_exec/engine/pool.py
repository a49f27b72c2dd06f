"""Where items run: what the engine asks of a pool of workers, and the pool that is this very process."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Sequence
from typing import Any, Protocol, runtime_checkable

from pocket_exec.engine.chunk import Answer, attempt
from pocket_exec.engine.remote import could_travel

Function = Callable[[Any], Any]


class Pool(Protocol):
    """Workers that take items one by one and answer in any order.

    The engine keeps at most ``slots()`` items in flight and calls everything from one thread.
    """

    blames_exactly: bool
    """Whether a lost worker is charged to the item it was running, and to no other."""
    batch_s: float
    """Seconds of work that make a task worth sending; 0: every chunk is one."""

    def load(self, function: Function) -> None:
        """Hand over the function that the next items are for, once per worker rather than once per item."""

    def slots(self) -> int:
        """Return how many items are worth having in flight now; at least 1."""

    def submit(self, task: int, item: object) -> None:
        """Start item number ``task``."""

    def wait(self, timeout_s: float | None) -> list[tuple[int, Answer]]:
        """Return what has been answered: at least one unless ``timeout_s`` is over.

        Raises:
            FarmError: the workers are gone and will not come back.
        """

    def cancel(self) -> None:
        """Forget everything that is in flight."""


@runtime_checkable
class KeepsApart(Protocol):
    """A pool that can give an item a worker for itself while others go on elsewhere."""

    def places_apart(self) -> int:
        """Return how many items may be apart now; 0: none."""

    def submit_apart(self, task: int, item: object) -> None:
        """Start item number ``task`` on a worker for itself, whose death is charged to it alone."""


@runtime_checkable
class Measures(Protocol):
    """A pool that knows how fast answers come to this process."""

    def bytes_s(self) -> float:
        """Return the bytes a second; 0 while nobody knows."""


@runtime_checkable
class Joins(Protocol):
    """A pool that can spread a task over several workers, on which the answers become one."""

    def submit_spread(self, task: int, items: Sequence[object], join: Callable[[Any, Any], Any]) -> None:
        """Start neighbouring items as one task; ``join`` makes one packed answer of two, left and right."""


@runtime_checkable
class Chooses(Protocol):
    """A pool that can give an item to the worker that is best for it; its answers name their workers."""

    def workers(self) -> Collection[str]:
        """Return the workers that there are, by about the last second."""

    def submit_near(self, task: int, item: object, worker: str) -> None:
        """Start item number ``task`` on that worker, or on another one where it has enough to do, or is gone."""


@runtime_checkable
class Avoids(Protocol):
    """A pool that can keep an item off the worker that has failed with it; its answers name their workers."""

    def submit_elsewhere(self, task: int, item: object, worker: str) -> None:
        """Start item number ``task`` on another worker than that one, where there is another."""


class SerialPool:
    """One item after the other, here."""

    blames_exactly = True
    batch_s = 0.0

    def __init__(self) -> None:
        self._function: Function | None = None
        self._queue: deque[tuple[int, object]] = deque()
        self._can_travel = False

    def load(self, function: Function) -> None:
        """Keep ``function``."""
        self._function, self._can_travel = function, False

    def slots(self) -> int:
        """Return 1: there is one of us."""
        return 1

    def submit(self, task: int, item: object) -> None:
        """Queue the item; it runs when its answer is asked for."""
        self._queue.append((task, item))

    def wait(self, timeout_s: float | None) -> list[tuple[int, Answer]]:
        """Run the next item."""
        if not self._queue or self._function is None:
            return []
        task, item = self._queue.popleft()
        answer = attempt(self._function, item)
        if not self._can_travel:
            # Nothing leaves this process, but what cannot would be found out when the result is saved, at the end.
            answer = could_travel(answer)
            self._can_travel = answer.value is not None
        return [(task, answer)]

    def cancel(self) -> None:
        """Drop the queue."""
        self._queue.clear()
