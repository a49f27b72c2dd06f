"""The garbage collector while a process starts: what is imported stays, and is not looked through again and again."""

from __future__ import annotations

import gc

SELDOM = 1_000_000
"""Objects between two collections: more than all imports make. The default of 700 or 2000 is a quarter of the start."""


class _Collector:
    """This process's collector, as it was."""

    def __init__(self) -> None:
        self.before = SELDOM


_collector = _Collector()


def collect_seldom() -> None:
    """Let the imports that follow have it to themselves."""
    first, *others = gc.get_threshold()
    # 0: it is switched off.
    if 0 < first < SELDOM:
        _collector.before = first
        gc.set_threshold(SELDOM, *others)


def collect_as_before() -> None:
    """Go back to what it was, unless the user's own code has set another, and leave what is there out for good."""
    gc.freeze()
    first, *others = gc.get_threshold()
    if first == SELDOM:
        gc.set_threshold(_collector.before, *others)
