"""Results of 10 MB: the content of a large histogram; workers import this."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
from coffea.processor.executor import WorkItem

BINS = 10**7 // 8
MADE = 8
"""Each worker makes so many different results once: what is measured is their way."""


@functools.cache
def bins(kind: str, number: int) -> Any:
    """Return the content of a histogram."""
    random = np.random.default_rng(number)
    if kind == "random":
        return random.random(BINS)
    if kind == "counts":
        return random.poisson(20.0, BINS).astype(float)
    filled = np.zeros(BINS)
    filled[random.integers(0, BINS, BINS // 20)] = random.random(BINS // 20)
    return filled


def result(item: WorkItem, kind: str) -> dict[str, Any]:
    """Return a chunk's result."""
    return {"out": {"bins": bins(kind, item.entrystart % MADE).copy()}, "processed": {item}}
