"""What the engine asks of a ledger: finished blocks of a sum, kept for a later run."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Protocol

from pocket_exec.engine.batch import Part
from pocket_exec.engine.plan import Plan

Wanted = Callable[[int | None, int, int], bool]
"""Whether a block is worth having, by file (None: whole files), level and index: a sum that waits has to be read."""


class Sums(Protocol):
    """The sums of a run, as far as a ledger looks at them; a dataset goes by its number in the plan."""

    def finished_files(self, dataset: int, wanted: Wanted) -> Iterable[Part]:
        """Yield the sums of whole files that have been finished since the last call."""

    def open_blocks(self, dataset: int, wanted: Wanted) -> Iterable[Part]:
        """Yield the largest sums of files that are under way."""

    def merged(self, dataset: int, wanted: Wanted) -> Iterable[Part]:
        """Yield the largest sums of neighbouring whole files."""

    def written(self, dataset: int) -> None:
        """Take note that the ledger has all that it wants of a dataset, until it grows."""


class Ledger(Protocol):
    """Keeps blocks of the sums; the engine calls everything from one thread."""

    def known(self, plan: Plan) -> Iterable[tuple[int, Part]]:
        """Yield the blocks of ``plan`` that are there, the largest first, none twice, each with its dataset."""

    def note(self, sums: Sums, dataset: int) -> None:
        """Take note that a dataset's sums have grown; what is worth writing is written when it is worth the time."""

    def flush(self, sums: Sums) -> None:
        """Write what is not yet written."""
