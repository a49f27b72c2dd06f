"""A sum in place has the bits of a sum in a new place, and fails or is interrupted whole."""

from __future__ import annotations

import copy
import pickle
from collections import defaultdict
from typing import Any

import hist
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pocket_exec.engine import addition
from pocket_exec.engine.addition import Addition, merge


@pytest.fixture(autouse=True)
def _all_in_place(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have arrays of any size added in place, so that small ones can tell."""
    monkeypatch.setattr(addition, "IN_PLACE_BYTES", 0)


def accumulator(seed: int) -> dict[str, Any]:
    """Return one of each kind of accumulator; floats are such that any change of order shows."""
    random = np.random.default_rng(seed)

    def floats(*shape: int) -> Any:
        return random.normal(size=shape) * 10.0 ** random.integers(-8, 8)

    weighted = hist.Hist.new.Reg(5, 0, 1, name="x").StrCat(["a", "b"], name="c").Weight()
    weighted.fill(x=random.random(20), c=random.choice(["a", "b"], 20), weight=floats(20))
    growing = hist.Hist.new.StrCat([], growth=True, name="c").Double()
    growing.fill(c=[str(random.integers(5))], weight=floats(1))
    mean = hist.Hist.new.Reg(3, 0, 1, name="x").Mean()
    mean.fill(x=random.random(9), sample=floats(9))
    whole = hist.Hist.new.Reg(3, 0, 1, name="x").Int64()
    whole.fill(x=random.random(9))
    shared = floats(4)
    return {
        "weighted": weighted,
        "growing": growing,
        "mean": mean,
        "whole": whole,
        "array": floats(3, 4),
        "by column": np.asfortranarray(floats(3, 4)),
        "every other": floats(8)[::2],
        "one": shared,
        "the same": shared,
        "counts": random.integers(0, 9, size=3, dtype=np.int32),
        "flags": random.random(4) > 0.5,
        "nested": defaultdict(int, {str(random.integers(4)): 1, "all": 1}),
        "list": [seed],
        "set": {seed},
        "number": float(random.normal()),
        f"only {seed}": floats(2),
    }


def exact(value: Any) -> Any:
    if isinstance(value, dict):
        return type(value), [(key, exact(part)) for key, part in value.items()]
    if isinstance(value, hist.Hist):
        return [list(axis) for axis in value.axes], value.view(flow=True).tobytes()
    if isinstance(value, np.ndarray):
        return value.dtype.str, value.shape, value.tobytes()
    return value


@given(seeds=st.lists(st.integers(0, 1000), min_size=2, max_size=6))
@settings(deadline=None)
def test_a_sum_in_place_has_the_bits_of_a_sum_in_a_new_place(seeds: list[int]) -> None:
    values = [accumulator(seed) for seed in seeds]
    expected, total = values[0], copy.deepcopy(values[0])
    for value in values[1:]:
        before = exact(value)
        expected = merge(expected, value)
        total = Addition(total, value).value()
        assert exact(value) == before
    assert exact(total) == exact(expected)


def test_large_arrays_become_the_sums() -> None:
    left, right = accumulator(1), accumulator(2)
    total: Any = Addition(left, right).value()
    assert total["array"] is left["array"]
    assert total["weighted"] is left["weighted"]


def test_the_array_that_two_keys_share_is_added_to_each() -> None:
    left, right = accumulator(1), accumulator(2)
    assert left["one"] is left["the same"]
    twice = (left["one"] + right["one"], left["the same"] + right["the same"])
    total: Any = Addition(left, right).value()
    assert (total["one"].tobytes(), total["the same"].tobytes()) == tuple(each.tobytes() for each in twice)


def test_what_only_the_other_has_is_copied() -> None:
    right = {"theirs": np.arange(3.0)}
    total: Any = Addition({}, right).value()
    total["theirs"] += 1
    assert right["theirs"].tolist() == [0, 1, 2]


@pytest.mark.parametrize("bad", ["text", np.zeros(7), None])
def test_a_failed_addition_changes_neither_side(bad: Any) -> None:
    left, right = accumulator(1), accumulator(2)
    # The last key fails, after all others could have been added.
    left["zz"], right["zz"] = np.zeros(3), bad
    before = exact(left), exact(right)
    with pytest.raises((TypeError, ValueError)):
        Addition(left, right)
    assert (exact(left), exact(right)) == before


def test_nothing_is_added_before_the_value_is_asked_for_and_then_once() -> None:
    left, right = {"a": np.ones(3)}, {"a": np.ones(3)}
    waiting = Addition(left, right)
    assert left["a"].tolist() == [1, 1, 1]
    for _ in range(2):
        waiting.value()
        assert left["a"].tolist() == [2, 2, 2]


def test_an_error_that_the_user_wants_raised_is_raised_and_nothing_is_half_added() -> None:
    left, right = {"a": np.array([1.0, 1e308])}, {"a": np.array([1.0, 1e308])}
    with np.errstate(over="raise"), pytest.raises(FloatingPointError):
        Addition(left, right)
    assert left["a"].tolist() == [1.0, 1e308]


def test_what_is_known_under_two_names_is_one_sum_each() -> None:
    def chunk(*names: str) -> dict[str, Any]:
        one, weighted = np.ones(3), hist.Hist.new.Reg(3, 0, 1).Weight().fill([0.5])
        return {"array": one, "h": weighted, **dict.fromkeys(names, one), "list": [weighted] if names else []}

    left, right = pickle.loads(pickle.dumps(chunk("again"))), chunk()
    expected: Any = merge(left, right)
    total: Any = Addition(left, right).value()
    assert exact(total["again"]) == exact(expected["again"]) == exact(np.ones(3))
    assert exact(total["array"]) == exact(expected["array"])
    assert exact(total["list"][0]) == exact(expected["list"][0])


def test_overlapping_views_are_one_sum_each() -> None:
    def chunk() -> dict[str, Any]:
        whole = np.ones(4)
        return {"whole": whole, "tail": whole[2:]}

    total: Any = Addition(chunk(), chunk()).value()
    assert (total["whole"].tolist(), total["tail"].tolist()) == ([2.0] * 4, [2.0] * 2)
