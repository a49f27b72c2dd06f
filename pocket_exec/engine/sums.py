"""The sums of a run: each chunk's result goes to its place, each dataset is done when its last chunk is settled."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pocket_exec.engine.dispatch import Settled
from pocket_exec.engine.fold import Dropped, Fold, merge
from pocket_exec.engine.outcome import DatasetOutcome, Failure, FaultKind
from pocket_exec.engine.plan import DatasetNode, Plan, events_in
from pocket_exec.engine.policy import Policy


class DatasetSum:
    """The sum of one dataset: its chunks fold into files, its files into the dataset."""

    def __init__(self, node: DatasetNode, plan: Plan, outcome: DatasetOutcome) -> None:
        self.outcome = outcome
        self._plan = plan
        self._node = node
        self._files: dict[int, Fold] = {}
        self._tree = Fold(len(node.files), merge)
        self._open = sum(len(file.chunks) for file in node.files)
        self._in_sum: dict[int, tuple[float, str]] = {}
        self._counted = True

    @property
    def settled(self) -> bool:
        """Whether every chunk is done or given up."""
        return self._open == 0

    def put(self, task: int, value: Any, seconds: float = 0.0, host: str = "") -> list[Failure]:
        """Add a chunk's result (None: it has none) and return what could not be added because of it."""
        place = self._plan.places[task]
        chunks = self._node.files[place.file].chunks
        self._open -= 1
        if value is not None:
            value, self._counted = _without_processed(value, self._counted)
            self._in_sum[task] = (seconds, host)
            self.outcome.chunks += 1
            self.outcome.events += events_in(self._plan.items[task])
        self.outcome.seconds += seconds
        fold = self._files.get(place.file) or self._files.setdefault(place.file, Fold(len(chunks), merge))
        fold.put(place.chunk, value)
        failures = [f for block in fold.dropped for f in self._give_up(block, chunks[block.start : block.stop])]
        fold.dropped.clear()
        if fold.complete:
            self._tree.put(place.file, fold.total())
            del self._files[place.file]
            failures += list(self._files_given_up())
        return failures

    def total(self) -> Any:
        """Return the sum so far as coffea wraps it, or None; what does not add is among the failures."""
        for file, fold in sorted(self._files.items()):
            self._tree.put(file, fold.total())
        self._files.clear()
        total = self._tree.total()
        for failure in self._files_given_up():
            self.outcome.failures.append(failure)
        if isinstance(total, dict) and not self._counted:
            return {**total, "processed": {self._plan.items[task] for task in self._in_sum}}
        return total

    def _files_given_up(self) -> Iterator[Failure]:
        for block in self._tree.dropped:
            for file in self._node.files[block.start : block.stop]:
                yield from self._give_up(block, file.chunks)
        self._tree.dropped.clear()

    def _give_up(self, block: Dropped, tasks: list[int]) -> Iterator[Failure]:
        for task in tasks:
            if task in self._in_sum:
                _, host = self._in_sum.pop(task)
                item = self._plan.items[task]
                self.outcome.chunks -= 1
                self.outcome.events -= events_in(item)
                yield failure(item, FaultKind.RESULT, type(block.error).__name__, not_addable(block.error), host=host)


def _without_processed(value: Any, counted: bool) -> tuple[Any, bool]:
    """Take coffea's one-element ``processed`` out of a chunk's result.

    The engine knows which items are in the sum; carried along, the set would be copied at each level of the tree.
    """
    if isinstance(value, dict) and isinstance(value.get("processed"), set) and len(value["processed"]) == 1:
        return {key: part for key, part in value.items() if key != "processed"}, False
    return value, counted


def not_addable(error: Exception) -> str:
    """Return the message for results that do not add."""
    return f"the result of this chunk does not add to the others: {error}"


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
        traceback=traceback,
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
