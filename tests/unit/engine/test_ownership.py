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
from pocket_exec.engine.executor import PocketExecutor
from pocket_exec.engine.outcome import FaultKind
from pocket_exec.engine.ownership import nobody_elses
from pocket_exec.engine.pool import SerialPool
from pocket_exec.errors import PartialResult

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


class Counter:
    """An accumulator of the user's own, which can be pickled but not copied."""

    def __init__(self) -> None:
        self.entries = 0

    def __add__(self, other: Counter) -> Counter:
        total = Counter()
        total.entries = self.entries + other.entries
        return total

    def __deepcopy__(self, memo: Any) -> Counter:
        raise TypeError("not to be copied")


class Batched(SerialPool):
    """One process that takes as many chunks at once as are worth it."""

    batch_s = 1.0


@pytest.mark.parametrize("pool", [SerialPool, Batched])
@pytest.mark.parametrize("datasets", ["one", "two"])
def test_an_accumulator_that_is_filled_again_and_cannot_be_copied_counts_each_chunk_once(
    pool: Callable[[], SerialPool], datasets: str
) -> None:
    counter = Counter()

    def process(item: WorkItem) -> Any:
        counter.entries = len(item)
        return {"out": {"n": counter}, "processed": {item}}

    names = ["DY", "TT"] if datasets == "two" else ["DY"]
    items = [WorkItem(name, "f.root", "Events", 10 * n, 10 * n + n, b"") for name in names for n in range(1, 8)]
    total, error = PocketExecutor(pool=pool())(items, process, None)
    assert error == 0
    assert total["out"]["n"].entries == len(names) * sum(range(1, 8))


def test_the_sum_of_a_dataset_does_not_change_with_what_the_processor_goes_on_with() -> None:
    kept = {"n": 0}
    sums: list[Any] = []

    class Told:
        def dataset_done(self, outcome: Any, total: Any) -> None:
            sums.append(total["out"])

        def __getattr__(self, name: str) -> Any:
            return lambda *words: None

    def process(item: WorkItem) -> Any:
        kept["n"] = len(item)
        return {"out": kept, "processed": {item}}

    items = [WorkItem(name, "f.root", "Events", 0, events, b"") for name, events in {"DY": 3, "TT": 5}.items()]
    PocketExecutor(listener=Told())(items, process, None)
    assert sums == [{"n": 3}, {"n": 5}]


def test_a_result_that_can_be_neither_copied_nor_pickled_costs_its_chunk_alone() -> None:
    def process(item: WorkItem) -> Any:
        lines = (line for line in "ab") if item.entrystart == 20 else []
        return {"out": {"n": 1, "lines": lines}, "processed": {item}}

    executor = PocketExecutor(pool=Batched())
    items = [WorkItem("DY", "f.root", "Events", start, start + 10, b"") for start in range(0, 80, 10)]
    total, error = executor(items, process, None)
    assert isinstance(error, PartialResult)
    assert total["out"]["n"] == 7
    (failure,) = executor.report.failures
    assert (failure.entrystart, failure.kind) == (20, FaultKind.RESULT)
    assert "result['lines'] cannot be pickled" in failure.message
