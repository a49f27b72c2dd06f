"""A processor whose result shows any change in the order of the sum."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from typing import Any

import awkward as ak
import hist
import numpy as np
from coffea import processor


class Joined:
    """Can be added, and nothing else; its text shows in which order, and by which pairs, that was done."""

    def __init__(self, text: str) -> None:
        self.text = text

    def __add__(self, other: Joined) -> Joined:
        return Joined(f"({self.text}{other.text})")


class Everything(processor.ProcessorABC):  # type: ignore[misc]  # coffea is not typed
    """Fill one of each kind of accumulator with numbers that depend on the chunk alone."""

    def process(self, events: Any) -> dict[str, Any]:
        meta = events.metadata
        seed = hashlib.sha256(f"{meta['filename'].rsplit('/', 1)[-1]}:{meta['entrystart']}".encode()).digest()
        random = np.random.default_rng(list(seed))
        pt = ak.to_numpy(ak.flatten(events.Muon.pt)).astype(np.float64)
        weight = random.normal(size=len(pt)) * 10.0 ** random.integers(-8, 8)
        category = "abcdefgh"[int(random.integers(8))]
        mass = hist.Hist(
            hist.axis.StrCategory([], growth=True, name="category"),
            hist.axis.IntCategory([], growth=True, name="chunk"),
            hist.axis.Regular(30, 0, 120, name="pt"),
            storage=hist.storage.Weight(),
        )
        mass.fill(category=category, chunk=int(random.integers(100)), pt=pt, weight=weight)
        return {
            meta["dataset"]: {
                "hist": mass,
                "sum": float(weight.sum()),
                "array": np.array([weight.sum(), (weight**2).sum()]),
                "list": [(meta["entrystart"], category)],
                "column": processor.column_accumulator(weight[:20]),
                "set": {category},
                "growing": {category: {"n": len(pt)}},
                "default": processor.defaultdict_accumulator(int, {category: 1}),
                "nested": {"by": {category: {"weights": weight[:3].astype(np.float32), "counts": np.arange(3)}}},
                # Both kinds in one sum, in either order.
                "dict": {category: 1.1} if int(random.integers(2)) else defaultdict(float, {category: 1.1}),
                "joined": Joined(category),
                "text": category,
                "pair": (category, len(pt)),
            },
            "events": len(events),
        }

    def postprocess(self, accumulator: Any) -> Any:
        accumulator["post"] = sorted(name for name in accumulator if name != "events")
        return accumulator


def exact(value: Any) -> Any:  # noqa: PLR0911 - one return for each kind of accumulator
    """Return a value that is equal only for results that are the same to the bit, order of keys and categories too."""
    if isinstance(value, dict):
        return type(value).__name__, [(key, exact(part)) for key, part in value.items()]
    if isinstance(value, Joined):
        return value.text
    if isinstance(value, hist.Hist):
        axes = [list(axis) for axis in value.axes]
        return axes, value.view(flow=True).shape, value.view(flow=True).tobytes()
    if isinstance(value, np.ndarray):
        return value.dtype.str, value.shape, value.tobytes()
    if isinstance(value, processor.column_accumulator):
        return exact(value.value)
    if isinstance(value, float):
        return value.hex()
    if isinstance(value, set):
        return sorted(value)
    return value
