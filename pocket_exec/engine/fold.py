"""The fixed order of the sum: pairwise in aligned blocks, by index, whatever finishes first and wherever."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from pocket_exec.engine.addition import Addition, merge
from pocket_exec.engine.not_added import not_added
from pocket_exec.engine.shelf import Held, Kept, Shelf

Merge = Callable[[object, object], object]


@dataclass(frozen=True)
class Dropped:
    """A block that did not add to its neighbour: the smaller of the two is left out."""

    start: int
    stop: int
    """The leaves of the block: ``start`` to ``stop``, exclusive."""
    error: Exception
    place: str
    """The part that did not add, as keys: ``['h']['pt']``."""


@dataclass(frozen=True, slots=True)
class Block:
    """The sum of the leaves from ``index * 2**level`` on, ``2**level`` of them where there are so many."""

    level: int
    index: int
    value: object
    leaves: int
    """How many leaves gave a value; 0 is a block with nothing in it."""
    own: bool = False
    """Whether nobody else has the value: then it may become the sum with its neighbour."""
    size: int = 0
    """Bytes of the value, about; 0 where that is not known."""


@dataclass(frozen=True, slots=True)
class _Sum:
    kept: Kept
    leaves: int
    own: bool = False
    size: int = 0
    waits: bool = False


_EMPTY = _Sum(Held(None), 0)


class Fold:
    """Sum ``n`` leaves, or blocks of them, that arrive in any order.

    Leaves 2i and 2i+1 make a block, two neighbouring blocks a larger one, and so on: the shape of the tree depends on
    ``n`` alone, so floating-point sums, the order of lists and of growing categories are the same however and wherever
    the leaves were computed and added. A block whose neighbour does not exist moves up as it is. Values wait only until
    their neighbour is there: at most one block per level for leaves that arrive in order. They wait on the ``shelf``,
    where there is one. No value may change once it was put.

    Two blocks that do not add: the smaller one is left out and listed in ``dropped``; with ``keep`` both stay as they
    are, for another fold to judge.
    """

    def __init__(self, n: int, merge: Merge, *, keep: bool = False, shelf: Shelf | None = None) -> None:
        self._merge = merge
        self._keep = keep
        self._shelf = shelf
        self._blocks: dict[tuple[int, int], _Sum] = {}
        self._widths = [n]
        while self._widths[-1] > 1:
            self._widths.append((self._widths[-1] + 1) // 2)
        self._open = n
        self.dropped: list[Dropped] = []

    @property
    def complete(self) -> bool:
        """Whether every leaf was put."""
        return self._open == 0

    @property
    def top(self) -> tuple[int, int]:
        """Level and index of the block that is the whole sum."""
        return len(self._widths) - 1, 0

    def put(self, index: int, value: object, *, level: int = 0, leaves: int = 1, own: bool = False) -> None:
        """Add leaf ``index``, or a block of ``level``, in which ``leaves`` gave a value; None is one without any."""
        self.put_block(Block(level, index, value, leaves, own))

    def put_block(self, block: Block) -> None:
        """Add a block; one without a value has nothing in it."""
        level, index = block.level, block.index
        self._open -= len(self.covered(level, index))
        there = _EMPTY if block.value is None else _Sum(Held(block.value), block.leaves, block.own, block.size)
        self._blocks[level, index] = there
        del block
        while level < len(self._widths) - 1:
            sibling = index ^ 1
            if sibling < self._widths[level] and (level, sibling) not in self._blocks:
                self._blocks[level, index] = self._waiting(there)
                return
            joined = self._join(level, index & ~1)
            if joined is None:
                return
            # The two stay in their places until their sum is there: an interrupt in between loses nothing.
            there = self._blocks[level + 1, index // 2] = joined
            self._blocks.pop((level, index & ~1), None)
            self._blocks.pop((level, index | 1), None)
            del joined
            there.kept.value()
            level, index = level + 1, index // 2

    def covered(self, level: int, index: int) -> range:
        """Return the leaves of a block."""
        return range(index << level, min((index + 1) << level, self._widths[0]))

    def blocks(self, wanted: Callable[[int, int], bool] = lambda level, index: True) -> Iterator[Block]:
        """Yield the largest blocks that there are now, of those that are ``wanted``, by level and index."""
        for level, index in list(self._blocks):
            # An interrupt may have left what is in its sum already.
            if (level + 1, index // 2) not in self._blocks and wanted(level, index):
                held = self._blocks[level, index]
                yield Block(level, index, held.kept.value(), held.leaves, held.own, held.size)

    def put_aside(self) -> None:
        """Let all that there is wait on the shelf."""
        for place, held in self._blocks.items():
            self._blocks[place] = self._waiting(held)

    def let_go(self) -> None:
        """Forget all that there is."""
        self._blocks.clear()

    def total(self) -> object:
        """Return the sum of what was put so far, or None; complete or not, the order is the same."""
        return self.whole().value

    def whole(self) -> Block:
        """Return the sum of what was put so far as one block; of its leaves, it says only whether there are any."""
        level = len(self._widths) - 1
        held = self._total(level, 0)
        return Block(level, 0, held.kept.value(), held.leaves, held.own, held.size)

    def _total(self, level: int, index: int) -> _Sum:
        if (level, index) in self._blocks:
            return self._blocks[level, index]
        if level == 0 or index >= self._widths[level]:
            return _EMPTY
        for child in (2 * index, 2 * index + 1):
            self._blocks[level - 1, child] = self._waiting(self._total(level - 1, child))
        block = self._blocks[level, index] = self._join(level - 1, 2 * index) or _EMPTY
        for child in (2 * index, 2 * index + 1):
            del self._blocks[level - 1, child]
        block.kept.value()
        return block

    def _waiting(self, held: _Sum) -> _Sum:
        if self._shelf is not None and held.size and not held.waits:
            kept, copied = self._shelf.keep(held.kept.value(), held.size)
            held = replace(held, kept=kept, own=held.own or copied, waits=True)
        return held

    def _join(self, level: int, left: int) -> _Sum | None:
        a, b = self._blocks[level, left], self._blocks.get((level, left + 1), _EMPTY)
        if not a.leaves or not b.leaves:
            return a if a.leaves else b
        try:
            return _Sum(self._added(a, b), a.leaves + b.leaves, own=True, size=max(a.size, b.size))
        except Exception as error:  # noqa: BLE001 - whatever the user's accumulators raise when they are added
            if self._keep:
                return None
            kept, lost = (a, left + 1) if a.leaves >= b.leaves else (b, left)
            covered = self.covered(level, lost)
            place = not_added(a.kept.value(), b.kept.value(), self._merge)
            self.dropped.append(Dropped(covered.start, covered.stop, error, place))
            return kept

    def _added(self, a: _Sum, b: _Sum) -> Kept:
        if a.own and self._merge is merge:
            return Addition(a.kept.value(), b.kept.value())
        return Held(self._merge(a.kept.value(), b.kept.value()))


def fold(values: list[object], merge: Merge = merge) -> object:
    """Return the sum of ``values`` in the fixed order; None values are left out.

    >>> fold([1, 2, 3], merge=lambda a, b: (a, b))
    ((1, 2), 3)
    """
    tree = Fold(len(values), merge)
    for index, value in enumerate(values):
        tree.put(index, value)
    return tree.total() if values else None
