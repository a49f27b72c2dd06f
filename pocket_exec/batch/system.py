"""What a batch system is to this project: jobs that are submitted, looked at, cancelled, and read."""

from __future__ import annotations

import shlex
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Self

from pocket_exec.command import Run, run
from pocket_exec.errors import FarmError, Fault

if TYPE_CHECKING:
    from pocket_exec.options.batch import BatchOptions


class JobState(StrEnum):
    """Where a job stands, in words that all batch systems share."""

    PENDING = "pending"
    RUNNING = "running"
    HELD = "held"
    """Held or suspended: it does not run, and will not by itself."""
    DONE = "done"
    """Ended with exit status 0."""
    FAILED = "failed"
    """Ended with another exit status, by a signal, or by a limit."""
    REMOVED = "removed"
    UNKNOWN = "unknown"
    """The batch system does not list it."""

    @property
    def over(self) -> bool:
        """Whether the job has ended for good."""
        return self in (JobState.DONE, JobState.FAILED, JobState.REMOVED)


@dataclass(frozen=True)
class JobStatus:
    """One job, as one look at the queue shows it."""

    state: JobState
    reason: str = ""
    """Why it is held, failed, or does not start, in the batch system's words and with a hint where one is known."""
    permanent: bool = False
    """Whether an unchanged job would meet the same fate again. Pending and running jobs may be such, too: one that
    nothing can ever match, or one that is started again and again because its image is not there."""
    host: str = ""
    exit_status: int | None = None
    starts: int = 0
    """How often it has been started, where the batch system counts."""


@dataclass(frozen=True)
class Resources:
    """What one job asks for."""

    cores: int
    memory: int
    """Bytes."""
    disk: int | None = None
    """Bytes; None for the batch system's own."""
    gpus: int = 0
    walltime_s: int | None = None
    """Seconds; None for the queue's own."""


@dataclass(frozen=True)
class Submission:
    """N jobs that are submitted together: the same script, each with its worker's name as only argument."""

    tag: str
    """Of the run: ``pocket-exec-`` and hexadecimal digits. Stands in each job's name, so that all can be found."""
    names: tuple[str, ...]
    """Names of the workers, plain words, one for each job."""
    script: Path
    """Bash script that the jobs run."""
    directory: Path
    """Private directory of the run, on this machine, for submit files."""
    log_directory: Path
    """Where standard output and error of each job go, as ``<worker's name>.out`` and ``.err``."""
    resources: Resources
    queue: str | None = None
    account: str | None = None
    image: str | None = None
    """Image that the batch system itself puts the job in; None where the script does it, or there is none."""
    image_travels: bool = False
    """Whether ``image`` is a file of this machine that the workers do not see."""
    files: tuple[Path, ...] = ()
    """Files that travel to the job's working directory, under their base names; empty on a shared file system."""
    proxy: Path | None = None
    """Grid proxy that the batch system ships, where it can; None where it is reached otherwise."""

    @property
    def initial_directory(self) -> Path:
        """The jobs' first directory, where it is shared.

        Not the private one, which an image that is being started might make anew where the run has just removed it; but
        the one around it, since what a batch system binds into images is the initial directory.
        """
        return self.directory.parent

    def write(self, name: str, text: str) -> None:
        """Write a submit file into the private directory.

        Raises:
            SubmitError: the disk does not take it.
        """
        path = self.directory / name
        try:
            path.write_text(text, encoding="utf-8")
        except OSError as error:
            raise SubmitError(f"{path}: {error.strerror or error}; nothing was submitted") from error


class SubmitError(FarmError):
    """A submission that failed; nothing of it is in the queue."""


