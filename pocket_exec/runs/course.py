"""What is known of a run while it goes on, and its record however it ends."""

from __future__ import annotations

import functools
import logging
import platform
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from pocket_exec.analysis.cfg import Analysis
from pocket_exec.engine import cpu
from pocket_exec.engine.outcome import DatasetOutcome, Failure
from pocket_exec.errors import Interrupted, OutputDirectoryError, PocketExecError
from pocket_exec.options.resolve import Resolved
from pocket_exec.runs.decide import kept_rows
from pocket_exec.runs.directory import OutputDirectory
from pocket_exec.runs.git import GitState, git_state
from pocket_exec.runs.key import ContentKey
from pocket_exec.runs.log import run_log
from pocket_exec.runs.names import ALL
from pocket_exec.runs.progress_log import note
from pocket_exec.runs.record import (
    UNENDED,
    DatasetRow,
    OptionRow,
    OutputRow,
    RangeRow,
    RunRecord,
    Status,
    json_value,
)
from pocket_exec.runs.record_file import write_record
from pocket_exec.runs.results import ExistingResult, SavedResult
from pocket_exec.runs.workers import WorkersRecord

log = logging.getLogger(__name__)

LIBRARIES = ("pocket-exec", "coffea", "awkward", "uproot", "numpy", "hist", "dask", "distributed")

ENGINE = "pocket-exec"
"""This project's own engine, as the record and the key of a result name it."""


@dataclass(repr=False)
class RunResult:
    """What a run came to."""

    output: Any = None
    """What coffea's Runner returns for all datasets; None where nothing succeeded or some were there."""
    datasets: Sequence[DatasetOutcome] = ()
    saved: Sequence[SavedResult] = ()
    failures: Sequence[Failure] = ()
    stopped: str = ""
    faults: Sequence[str] = ()
    interrupt: KeyboardInterrupt | None = None
    already_done: Sequence[str] = ()
    """Result files of an earlier run that are what this one would have made."""
    left_as_they_are: Sequence[str] = ()
    """Result files of an earlier run that were wanted too, and are as this run would have made them."""
    seconds: float = 0.0
    outputdir: Path | None = None

    def __repr__(self) -> str:
        """Return a line about it: the output itself may be large."""
        kind = "whole" if self.whole else "partial"
        events = sum(outcome.events for outcome in self.datasets)
        where = f", outputdir={str(self.outputdir)!r}" if self.outputdir is not None else ""
        return f"<RunResult: {kind}, {events:,} events of {len(self.datasets)} datasets{where}>"

    @property
    def whole(self) -> bool:
        """Whether nothing is missing but what the user asked to leave out."""
        return not (self.stopped or self.faults or self.interrupt) and all(d.whole for d in self.datasets)

    @property
    def status(self) -> int:
        """The exit status of the command line."""
        if self.interrupt is not None:
            return self.interrupt.status if isinstance(self.interrupt, Interrupted) else 130
        return 0 if self.whole else 6


@dataclass
class Course:
    """What is known of a run so far, for its record: it is written however the run ends."""

    analysis: Analysis
    resolved: Resolved[Any]
    started: datetime = field(default_factory=lambda: datetime.now(UTC))
    clock: float = field(default_factory=time.monotonic)
    engine: str = ENGINE
    key: ContentKey | None = None
    previous: RunRecord | None = None
    existing: Sequence[ExistingResult] = ()
    result: RunResult = field(default_factory=RunResult)
    workers: WorkersRecord = field(default_factory=WorkersRecord)
    cpus: Mapping[str, str] = field(default_factory=dict)
    git: GitState | None = None


@contextmanager
def recorded(path: Path, course: Course) -> Iterator[OutputDirectory]:
    """Hold the output directory for a run, with its log, and write ``run.json`` at the end whatever happened.

    Raises:
        OutputDirectoryError: the directory cannot be used.
    """
    with OutputDirectory.open(path) as out, run_log(out.log_dir / "runner.log"):
        try:
            yield out
        except BaseException as error:
            _ended(out, course, _status(error), error)
            raise
        _ended(out, course, course.result.status, None)


