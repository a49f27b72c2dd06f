"""The order of the sum depends on the number of leaves alone."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pocket_exec.engine.addition import merge
from pocket_exec.engine.fold import Fold, fold


def pair(a: object, b: object) -> object:
    return (a, b)


def tree(values: list[Any]) -> Any:
    """The definition: neighbours join, level by level; the odd one moves up."""
    while len(values) > 1:
        joined = [pair(a, b) for a, b in zip(values[::2], values[1::2], strict=False)]
        values = joined + values[len(values) // 2 * 2 :]
    return values[0]


@given(st.integers(1, 40).flatmap(lambda n: st.permutations(range(n))))
def test_the_shape_of_the_sum_does_not_depend_on_the_order_of_arrival(order: list[int]) -> None:
    folded = Fold(len(order), pair)
    for index in order:
        folded.put(index, index)
    assert folded.complete
    assert folded.total() == tree(list(range(len(order))))


@given(st.lists(st.booleans(), min_size=1, max_size=40), st.randoms())
def test_leaves_without_a_value_leave_the_order_of_the_others(present: list[bool], random: Any) -> None:
    values = [str(i) if there else None for i, there in enumerate(present)]
    order = list(range(len(values)))
    random.shuffle(order)
    folded = Fold(len(values), lambda a, b: f"{a},{b}")
    for index in order:
        folded.put(index, values[index])
    assert folded.total() == (",".join(v for v in values if v is not None) or None)


@given(st.integers(1, 60), st.integers(0, 60))
def test_an_interrupted_sum_holds_exactly_the_leaves_that_arrived(n: int, arrived: int) -> None:
    folded = Fold(n, lambda a, b: a + b)  # type: ignore[operator]
    for index in range(min(n, arrived)):
        folded.put(index, [index])
    assert (folded.total() or []) == list(range(min(n, arrived)))
    assert folded.complete is (arrived >= n)


def test_leaves_that_arrive_in_order_wait_in_one_block_per_level() -> None:
    folded = Fold(1024, lambda a, b: 1)
    for index in range(1023):
        folded.put(index, 1)
        assert len(folded._blocks) <= 10


@pytest.mark.parametrize("bad", range(8))
def test_one_value_that_does_not_add_costs_at_most_one_more(bad: int) -> None:
    values: list[Any] = [{"n": 1} for _ in range(8)]
    values[bad] = {"n": "text"}
    folded = Fold(8, merge)
    for index, value in enumerate(values):
        folded.put(index, value)
    total = folded.total()
    assert isinstance(total, dict)
    assert total["n"] in (6, 7)
    lost = {leaf for block in folded.dropped for leaf in range(block.start, block.stop)}
    assert bad in lost
    assert total["n"] == 8 - len(lost)


def test_a_failed_addition_changes_neither_side() -> None:
    left, right = {"a": [1], "b": 1}, {"a": [2], "b": "x"}
    folded = Fold(2, merge)
    folded.put(0, left)
    folded.put(1, right)
    assert left == {"a": [1], "b": 1}
    assert right == {"a": [2], "b": "x"}


def test_fold_of_nothing_is_none() -> None:
    assert fold([]) is None
