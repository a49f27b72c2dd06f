"""What a run of chunks came to: failures, what was processed, and the listener that is told as it happens."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass, field
from enum import StrEnum
from typing import Any, Protocol


class FaultKind(StrEnum):
    """Why a chunk or file has no result."""

    USER = "user code"
    STORAGE = "storage"
    BAD_FILE = "bad file"
    LOST_WORKER = "lost worker"
    RESULT = "result"
    """The processor's return value: None, not picklable, or it does not add to the others."""


@dataclass(frozen=True)
class Failure:
    """One chunk (or, before its events are known, one file) that gave no result."""

    dataset: str
    file: str
    treename: str
    entrystart: int
    """First entry; -1 for a whole file whose number of events is not known."""
    entrystop: int
    """One past the last entry; -1 for a whole file."""
    kind: FaultKind
    error: str
    """Name of the exception's class."""
    message: str
    traceback: str
    """The user's part of the traceback, as text; empty where there is none."""
    host: str
    attempts: int
    skipped: bool = False
    """Left out by the user's own word (``skip-bad-files``): it does not make a result partial."""

    @property
    def entries(self) -> str:
        """The entry range as text."""
        return "all" if self.entrystart < 0 else f"{self.entrystart}-{self.entrystop}"


@dataclass(frozen=True)
class DatasetPlan:
    """What there is to do for one dataset."""

    dataset: str
    files: int
    chunks: int
    events: int


@dataclass
class DatasetOutcome:
    """What was done for one dataset."""

    plan: DatasetPlan
    _: KW_ONLY
    chunks: int = 0
    """Chunks in the sum."""
    resumed: int = 0
    """Those of them that an earlier run had computed."""
    events: int = 0
    """Events in the sum."""
    events_resumed: int = 0
    """Those of them that are of resumed chunks."""
    seconds: float = 0.0
    """Time the workers spent on its chunks, in seconds (the sum over workers)."""
    failures: list[Failure] = field(default_factory=list)
    settled: bool = False
    """Whether every chunk is done or given up; not so where the run ended before."""

    @property
    def whole(self) -> bool:
        """Whether nothing is missing but what the user asked to leave out."""
        return self.settled and all(failure.skipped for failure in self.failures)


class Listener(Protocol):
    """Is told, on the thread that runs the executor, what happens to the chunks."""

    def planned(self, plans: Sequence[DatasetPlan]) -> None:
        """Take note of all there is to do; called once, before the first chunk."""

    def resumed(self, dataset: str, chunks: int, events: int) -> None:
        """Take note of results that an earlier run has left in the ledger."""

    def chunk_done(self, dataset: str, events: int, seconds: float) -> None:
        """Take note of a result that is in; ``seconds`` is what it took on its worker."""

    def chunk_failed(self, failure: Failure) -> None:
        """Take note of a chunk that was given up, after its retries."""

    def dataset_done(self, outcome: DatasetOutcome, total: Any) -> None:
        """Take note of a dataset that is settled; ``total`` is its sum (None: nothing succeeded)."""
