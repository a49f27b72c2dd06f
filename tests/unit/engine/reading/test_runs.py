"""Runs of chunks: where they end, and what a chunk gets of them."""

from __future__ import annotations

from typing import Any

import awkward as ak
import pytest

from pocket_exec.engine.reading.options import Reading
from pocket_exec.engine.reading.runs import Run, Runs, Wanted, run_stop


class Branch:
    """A branch of one byte per entry."""

    def __init__(self, *offsets: int) -> None:
        self.entry_offsets = list(offsets)
        self.num_entries = self.uncompressed_bytes = offsets[-1]


class Tree(dict[str, Branch]):
    """A tree of such branches."""

    branches = ()

    @property
    def num_entries(self) -> int:
        return max(branch.num_entries for branch in self.values())


def tree(*offsets: int) -> Tree:
    return Tree({"x": Branch(*offsets)})


@pytest.mark.parametrize(
    ("offsets", "start", "stop"),
    [
        ((0, 50, 100, 150), 0, 50),  # the whole basket, and not part of the next
        ((0, 50, 100, 150), 20, 50),
        ((0, 45, 90, 150), 0, 90),  # several whole ones, to waste nothing
        ((0, 150), 10, 90),  # as far as the chunks go
    ],
)
def test_a_run_ends_where_least_is_decompressed_twice(offsets: tuple[int, ...], start: int, stop: int) -> None:
    following = list(range(start + 20, 91, 10))
    assert run_stop(tree(*offsets), Wanted(start, start + 10, ("x",), following), 10**6) == stop


def test_a_run_stays_within_its_bound_but_for_a_single_chunk() -> None:
    following = [20, 30, 40, 50]
    assert run_stop(tree(0, 1000), Wanted(0, 10, ("x",), following), 35) == 30
    assert run_stop(tree(0, 1000), Wanted(0, 10, ("x",), following), 5) == 10


def test_branches_that_the_tree_does_not_have_do_not_matter() -> None:
    assert run_stop(tree(0, 100), Wanted(0, 10, ("y",), [20]), 10**6) == 10
    assert run_stop(tree(0, 100), Wanted(0, 10, ("x", "y"), [20]), 10**6) == 20


def test_a_chunks_part_of_a_list_column_keeps_nothing_of_its_neighbours() -> None:
    column = ak.Array([[1, 2], [], [3], [4, 5, 6], [7]]).layout
    part = Run(100, 105, {"x": column}).column("x", 102, 104)
    assert part is not None
    assert part.offsets.data.tolist() == [0, 1, 4]
    assert part.content.data.tolist() == [3, 4, 5, 6]


def test_nested_lists_are_trimmed_all_the_way() -> None:
    column = ak.Array([[[1], [2, 3]], [[4]], [[5], [], [6]]]).layout
    part = Run(0, 3, {"x": column}).column("x", 1, 3)
    assert part is not None
    assert part.content.offsets.data.tolist() == [0, 1, 2, 2, 3]
    assert part.content.content.data.tolist() == [4, 5, 6]


class Failing(Tree):
    """A tree that has what cannot be read."""

    def arrays(self, *arguments: Any, **keywords: Any) -> Any:
        raise OSError("no")


def test_a_run_that_cannot_be_read_leaves_the_chunk_to_read_for_itself() -> None:
    runs = Runs(Failing({"x": Branch(0, 100)}), Reading(), ahead=False)
    assert runs.column("x", Wanted(0, 10, ("x",), [20])) is None


def test_what_was_not_learned_is_not_in_a_run() -> None:
    assert Runs(tree(0, 100), Reading(), ahead=False).column("y", Wanted(0, 10, ("x",), [20])) is None
