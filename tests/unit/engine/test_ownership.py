"""A result that nobody else has is not copied; one that the processor still has is."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from typing import Any

import hist
import numpy as np
import pytest
from coffea.processor import column_accumulator
from coffea.processor.executor import WorkItem

from pocket_exec.engine.chunk import Answer, attempt
from pocket_exec.engine.ownership import nobody_elses

ITEM = WorkItem("DY", "f.root", "Events", 0, 10, b"", {})
KEPT: dict[str, Any] = {}
"""What a processor would have as its own attributes."""


def histogram(**axis: Any) -> Any:
    return hist.Hist.new.Reg(10, 0, 1, name="x", **axis).StrCat([], growth=True, name="c").Weight()


def kept(name: str, value: Any) -> Any:
    """Return a value that somebody keeps, too."""
    KEPT[name] = value
    return value


def asked(make: Callable[[], Any]) -> bool:
    """Ask as a worker does, of what a chunk has come to."""
    answer: Answer = attempt(lambda item: {"out": make(), "processed": {item}}, ITEM)
    assert answer.value is not None
    return nobody_elses(answer)


@pytest.mark.parametrize(
    "make",
    [
        lambda: {"n": 1, "w": 0.5, "z": np.float64(1), "name": "DY", ("a", 1): None},
        lambda: {"h": histogram(label="pt"), "a": np.ones(5), "l": [1.0, [2.0]], "s": {"x", "y"}},
        lambda: defaultdict[str, Any](int, {"n": np.arange(10)[2:5]}),
        lambda: {"filled": hist.Hist.new.Reg(10, 0, 1, name="x").Weight().fill(x=[0.1, 0.2])},
    ],
    ids=["scalars", "accumulators", "part of an array", "filled"],
)
def test_what_nobody_else_has_is_ours(make: Callable[[], Any]) -> None:
    assert asked(make)


SHARED = np.ones(5)


def viewed() -> Any:
    """Return a histogram of whose bins somebody has kept a view."""
    made = hist.Hist.new.Reg(10, 0, 1).Weight()
    KEPT["bins"] = made.view()
    return {"h": made}


@pytest.mark.parametrize(
    "make",
    [
        lambda: kept("all", {"n": 1}),
        lambda: {"h": kept("h", histogram())},
        viewed,
        lambda: {"DY": {"a": kept("a", np.ones(5))}},
        lambda: {"a": kept("view", np.ones(5)[1:])},
        lambda: {"a": kept("whole", np.ones(5))[1:]},
        lambda: {"a": [SHARED]},
        lambda: {"bytes": np.frombuffer(bytearray(80))},
        lambda: {"mine": column_accumulator(np.ones(3))},
        lambda: {"objects": np.array([[1], "a"], dtype=object)},
        lambda: {"h": histogram(metadata=["changeable"])},
        lambda: {"h": type("Mine", (hist.Hist,), {}, family=hist)(hist.axis.Regular(2, 0, 1))},
        lambda: {"s": {frozenset({1})}},
        lambda: dict.fromkeys("ab", np.ones(3)),
    ],
    ids=[
        "output",
        "histogram",
        "bins",
        "array",
        "view",
        "viewed",
        "constant",
        "memory",
        "unknown",
        "objects",
        "metadata",
        "subclass",
        "nested set",
        "twice",
    ],
)
def test_what_somebody_else_may_have_is_not(make: Callable[[], Any]) -> None:
    assert not asked(make)


def test_a_whole_answer_that_is_kept_is_not_ours() -> None:
    answers = []

    def remembers(item: WorkItem) -> Any:
        answers.append({"out": {"n": np.ones(3)}, "processed": {item}})
        return answers[-1]

    assert not nobody_elses(attempt(remembers, ITEM))
