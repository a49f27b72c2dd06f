"""The fixed order of the sum: pairwise in aligned blocks, by index, whatever finishes first."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

Merge = Callable[[object, object], object]


@dataclass(frozen=True)
class Dropped:
    """A block that did not add to its neighbour: the smaller of the two is left out."""

    start: int
    stop: int
    """The leaves of the block: ``start`` to ``stop``, exclusive."""
    error: Exception


@dataclass(frozen=True, slots=True)
class _Block:
    value: object
    leaves: int
    """How many leaves gave a value; 0 is a block with nothing in it."""


_EMPTY = _Block(None, 0)


class Fold:
    """Sum ``n`` leaves that arrive in any order.

    Leaves 2i and 2i+1 make a block, two neighbouring blocks a larger one, and so on: the shape of the tree depends on
    ``n`` alone, so floating-point sums, the order of lists and of growing categories are the same however the leaves
    were computed. A block whose neighbour does not exist moves up as it is. Values wait only until their neighbour is
    there: at most one block per level for leaves that arrive in order.
    """

    def __init__(self, n: int, merge: Merge) -> None:
        self._merge = merge
        self._blocks: dict[tuple[int, int], _Block] = {}
        self._widths = [n]
        while self._widths[-1] > 1:
            self._widths.append((self._widths[-1] + 1) // 2)
        self._open = n
        self.dropped: list[Dropped] = []

    @property
    def complete(self) -> bool:
        """Whether every leaf was put."""
        return self._open == 0

    def put(self, index: int, value: object) -> None:
        """Add leaf ``index``; None is a leaf that gave nothing."""
        self._open -= 1
        self._blocks[0, index] = _EMPTY if value is None else _Block(value, 1)
        level = 0
        while level < len(self._widths) - 1:
            sibling = index ^ 1
            if sibling < self._widths[level] and (level, sibling) not in self._blocks:
                return
            left = index & ~1
            # The two stay in their places until their sum is there: an interrupt in between loses nothing.
            self._blocks[level + 1, index // 2] = self._join(level, left)
            self._blocks.pop((level, left), None)
            self._blocks.pop((level, left + 1), None)
            level, index = level + 1, index // 2

    def total(self) -> object:
        """Return the sum of what was put so far, or None; complete or not, the order is the same."""
        return self._total(len(self._widths) - 1, 0).value

    def _total(self, level: int, index: int) -> _Block:
        if (level, index) in self._blocks:
            return self._blocks[level, index]
        if level == 0 or index >= self._widths[level]:
            return _EMPTY
        for child in (2 * index, 2 * index + 1):
            self._blocks[level - 1, child] = self._total(level - 1, child)
        block = self._blocks[level, index] = self._join(level - 1, 2 * index)
        for child in (2 * index, 2 * index + 1):
            del self._blocks[level - 1, child]
        return block

    def _join(self, level: int, left: int) -> _Block:
        a, b = self._blocks[level, left], self._blocks.get((level, left + 1), _EMPTY)
        if not a.leaves or not b.leaves:
            return a if a.leaves else b
        try:
            return _Block(self._merge(a.value, b.value), a.leaves + b.leaves)
        except Exception as error:  # noqa: BLE001 - whatever the user's accumulators raise when they are added
            keep, lost = (a, left + 1) if a.leaves >= b.leaves else (b, left)
            self.dropped.append(Dropped(lost << level, min((lost + 1) << level, self._widths[0]), error))
            return keep


def merge(left: object, right: object) -> object:
    """Add two accumulators without changing either, so that a failed addition leaves both whole."""
    from coffea.processor import accumulate

    return accumulate([left, right])


def fold(values: list[object], merge: Merge = merge) -> object:
    """Return the sum of ``values`` in the fixed order; None values are left out.

    >>> fold([1, 2, 3], merge=lambda a, b: (a, b))
    ((1, 2), 3)
    """
    tree = Fold(len(values), merge)
    for index, value in enumerate(values):
        tree.put(index, value)
    return tree.total() if values else None
