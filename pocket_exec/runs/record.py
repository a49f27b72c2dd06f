"""The record of a run, ``run.json``: how its results came to be."""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import UTC
from enum import Enum, StrEnum
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, AwareDatetime, Field, JsonValue, field_validator

from pocket_exec.engine.outcome import DatasetOutcome, Failure
from pocket_exec.runs.git import GitState
from pocket_exec.runs.key import ContentKey
from pocket_exec.runs.masking import masked_value
from pocket_exec.runs.part import Part
from pocket_exec.runs.results import SavedResult

SCHEMA_VERSION: Literal[1] = 1
"""Raised when a field changes its meaning or goes; a new field with a default does not raise it."""

Instant = Annotated[AwareDatetime, AfterValidator(lambda moment: moment.astimezone(UTC))]


class StatusWord(StrEnum):
    """An exit status in a word."""

    DONE = "done"
    BUG = "bug"
    USAGE = "usage"
    OPTIONS = "options"
    FARM = "farm"
    FAILED = "failed"
    PARTIAL = "partial"
    INTERRUPTED = "interrupted"
    RUNNING = "running"


UNENDED = 137
"""Code of a run that has not ended yet: a shell's for `kill -9`, which is what lets a record stay so."""
_WORDS = {
    **dict(enumerate(list(StatusWord)[:7])),
    **dict.fromkeys((129, 130, 143), StatusWord.INTERRUPTED),
    UNENDED: StatusWord.RUNNING,
}


class Status(Part):
    """How the run ended."""

    code: int
    """Exit status of the command line."""
    word: StatusWord
    """`done`, `bug`, `usage`, `options`, `farm`, `failed`, `partial`, `interrupted`; `running` if it goes on or was
    killed."""

    @classmethod
    def of(cls, code: int) -> Status:
        """Return the status with its word; a code that this project does not use is a bug's."""
        return cls(code=code, word=_WORDS.get(code, StatusWord.BUG))


class OptionRow(Part):
    """An option as it was used."""

    value: JsonValue
    """The value; `***` for a credential."""
    origin: str
    """Where it came from: file and line, flag, default file."""


class DatasetRow(Part):
    """What was to do and what was done for one dataset."""

    name: str
    """Name in the fileset."""
    files: int
    """Files to process."""
    chunks: int
    """Chunks to process."""
    events: int
    """Events to process."""
    chunks_done: int
    """Chunks in the result."""
    chunks_resumed: int = 0
    """Those of them that an earlier run had computed and left in the ledger."""
    events_done: int
    """Events in the result."""
    seconds: float
    """Time that workers spent on it, in seconds, summed over workers."""
    failures: int
    """Chunks or files without a result, those left out by the user's own word aside."""

    @classmethod
    def of(cls, outcome: DatasetOutcome) -> DatasetRow:
        """Return the row of what the engine reports."""
        plan = outcome.plan
        return cls(
            name=plan.dataset,
            files=plan.files,
            chunks=plan.chunks,
            events=plan.events,
            chunks_done=outcome.chunks,
            chunks_resumed=outcome.resumed,
            events_done=outcome.events,
            seconds=outcome.seconds,
            failures=sum(not failure.skipped for failure in outcome.failures),
        )


class OutputRow(Part):
    """A result file of this run, or of an earlier one that this run has left as it was."""

    file: str
    """File name in the output directory."""
    name: str
    """Dataset or group; `all` for every dataset."""
    datasets: tuple[str, ...]
    """Datasets in it, in the order of the fileset."""
    partial: bool
    """Whether something is missing from it."""
    bytes: int
    """Size in bytes."""
    sha256: str
    """Digest of the file."""
    key: ContentKey
    """What decides its content."""

    @classmethod
    def of(cls, saved: SavedResult, key: ContentKey) -> OutputRow:
        """Return the row of a file; ``key`` may hold more datasets than the file."""
        return cls(
            file=saved.path.name,
            name=saved.name,
            datasets=saved.datasets,
            partial=saved.partial,
            bytes=saved.bytes,
            sha256=saved.sha256,
            key=key.of(saved.datasets),
        )


