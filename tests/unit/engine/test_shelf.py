"""Sums that wait: in memory while there is room, then in files that no one can leave behind."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pocket_exec.engine.addition import merge
from pocket_exec.engine.fold import Block, Fold
from pocket_exec.engine.shelf import Shelf


def leaf(number: int, size: int = 10_000) -> dict[str, Any]:
    random = np.random.default_rng(number)
    return {"a": random.normal(size=size) * 10.0 ** random.integers(-8, 8), "n": [number]}


def exact(value: Any) -> Any:
    return value and (value["a"].tobytes(), value["n"])


@given(
    order=st.integers(1, 20).flatmap(lambda n: st.permutations(range(n))),
    arrived=st.integers(1, 20),
    room=st.sampled_from([0, 200_000, 10**9]),
    own=st.booleans(),
)
@settings(deadline=None)
def test_where_a_sum_waits_changes_no_bit(order: list[int], arrived: int, room: int, own: bool) -> None:
    expected, folded = Fold(len(order), merge), Fold(len(order), merge, shelf=Shelf(room))
    leaves = {index: leaf(index) for index in order}
    before = {index: exact(value) for index, value in leaves.items()}
    for index in order[:arrived]:
        expected.put(index, leaf(index))
        folded.put_block(Block(0, index, leaves[index], 1, own, 80_000))
    assert [exact(block.value) for block in folded.blocks()] == [exact(block.value) for block in expected.blocks()]
    assert exact(folded.total()) == exact(expected.total())
    assert own or {index: exact(value) for index, value in leaves.items()} == before


def test_what_is_in_a_file_is_read_anew_each_time_and_may_be_changed() -> None:
    kept, copied = Shelf(0).keep(leaf(1), 80_000)
    assert copied
    first: Any = kept.value()
    first["a"] += 1
    assert exact(kept.value()) == exact(leaf(1))


def test_room_is_given_back() -> None:
    shelf = Shelf(100)
    first, copied = shelf.keep([1], 80)
    assert not copied
    assert shelf.keep([2], 80)[1]
    del first
    assert not shelf.keep([3], 80)[1]


def test_what_cannot_be_written_stays_in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    value = {"function": (number for number in range(3))}
    kept, copied = Shelf(0).keep(value, 80)
    assert (kept.value() is value, copied) == (True, False)
    monkeypatch.setattr("tempfile.tempdir", "/no/such/directory")
    full = leaf(1)
    kept, copied = Shelf(0).keep(full, 80_000)
    assert (kept.value() is full, copied) == (True, False)


def test_no_file_has_a_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    kept, copied = Shelf(0).keep(leaf(1), 80_000)
    assert copied
    assert list(tmp_path.iterdir()) == []
    assert exact(kept.value()) == exact(leaf(1))
