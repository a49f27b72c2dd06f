"""``chunksize: auto``: where a file is cut, from what it says of itself and nothing else.

Neither the executor nor the workers' memory has a say, so that the chunks, and with them the last bit of the result,
are the same everywhere.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence

CHUNK_BYTES = 500_000_000
"""Uncompressed size of a chunk's events. Of a NanoAOD file, a processor reads a fifth or less."""
MOST_EVENTS = 200_000
"""Events in a chunk however small they are: with so many, what a chunk costs by itself is no longer seen."""
LONGEST = 1.5
"""A chunk has at most this many times the events that it should have."""


def auto_events(entries: int, size: int) -> float:
    """Return how many events a chunk should have, in a file of ``entries`` events and ``size`` bytes."""
    return max(1.0, min(MOST_EVENTS, CHUNK_BYTES * entries / size if size else MOST_EVENTS))


def auto_ends(entries: int, size: int, boundaries: Sequence[int]) -> list[int]:
    """Return where the chunks end: each at that of the ascending ``boundaries`` which is nearest to its right length.

    What lies too long between two boundaries is cut into equal parts.

    >>> auto_ends(500_000, 500_000 * 6_000, [0, 50_000, 100_000, 150_000, 500_000])
    [100000, 150000, 237500, 325000, 412500, 500000]
    """
    events = auto_events(entries, size)
    inside = [boundary for boundary in boundaries if 0 < boundary < entries] + [entries]
    ends: list[int] = []
    start = 0
    while start < entries:
        last = entries - start <= LONGEST * events
        end = entries if last else _nearest(inside, bisect_right(inside, start), start + events)
        length = end - start
        parts = round(length / events) if length > LONGEST * events else 1
        ends += [start + length * part // parts for part in range(1, parts + 1)]
        start = end
    return ends


def _nearest(boundaries: Sequence[int], first: int, to: float) -> int:
    """Return the nearest of those from number ``first`` on; of two that are as near, the later one."""
    place = bisect_left(boundaries, to, lo=first)
    around = boundaries[max(first, place - 1) : place + 1]
    return min(around, key=lambda boundary: (abs(boundary - to), -boundary))
