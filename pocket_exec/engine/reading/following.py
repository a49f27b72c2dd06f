"""Which chunks come after this one in the same file: as announced, or as the order so far lets expect."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from itertools import islice
from typing import Any

from pocket_exec.engine.plan import readdressed

MOST_EXPECTED = 15
"""Chunks that are read ahead without having been announced."""

MOST_ANNOUNCED = 100
"""Chunks of a file that are looked at to choose where a run ends."""

_here = threading.local()


@contextmanager
def announced(items: Sequence[Any]) -> Iterator[None]:
    """Say that this thread processes these WorkItems and no others, in this order, while the context lasts."""
    before = getattr(_here, "announced", None)
    _here.announced = _Announced(items)
    try:
        yield
    finally:
        _here.announced = before


@contextmanager
def moved(name: str, address: str) -> Iterator[None]:
    """Say that what was announced of the file ``name`` is read at another address of it, while the context lasts."""
    before: _Announced | None = getattr(_here, "announced", None)
    if before is not None and name != address:
        _here.announced = before.moved(name, address)
    try:
        yield
    finally:
        _here.announced = before


class Following:
    """One thread's way through the chunks."""

    def __init__(self) -> None:
        self._before: Any = None
        self._in_order = 0
        """How many times in a row what came next was what follows in the file; what is announced together is one."""

    def stops(self, item: Any, entries: int) -> list[int]:
        """Return the ends of the chunks that follow ``item`` without a gap in a file of ``entries``."""
        announced: _Announced | None = getattr(_here, "announced", None)
        stops = [] if announced is None else announced.stops(item)
        last = item if announced is None else announced.last
        reached = stops[-1] if stops else item.entrystop
        if last is None or _end(last) != (item.filename, item.treename, reached):
            return stops
        size = item.entrystop - item.entrystart
        # Each time that it came as expected lets expect twice as many: a wrong guess costs no more than was gained.
        most = min(2**self._in_order - 1, MOST_EXPECTED) if size else 0
        expected = {min(reached + n * size, entries) for n in range(1, most + 1)}
        return stops + sorted(stop for stop in expected if stop > reached)

    def came(self, item: Any, entries: int) -> None:
        """Take note that ``item`` of a file of ``entries`` is next."""
        before, self._before = self._before, (item.filename, item.treename, item.entrystop, entries)
        announced: _Announced | None = getattr(_here, "announced", None)
        if before is None or (announced is not None and not announced.begins(item)):
            return
        name, treename, stop, entries_before = before
        same_file = (name, treename) == (item.filename, item.treename) and stop == item.entrystart
        next_file = name != item.filename and stop == entries_before and not item.entrystart
        self._in_order = min(self._in_order + 1, 10) if same_file or next_file else 0


class _Announced:
    """Items with their places, which are looked up once per chunk."""

    def __init__(self, items: Sequence[Any]) -> None:
        self._items = items
        self.last = items[-1] if items else None
        self._moved: dict[tuple[str, str], _Announced] = {}

    def moved(self, name: str, address: str) -> _Announced:
        """Return the same with another address of a file."""
        key = name, address
        if key not in self._moved:
            items = [readdressed(item, address) if item.filename == name else item for item in self._items]
            self._moved[key] = _Announced(items)
        return self._moved[key]

    def begins(self, item: Any) -> bool:
        """Whether nothing was announced before ``item``."""
        return not self._places.get(_entries(item), 0)

    @cached_property
    def _places(self) -> dict[tuple[str, str, int, int], int]:
        return {_entries(item): place for place, item in enumerate(self._items)}

    def stops(self, item: Any) -> list[int]:
        """Return the ends of the items that follow ``item`` in its file without a gap."""
        place = self._places.get(_entries(item))
        stops: list[int] = []
        reached = item.entrystop
        for other in [] if place is None else islice(self._items, place + 1, place + 1 + MOST_ANNOUNCED):
            same_file = (other.filename, other.treename) == (item.filename, item.treename)
            if not same_file or other.entrystart != reached or other.entrystop <= reached:
                break
            reached = other.entrystop
            stops.append(reached)
        return stops


def _entries(item: Any) -> tuple[str, str, int, int]:
    return (item.filename, item.treename, item.entrystart, item.entrystop)


def _end(item: Any) -> tuple[str, str, int]:
    return (item.filename, item.treename, item.entrystop)
