"""How far the chunks of a dataset are, how fast they have gone lately, and how long the rest will take."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass

from pocket_exec.engine.outcome import DatasetOutcome, DatasetPlan, Failure

WINDOW_S = 60.0
"""The rate is that of the last minute: workers come and go, the mean since the start knows only their past."""
_BUCKET_S = 1.0
_KEEP = 10
"""Marks kept however old: with chunks of many minutes, a minute's window would be empty."""


class Pace:
    """Events per second over a recent window, in constant memory."""

    __slots__ = ("_bucket", "_chunk_s", "_events", "_marks")

    def __init__(self, started: float) -> None:
        self._marks: deque[tuple[float, int]] = deque([(started, 0)])
        self._bucket = started
        self._events = 0
        self._chunk_s = 0.0

    def add(self, now: float, events: int, seconds: float) -> None:
        """Count ``events`` that are done ``now``, by a chunk that took ``seconds`` on its worker."""
        marks = self._marks
        self._events += events
        self._chunk_s += (seconds - self._chunk_s) * (0.2 if len(marks) > 1 else 1.0)
        # Workers that began together end together: a mark holds the whole burst.
        if len(marks) > 1 and now - self._bucket < max(_BUCKET_S, self._chunk_s / 10):
            marks[-1] = (now, self._events)
            return
        self._bucket = now
        marks.append((now, self._events))
        while len(marks) > _KEEP and marks[1][0] <= now - WINDOW_S:
            marks.popleft()

    def per_second(self, now: float) -> float | None:
        """Return the rate, or None before the first result.

        Between two results of long chunks nothing has slowed down: silence counts against the rate only once it is
        longer than a chunk takes.
        """
        (first, before), (last, _) = self._marks[0], self._marks[-1]
        span = last - first + max(0.0, now - last - self._chunk_s)
        return (self._events - before) / span if span > 0 and self._events > before else None


@dataclass(slots=True)
class Progress:
    """One dataset, or all of them, on the way: counters that one thread writes and another may read."""

    name: str
    chunks_planned: int
    events_planned: int
    chunks: int = 0
    events: int = 0
    failed: int = 0
    left_out: int = 0
    """Chunks without a result by the user's own word; they are not among ``failed``."""
    events_failed: int = 0
    done: bool = False
    pace: Pace | None = None
    """None before the first result."""

    @classmethod
    def of(cls, plan: DatasetPlan) -> Progress:
        """Return the progress of a dataset of which nothing is done."""
        return cls(plan.dataset, plan.chunks, plan.events)

    @property
    def running(self) -> bool:
        """Whether some of it is done, but not all."""
        return not self.done and self.chunks + self.failed + self.left_out > 0

    def add(self, now: float, events: int, seconds: float) -> None:
        """Count a chunk that is done."""
        if self.pace is None:
            # Before its first result nobody says when a dataset's turn came; the chunk's own time does.
            self.pace = Pace(now - seconds)
        self.chunks += 1
        self.events += events
        self.pace.add(now, events, seconds)

    def resume(self, chunks: int, events: int) -> None:
        """Count chunks that were there already."""
        self.chunks += chunks
        self.events += events

    def fail(self, failure: Failure) -> None:
        """Count a chunk that was given up."""
        if failure.skipped:
            self.left_out += 1
        else:
            self.failed += 1
        self.events_failed += max(0, failure.entrystop - failure.entrystart)

    def finish(self, outcome: DatasetOutcome) -> None:
        """Take the final numbers, which know also of results that did not add up."""
        self.chunks, self.events = outcome.chunks, outcome.events
        self.left_out = sum(1 for failure in outcome.failures if failure.skipped)
        self.failed = len(outcome.failures) - self.left_out
        self.done = True

    def seconds_left(self, now: float) -> float | None:
        """Return the time that what is left takes at the recent pace; None where nothing is known."""
        left = max(0, self.events_planned - self.events - self.events_failed)
        if self.done or not left:
            return 0.0
        rate = self.per_second(now)
        return left / rate if rate else None

    def per_second(self, now: float) -> float | None:
        """Return the recent events per second; None where nothing is known."""
        return None if self.pace is None else self.pace.per_second(now)


def together(rows: Iterable[Progress], pace: Pace | None) -> Progress:
    """Return the sum of ``rows``, with a pace of its own."""
    total = Progress("total", 0, 0, done=True, pace=pace)
    for row in rows:
        total.chunks_planned += row.chunks_planned
        total.events_planned += row.events_planned
        total.chunks += row.chunks
        total.events += row.events
        total.failed += row.failed
        total.left_out += row.left_out
        total.events_failed += row.events_failed
        total.done = total.done and row.done
    return total