class BatchSystem(ABC):
    """A batch system at one site.

    Its methods block, never for longer than its commands' timeouts, and any number of threads may call them at once.
    Ids are text, unique for the life of this object. All commands go through ``pocket_exec.command``.
    """

    name: ClassVar[str]
    """As in ``batch-system:``, ``htcondor`` or ``slurm``."""
    submit_command: ClassVar[str] = ""
    """The command by which ``batch-system: auto`` knows that it is here."""
    transfers_files: ClassVar[bool] = False
    """Whether it brings a submission's files to the jobs."""
    starts_images: ClassVar[bool] = False
    """Whether it puts jobs into a submission's image by itself."""
    unclear = False
    """Whether a submission that went on elsewhere may have left jobs whose ids nobody knows."""

    @classmethod
    def from_options(cls, options: BatchOptions, run: Run = run) -> Self:  # noqa: ARG003 - the contract's
        """Return the batch system as the options describe it.

        Raises:
            OptionsError: with all faults of the options that are its own.
        """
        return cls()

    @property
    def ships_proxy(self) -> bool:
        """Whether it takes a run's grid proxy along, with these options, and names it to the jobs."""
        return False

    def cannot(self, submission: Submission) -> Iterator[Fault]:
        """Yield what of a submission this batch system does not do, whatever the options."""
        if submission.files and not self.transfers_files:
            why = f"is false, and {self.name} transfers no files; workers need a shared file system"
            yield Fault("shared-filesystem", why)
        if submission.image is not None and not self.starts_images:
            why = f"is 'site', and {self.name} starts no images by itself here; write apptainer"
            yield Fault("container-runtime", why)

    @property
    def environment(self) -> Mapping[str, str | None]:
        """Changes to the user's environment that its command lines need; None takes a variable away. May be secret."""
        return {}

    @abstractmethod
    def missing_commands(self) -> Sequence[str]:
        """Return those of its commands that are not on PATH."""

    @abstractmethod
    def describe(self, submission: Submission) -> str:
        """Return the text that is submitted: a submit description, or a script with directives.

        Raises:
            OptionsError: it cannot be said to this batch system (a line break in a path, a walltime that no queue
                allows).
        """

    def submit_words(self, submission: Submission) -> list[str]:
        """Return the command line that hands over what ``describe`` returns, for ``--dry-run``."""
        return [self.submit_command]

    @abstractmethod
    def submit(self, submission: Submission) -> tuple[str, ...]:
        """Submit all jobs with one command and return their ids, in the order of ``submission.names``.

        Raises:
            SubmitError: it failed, with the command's own words; what it submitted all the same is cancelled again, and
                nothing comes later.
            CommandMissingError: there is no such command.
            FarmError: it failed, and what it may have submitted could not be cancelled, or may come later.
            OptionsError: as ``describe``.
        """

    @abstractmethod
    def status(self, ids: Sequence[str]) -> Mapping[str, JobStatus]:
        """Look at jobs, with one command as a rule.

        An id that is nowhere is not listed; one that has left the queue is listed by how it ended, where that can be
        found out.

        Raises:
            FarmError: the query failed: nothing is known, not even that jobs are gone.
        """

    @abstractmethod
    def cancel_commands(self, ids: Sequence[str]) -> list[list[str]]:
        """Return the command lines that cancel these jobs, as few as the system allows, for another process to run."""

    @abstractmethod
    def cancel_all_commands(self, tag: str) -> list[list[str]]:
        """Return the command lines that cancel every job of a run, known by its tag alone."""

    def left_commands(self, tag: str) -> list[list[str]]:
        """Return the command lines that print what is left of a run's jobs, nothing at status 0 where there is none.

        For a batch system whose cancellations fail where there is nothing to cancel.
        """
        return []

    @abstractmethod
    def cancel(self, ids: Sequence[str]) -> None:
        """Cancel jobs; those that are gone already are no fault.

        Raises:
            FarmError: the command failed.
        """

    def cancel_all(self, tag: str, timeout_s: float) -> None:
        """Cancel every job of a run, known by its tag alone; that there is none is no fault.

        Raises:
            FarmError: a command failed, or took longer than ``timeout_s``: jobs may be left.
        """
        for words in self.cancel_all_commands(tag):
            if (done := run(words, timeout_s=timeout_s, env=self.environment)).returncode != 0:
                raise FarmError(f"`{shlex.join(words)}` ended with status {done.returncode}")

    @abstractmethod
    def logs(self, job_id: str, submission: Submission, name: str) -> str:
        """Return the end of what a job has printed, both streams; fetched first where it was spooled, "" if nothing."""

    def last_output(self, ids: Sequence[str], timeout_s: float) -> None:  # noqa: B027 - most systems have nothing to do
        """Bring home what jobs leave at the schedd whose workers are ending, waiting for them within ``timeout_s``."""

    def finish(self, ids: Sequence[str]) -> None:  # noqa: B027 - most systems have nothing to do
        """Bring home what ended jobs have left at the schedd (spooled logs), and let the schedd forget them."""


@dataclass
class Limits:
    """What a site allows."""

    jobs_per_submission: int | None = None
    jobs_per_owner: int | None = None


def at_place(job_id: str, place: str | None) -> str:
    """Return the id of a job in one of several queues (a schedd's, a cluster's): ``12.0@schedd``.

    >>> at_place("12.0", "bigbird.cern.ch"), at_place("12.0", None)
    ('12.0@bigbird.cern.ch', '12.0')
    """
    return f"{job_id}@{place}" if place else job_id


def by_place(ids: Iterable[str]) -> dict[str | None, list[str]]:
    """Group ids by the queue that they are in, without the name of it.

    >>> by_place(["12.0", "12.0@bigbird", "12.1"])
    {None: ['12.0', '12.1'], 'bigbird': ['12.0']}
    """
    groups: dict[str | None, list[str]] = {}
    for job_id in ids:
        bare, _, place = job_id.partition("@")
        groups.setdefault(place or None, []).append(bare)
    return groups
