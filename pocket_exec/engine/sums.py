"""The sums of a run: what a task brings goes to its place, each dataset is done when its last chunk is settled."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from pocket_exec.engine.addition import merge
from pocket_exec.engine.batch import Part
from pocket_exec.engine.dispatch import Settled
from pocket_exec.engine.fold import Block, Dropped, Fold
from pocket_exec.engine.ledger import Wanted
from pocket_exec.engine.not_added import said
from pocket_exec.engine.outcome import DatasetOutcome, Failure, FaultKind
from pocket_exec.engine.plan import DatasetNode, Plan, events_in
from pocket_exec.engine.policy import Policy
from pocket_exec.engine.shelf import Shelf
from pocket_exec.engine.users_files import with_users_files

LISTED_BYTES = 10**6
"""Larger sums of files are not kept for the ledger as well: it gets what they have become by then."""
ALL_LISTED, ALL_LISTED_BYTES = 1000, 16 * 10**6
"""Nor are more of a dataset at a time: what takes long to write would take all the longer the next time."""


class DatasetSum:
    """The sum of one dataset: its chunks fold into files, its files into the dataset."""

    def __init__(
        self, node: DatasetNode, plan: Plan, outcome: DatasetOutcome, shelf: Shelf, *, kept: bool = False
    ) -> None:
        self.outcome = outcome
        self.size = 0
        """Bytes of the last total, about; 0 where that is not known."""
        self._shelf = shelf
        self._plan = plan
        self._node = node
        self._files: dict[int, Fold] = {}
        self._tree = Fold(len(node.files), merge, shelf=shelf)
        self._open = sum(len(file.chunks) for file in node.files)
        self._in_sum: dict[int, str] = {}
        self._counted = True
        self._kept = kept
        self._finished: list[Part] = []
        self._finished_bytes = 0
        self._finished_unlisted = False
        self._holes: list[int] = []

    @property
    def settled(self) -> bool:
        """Whether every chunk is done or given up."""
        return self._open == 0

    @property
    def has_holes(self) -> bool:
        """Whether there are chunks that give nothing, and that have still to be added around."""
        return bool(self._holes)

    def add(self, part: Part, seconds: Mapping[int, float], host: str = "") -> list[Failure]:
        """Add a part and return what could not be added because of it; ``seconds`` has the chunks that are in it."""
        self._counted = self._counted and part.counted
        for task in self.tasks(part):
            self._open -= 1
            self._in_sum[task] = host
            self.outcome.chunks += 1
            self.outcome.events += events_in(self._plan.items[task])
            self.outcome.seconds += seconds.get(task, 0.0)
        file, blocks = part.file, [part.block if part.file is not None or part.kept else self._listed(part.block)]
        # Once it is added nothing here may hold it: it may be large.
        del part
        if file is not None:
            return self._put(file, blocks)
        self._tree.put_block(blocks.pop())
        return list(self._files_given_up())

    def give_up(self, task: int) -> list[Failure]:
        """Note that a chunk gives nothing, and return what could not be added because of it."""
        self._open -= 1
        self._holes.append(task)
        return [] if self._kept else self.close_holes()

    def close_holes(self) -> list[Failure]:
        """Add up around the chunks that give nothing, and return what could not be added because of it.

        With a ledger that comes last, once it has what lies between them: as a part of a larger sum with a chunk
        missing, that would be no block of its own any more.
        """
        failures: list[Failure] = []
        while self._holes:
            place = self._plan.places[self._holes.pop()]
            failures += self._put(place.file, [Block(0, place.chunk, None, 0)])
        return failures

    def tasks(self, part: Part) -> list[int]:
        """Return the chunks of a part."""
        block = part.block
        if part.file is not None:
            chunks = self._node.files[part.file].chunks
            return chunks[block.index << block.level : (block.index + 1) << block.level]
        files = self._node.files[block.index << block.level : (block.index + 1) << block.level]
        return list(itertools.chain.from_iterable(file.chunks for file in files))

    def _listed(self, block: Block) -> Block:
        """Return a block of whole files as it is added: what waits for the ledger must not become part of a sum."""
        if not self._kept:
            return block
        if self._finished_unlisted or block.size > LISTED_BYTES:
            self._finished_unlisted = True
            return block
        self._finished_bytes += block.size
        if len(self._finished) == ALL_LISTED or self._finished_bytes > ALL_LISTED_BYTES:
            self._finished, self._finished_bytes, self._finished_unlisted = [], 0, True
            return block
        self._finished.append(Part(None, block, self._counted))
        return replace(block, own=False)

    def _put(self, file: int, blocks: list[Block]) -> list[Failure]:
        """Put blocks, which are taken from the list."""
        chunks = self._node.files[file].chunks
        fold = self._files.get(file)
        if fold is None:
            fold = self._files[file] = Fold(len(chunks), merge, shelf=self._shelf)
        while blocks:
            fold.put_block(blocks.pop())
        failures = [f for block in fold.dropped for f in self._left_out(block, chunks[block.start : block.stop])]
        fold.dropped.clear()
        if fold.complete:
            whole = replace(fold.whole(), level=0, index=file, leaves=1)
            self._tree.put_block(self._listed(whole))
            del self._files[file]
            failures += self._files_given_up()
        return failures

    def finished_files(self, wanted: Wanted) -> Iterator[Part]:
        """Yield the sums of whole files, one or some together, that have been finished since the last call."""
        finished, self._finished, self._finished_bytes = self._finished, [], 0
        yield from (p for p in finished if wanted(p.file, p.block.level, p.block.index) and self._without_holes(p))
        if self._finished_unlisted:
            self._finished_unlisted = False
            yield from self.merged(wanted)

    def open_blocks(self, wanted: Wanted) -> Iterator[Part]:
        """Yield the largest sums of files that are under way."""
        for file, fold in list(self._files.items()):
            parts = (Part(file, block, self._counted) for block in fold.blocks(partial(wanted, file)))
            yield from filter(self._without_holes, parts)

    def merged(self, wanted: Wanted) -> Iterator[Part]:
        """Yield the largest sums of neighbouring whole files."""
        parts = (Part(None, block, self._counted) for block in self._tree.blocks(partial(wanted, None)))
        yield from filter(self._without_holes, parts)

    def _without_holes(self, part: Part) -> bool:
        return part.block.value is not None and all(task in self._in_sum for task in self.tasks(part))

    def total(self) -> Any:
        """Return the sum so far as coffea wraps it, or None; what does not add is among the failures, now in order."""
        self.outcome.failures += self.close_holes()
        for file, fold in sorted(self._files.items()):
            self._tree.put_block(replace(fold.whole(), level=0, index=file, leaves=1))
        self._files.clear()
        whole = self._tree.whole()
        total: Any = whole.value
        self.size = whole.size
        self.outcome.failures += self._files_given_up()
        order = {file.name: number for number, file in enumerate(self._node.files)}
        self.outcome.failures.sort(key=lambda failed: (order.get(failed.file, -1), failed.entrystart))
        if isinstance(total, dict) and not self._counted:
            return {**total, "processed": {self._plan.items[task] for task in self._in_sum}}
        return total

    def put_aside(self) -> None:
        """Let the sum wait on the shelf, for the ledger, now that its total is elsewhere."""
        self._tree.put_aside()

    def let_go(self) -> None:
        """Forget the sum."""
        self._tree.let_go()

    def _files_given_up(self) -> Iterator[Failure]:
        for block in self._tree.dropped:
            for file in self._node.files[block.start : block.stop]:
                yield from self._left_out(block, file.chunks)
        self._tree.dropped.clear()

    def _left_out(self, block: Dropped, tasks: Iterable[int]) -> Iterator[Failure]:
        for task in tasks:
            if task in self._in_sum:
                host = self._in_sum.pop(task)
                item = self._plan.items[task]
                self.outcome.chunks -= 1
                self.outcome.events -= events_in(item)
                yield failure(item, FaultKind.RESULT, type(block.error).__name__, not_addable(block), host=host)


def not_addable(block: Dropped, whose: str = "the result of this chunk", others: str = "the others") -> str:
    """Return the message for results that do not add."""
    # Runner wraps the user's own result.
    place = block.place.removeprefix("['out']")
    return f"{whose} does not add to {others}{f' at {place}' if place else ''}: {said(block.error)}"


def datasets_apart(blocks: Iterable[Dropped], names: Sequence[str]) -> str:
    """Return the message for datasets, ``names`` in order, whose sums do not add to the others'; empty for none."""
    told = [
        f"{', '.join(names[block.start : block.stop])}: "
        + not_addable(block, "its sum", "that of the other datasets")
        + "; where they are not meant to be added, --process-separately leaves the common result out"
        for block in blocks
    ]
    return "; ".join(told)


def failure(
    item: Any,
    kind: FaultKind,
    error: str,
    message: str,
    *,
    traceback: str = "",
    host: str = "",
    attempts: int = 1,
    skipped: bool = False,
) -> Failure:
    """Return the failure of a work item, or of a file whose events are not known yet."""
    return Failure(
        dataset=getattr(item, "dataset", ""),
        file=getattr(item, "filename", str(item)),
        treename=getattr(item, "treename", "") or "",
        entrystart=getattr(item, "entrystart", -1),
        entrystop=getattr(item, "entrystop", -1),
        kind=kind,
        error=error,
        message=message,
        traceback=with_users_files(traceback),
        host=host,
        attempts=attempts,
        skipped=skipped,
    )


def failure_of(item: Any, settled: Settled, policy: Policy) -> Failure:
    """Return the failure of an item that was given up."""
    trouble = settled.answer.trouble
    assert trouble is not None
    return failure(
        item,
        trouble.kind,
        trouble.error,
        trouble.message,
        traceback=trouble.traceback,
        host=settled.answer.host,
        attempts=settled.attempts,
        skipped=policy.skip_bad_files and trouble.kind in (FaultKind.STORAGE, FaultKind.BAD_FILE),
    )