class RangeRow(Part):
    """A range of entries that is in no result."""

    dataset: str
    """Name in the fileset."""
    file: str
    """The file as the fileset names it."""
    treename: str
    """The tree in it."""
    entrystart: int
    """First entry; -1 for a whole file whose number of entries is not known."""
    entrystop: int
    """One past the last entry; -1 for a whole file."""
    kind: str
    """Whose fault it is: user code, storage, bad file, lost worker, result."""
    error: str
    """Name of the exception's class."""
    message: str
    """The exception's text."""
    traceback: str
    """The user's part of the traceback; empty where there is none."""
    host: str
    """Where it failed last."""
    attempts: int
    """How often it was tried."""

    @classmethod
    def of(cls, failure: Failure) -> RangeRow:
        """Return the row of what the engine reports."""
        fields = {name: getattr(failure, name) for name in cls.model_fields}
        return cls.model_validate({**fields, "kind": failure.kind.value})


class RunRecord(Part):
    """One run: what was asked for, by whose word, with which software, and what came of it."""

    schema_version: Literal[1] = SCHEMA_VERSION
    """Version of this format."""
    version: str
    """Version of pocket-exec."""
    started: Instant
    """When the run began, UTC, ISO 8601."""
    ended: Instant
    """When it ended."""
    seconds: float
    """How long it took, in seconds."""
    status: Status
    """How it ended."""
    interrupted: str | None = None
    """The signal that ended it early: SIGINT, SIGTERM, SIGHUP."""
    executor: str
    """The executor string, such as `dask@lxplus`."""
    engine: str
    """`pocket-exec`, or the class of the coffea executor that a user's factory gave."""
    cfg: str | None = None
    """Path of the cfg.py; null for a run from Python."""
    analysis: str = ""
    """Name of the analysis."""
    options: dict[str, OptionRow] = Field(default_factory=dict)
    """Each option by its name."""
    image: str | None = None
    """The workers' image, as resolved."""
    image_digest: str | None = None
    """Its digest."""
    image_date: Instant | None = None
    """When it was made, as far as that can be seen."""
    jobs_tag: str | None = None
    """Word in the name of each of the run's jobs, by which the batch system's own records find them."""
    versions: dict[str, str] = Field(default_factory=dict)
    """Versions of Python and of the libraries that took part."""
    cpus: dict[str, str] = Field(default_factory=dict)
    """What numpy has used of the CPU of each host with a result, and the C library: `x86-64-v3, glibc 2.34`."""
    cpu_mix: str = ""
    """In words, that hosts differ in that; empty where they do not."""
    git: GitState | None = None
    """Git state of the analysis; null outside a repository."""
    datasets: tuple[DatasetRow, ...] = ()
    """What was done, per dataset."""
    outputs: tuple[OutputRow, ...] = ()
    """The result files."""
    failures: tuple[RangeRow, ...] = ()
    """What has no result."""
    skipped: tuple[RangeRow, ...] = ()
    """What was left out by the user's own word (`skip-bad-files`)."""
    key: ContentKey | None = None
    """What decides the content of this run's results; null where the run ended before it was known."""

    @field_validator("options", mode="before")
    @classmethod
    def _without_secrets(cls, options: Any) -> Any:
        if not isinstance(options, Mapping):
            return options
        return {name: _option(name, row) for name, row in options.items()}


def _option(name: str, row: Any) -> Any:
    if isinstance(row, OptionRow):
        row = {"value": row.value, "origin": row.origin}
    if not isinstance(row, Mapping):
        return row
    return {**row, "value": masked_value(json_value(row.get("value")), name)}


def json_value(value: Any) -> JsonValue:
    """Return an option's value as JSON holds it: paths, enums and durations as text, tuples and sets as lists.

    >>> json_value({"limits": (1, float("inf"))})
    {'limits': [1, 'inf']}
    """
    match value:
        case Enum():
            return json_value(value.value)
        case None | bool() | int() | str():
            return value
        case float():
            return value if math.isfinite(value) else str(value)
        case Mapping():
            return {str(key): json_value(item) for key, item in value.items()}
        case list() | tuple() | set() | frozenset():
            items = [json_value(item) for item in value]
            return items if isinstance(value, list | tuple) else sorted(items, key=str)
        case _:
            return str(value)
