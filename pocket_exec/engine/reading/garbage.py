"""The garbage collector while a chunk runs: moderate thresholds, and a collection once memory has grown."""

from __future__ import annotations

import gc
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

THRESHOLDS = (20_000, 20, 50)
"""A wide tree is a hundred thousand objects in which the default (700 or 2000) finds nothing, hundreds of times."""

GROWN_BYTES = 256_000_000
"""What a process may grow by before it is searched for cycles: they can hold much memory with few objects."""

_lock = threading.Lock()


class _Collector:
    """State of this process: thresholds and memory belong to all its threads at once."""

    def __init__(self) -> None:
        self.inside = 0
        self.before: tuple[int, int, int] | None = None
        self.left_alone = False
        """Whether the user's code has thresholds of its own: they stay."""
        self.base_bytes = 0


_collector = _Collector()


@contextmanager
def moderate_collection() -> Iterator[None]:
    """Raise the thresholds for the time of a chunk, and restore what was there; the user's own settings stay."""
    _enter()
    try:
        yield
    finally:
        _leave()


def _enter() -> None:
    with _lock:
        _collector.inside += 1
        if _collector.inside > 1 or _collector.left_alone:
            return
        now = gc.get_threshold()
        # 0 means that the user has switched it off.
        if 0 < now[0] < THRESHOLDS[0]:
            _collector.before = now
            gc.set_threshold(*THRESHOLDS)


def _leave() -> None:
    with _lock:
        _collector.inside -= 1
        if _collector.before is None:
            return
        if gc.get_threshold() != THRESHOLDS:
            _collector.before, _collector.left_alone = None, True
        elif not _collector.inside:
            gc.set_threshold(*_collector.before)
            _collector.before = None


def collect_if_grown(grown_bytes: int = GROWN_BYTES) -> bool:
    """Collect if this process has grown by ``grown_bytes`` since it was smallest; say whether it has."""
    now = resident_bytes()
    base = _collector.base_bytes
    if base and now <= base + grown_bytes:
        _collector.base_bytes = min(now, base)
        return False
    if base:
        gc.collect()
    _collector.base_bytes = resident_bytes()
    return bool(base)


def resident_bytes() -> int:
    """Return the resident memory of this process; 0 where it cannot be had."""
    try:
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        pass
    try:
        import psutil
    except ImportError:
        return 0
    return int(psutil.Process().memory_info().rss)
