"""Keeps Dask workers apart on which an item that may kill its worker runs, with no other of the run beside it."""

from __future__ import annotations

from collections.abc import Collection, Hashable, Mapping
from typing import Any, Generic, TypeVar

Item = TypeVar("Item", bound=Hashable)

SHARE = 4
"""Of so many workers one is kept apart at most; where there are two, one."""


class Apart(Generic[Item]):
    """The items that run apart, and the worker that each has for itself."""

    def __init__(self) -> None:
        self._workers: dict[Item, str] = {}

    def __bool__(self) -> bool:
        return bool(self._workers)

    @staticmethod
    def places(workers: int) -> int:
        """Return how many items may be apart at a time, with so many workers; 0 where the others could not go on."""
        return max(1, workers // SHARE) if workers > 1 else 0

    def choose(self, tasks: Mapping[str, Collection[Any]]) -> str | None:
        """Return the free worker with the fewest tasks, by the tasks that each worker has now; None where none is."""
        free = sorted(set(tasks) - set(self._workers.values()))
        return min(free, key=lambda worker: len(tasks[worker]), default=None)

    def put(self, item: Item, worker: str) -> None:
        """Note that an item has a worker for itself."""
        self._workers[item] = worker

    def moved(self, item: Item, other: Item) -> None:
        """Let another item take an item's place."""
        if item in self._workers:
            self._workers[other] = self._workers.pop(item)

    def drop(self, item: Item) -> None:
        """Forget an item, apart or not."""
        self._workers.pop(item, None)

    def others(self, workers: Collection[str]) -> list[str] | None:
        """Return the workers that all other items may use; None: all of them."""
        return sorted(set(workers) - set(self._workers.values())) or None if self._workers else None

    def lost(self, workers: Collection[str]) -> list[Item]:
        """Return the items whose worker is no longer there: Dask would wait for it."""
        return [item for item, worker in self._workers.items() if worker not in workers]