def begun(out: OutputDirectory, course: Course) -> None:
    """Write a record of the run that has begun: should it be killed, that says whose results are found.

    Raises:
        OutputDirectoryError: the storage fails.
    """
    write_record(out.record_path, record(course, UNENDED))


def _status(error: BaseException) -> int:
    if isinstance(error, (PocketExecError, Interrupted)):
        return error.status
    return 130 if isinstance(error, KeyboardInterrupt) else 1


def _ended(out: OutputDirectory, course: Course, status: int, error: BaseException | None) -> None:
    _write(out, course, status, error)
    why = f": {str(error) or type(error).__name__}" if error is not None else ""
    word = Status.of(status).word
    note("ended after %.1f s: %s (status %d)%s", time.monotonic() - course.clock, word, status, why)


def _write(out: OutputDirectory, course: Course, status: int, error: BaseException | None) -> None:
    """Write the record, unless the run ended before it changed anything: then the last one's is still true."""
    looked = course.key is not None
    if course.result.already_done or (not looked and out.record_path.exists()):
        return
    if looked and isinstance(error, OutputDirectoryError) and not course.result.saved:
        return
    try:
        write_record(out.record_path, record(course, status))
    except PocketExecError as failed:
        log.error("%s", failed)  # noqa: TRY400 - the message says it all
        course.result.faults = [*course.result.faults, str(failed)]


def record(course: Course, status: int) -> RunRecord:
    """Return the record of a run as far as it has come."""
    result, now = course.result, datetime.now(UTC)
    if course.git is None:
        course.git = git_state(course.analysis.directory)
    rows = tuple(_output_rows(result, course.key)) if course.key is not None else ()
    interrupt = result.interrupt
    return RunRecord(
        version=_version("pocket-exec"),
        started=course.started,
        ended=now,
        seconds=time.monotonic() - course.clock,
        status=Status.of(status),
        interrupted=_signal(status, interrupt),
        executor=course.resolved.executor,
        engine=course.engine,
        cfg=str(course.analysis.cfg) if course.analysis.cfg else None,
        analysis=course.analysis.name,
        options=_option_rows(course.resolved),
        image=course.workers.image,
        image_digest=course.workers.image_digest,
        image_date=course.workers.image_date,
        jobs_tag=course.workers.jobs_tag,
        versions={"python": platform.python_version(), **{name: _version(name) for name in LIBRARIES}},
        cpus=dict(sorted(course.cpus.items())),
        cpu_mix=cpu.mix(course.cpus),
        git=course.git,
        datasets=tuple(DatasetRow.of(outcome) for outcome in result.datasets),
        outputs=(*kept_rows(course.previous, course.existing, rows), *rows),
        failures=tuple(RangeRow.of(failure) for failure in result.failures if not failure.skipped),
        skipped=tuple(RangeRow.of(failure) for failure in result.failures if failure.skipped),
        key=course.key,
    )


def _output_rows(result: RunResult, key: ContentKey) -> Iterator[OutputRow]:
    left_out = {failure.dataset for failure in result.failures if failure.skipped}
    for saved in result.saved:
        lacks_some = left_out if saved.name == ALL else left_out & {*saved.datasets}
        yield OutputRow.of(saved, key if lacks_some else key.of_readable())


def _option_rows(resolved: Resolved[Any]) -> dict[str, OptionRow]:
    values = {key: resolved.options.option_value(key) for key in type(resolved.options).option_fields()}
    return {
        key: OptionRow(value=json_value(value), origin=resolved.origin(key))
        for key, value in {**values, **resolved.custom}.items()
    }


def _signal(status: int, interrupt: KeyboardInterrupt | None) -> str | None:
    if isinstance(interrupt, Interrupted):
        return interrupt.signum.name
    return {129: "SIGHUP", 130: "SIGINT", 143: "SIGTERM"}.get(status)


@functools.cache
def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed"
