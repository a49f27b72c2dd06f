"""A task on a worker: some chunks of one dataset, processed one by one and added up in the fixed order."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import Any

import cloudpickle

from pocket_exec.engine.addition import merge
from pocket_exec.engine.chunk import Answer, attempt
from pocket_exec.engine.constants import Constants, changed_constants
from pocket_exec.engine.dask_task import cancelled
from pocket_exec.engine.fold import Block, Fold
from pocket_exec.engine.leaving import stays_for
from pocket_exec.engine.ownership import ours
from pocket_exec.engine.reading import announced
from pocket_exec.engine.unpickling import loads


@dataclass(frozen=True, slots=True)
class Span:
    """Neighbouring chunks of one file, with their numbers in it."""

    file: int
    """Number of the file in its dataset."""
    chunks: int
    """Chunks that the file has in all."""
    first: int
    items: tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Batch:
    """The chunks of one task, all of one dataset."""

    files: int
    """Files that the dataset has in all."""
    spans: tuple[Span, ...]
    budget_s: float
    """No chunk is begun after so many seconds, but the first."""
    bytes_s: float = 0.0
    """How many bytes a second of answers the client has been getting; 0 where that is not known."""

    def __len__(self) -> int:
        return sum(len(span.items) for span in self.spans)


@dataclass(frozen=True, slots=True)
class Part:
    """A sum that a batch came to: a block of chunks of a file, or of whole files where ``file`` is None."""

    file: int | None
    block: Block
    counted: bool
    """Whether the sum still says itself which chunks are in it."""
    kept: bool = False
    """Whether the ledger has it already."""


@dataclass(slots=True)
class BatchDone:
    """What came of a batch; chunks go by their position in it."""

    parts: list[Part] = field(default_factory=list)
    """As few sums as its chunks make: one, where nothing failed and the batch is an aligned block."""
    seconds: dict[int, float] = field(default_factory=dict)
    """How long each chunk took that is in one of the parts."""
    failed: dict[int, Answer] = field(default_factory=dict)
    """Chunks without a value."""
    left: tuple[int, ...] = ()
    """Chunks that were not begun: the batch's time, or the worker's, was over."""
    differing: frozenset[tuple[str, str]] = frozenset()
    """Globals of the user's modules that have another value here than at the client."""

    @property
    def chunks(self) -> int:
        """How many chunks the batch had."""
        return len(self.seconds) + len(self.failed) + len(self.left)


class RunBatch:
    """The function of a chunk, as a function of a batch; without ``add`` each chunk's value stays by itself."""

    def __init__(
        self,
        function: Callable[[Any], Any],
        *,
        add: bool = True,
        constants: Constants | None = None,
    ) -> None:
        self.function = function
        self.add = add
        self._constants = constants
        self._first = True

    def __reduce__(self) -> Any:
        # By itself: what it imports as it is loaded may have to see constants as they are, or as they were.
        return _arrived, (changed_constants(), cloudpickle.dumps(self.function), self.add)

    def __call__(self, batch: Batch) -> BatchDone:
        """Process the chunks of ``batch``, as many as there is time for; what one of them raises costs no other."""
        with self._constants.held() if self._constants is not None else nullcontext():
            return self._done(batch)

    def _done(self, batch: Batch) -> BatchDone:
        begin = time.perf_counter()
        done, sums = BatchDone(), Sums(batch.files)
        with announced([item for _, _, item in _chunks(batch)]):
            for position, (span, number, item) in enumerate(_chunks(batch)):
                over = time.perf_counter() - begin > batch.budget_s or cancelled()
                if position and (over or not stays_for(max(done.seconds.values(), default=0.0))):
                    done.left = tuple(range(position, len(batch)))
                    break
                answer = attempt(self.function, item)
                if self.add:
                    answer = ours(answer)
                if answer.value is None:
                    done.failed[position] = answer
                else:
                    done.seconds[position] = answer.seconds
                    if self.add:
                        value, counted = without_processed(answer.value)
                        sums.put(Part(span.file, Block(0, number, value, 1, own=True), counted), span.chunks)
                    else:
                        done.parts.append(Part(span.file, Block(0, number, answer.value, 1), True))
        done.parts += sums.parts()
        if self._constants is not None and self._first:
            # By now the user's modules are imported.
            self._first, done.differing = False, self._constants.differing()
        return done


def _arrived(constants: Constants, function: bytes, add: bool) -> RunBatch:
    with constants.held():
        return RunBatch(loads(function), add=add, constants=constants)


def _chunks(batch: Batch) -> Iterator[tuple[Span, int, Any]]:
    for span in batch.spans:
        for number, item in enumerate(span.items, start=span.first):
            yield span, number, item


class Sums:
    """The sums of a task: like the client's, but what does not add stays apart, for the client to judge."""

    def __init__(self, files: int) -> None:
        self._files: dict[int, Fold] = {}
        self._dataset = Fold(files, merge, keep=True)
        self._counted = True

    def put(self, part: Part, chunks: int) -> None:
        """Add a sum; where it is one of a file's chunks, the file has so many of them in all."""
        self._counted = self._counted and part.counted
        if part.file is None:
            self._dataset.put_block(part.block)
            return
        fold = self._files.get(part.file)
        if fold is None:
            fold = self._files[part.file] = Fold(chunks, merge, keep=True)
        fold.put_block(part.block)
        if fold.complete:
            blocks = list(fold.blocks())
            if len(blocks) == 1:
                self._dataset.put(part.file, blocks[0].value, leaves=1, own=blocks[0].own)
                del self._files[part.file]

    def parts(self) -> Iterator[Part]:
        """Yield the largest sums that there are."""
        for block in self._dataset.blocks():
            yield Part(None, block, self._counted)
        for file, fold in self._files.items():
            for block in fold.blocks():
                yield Part(file, block, self._counted)


def without_processed(value: Any) -> tuple[Any, bool]:
    """Take coffea's one-element ``processed`` out of a chunk's result, and say whether it is still there.

    The engine knows which items are in the sum; carried along, the set would be copied at each level of the tree.
    """
    if isinstance(value, dict) and isinstance(value.get("processed"), set) and len(value["processed"]) == 1:
        return {key: part for key, part in value.items() if key != "processed"}, False
    return value, True
