"""Slurm, by its commands: sbatch, squeue, scancel."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Self

from pocket_exec.batch.commands import Commands, each_in_turn, failure, with_hint, words
from pocket_exec.batch.log_files import job_output, tail
from pocket_exec.batch.slurm_arrays import array_of, named, on_cluster
from pocket_exec.batch.slurm_queue import Queue
from pocket_exec.batch.slurm_script import batch_script, directives_of, setting_faults
from pocket_exec.batch.system import BatchSystem, JobState, JobStatus, Submission, SubmitError, at_place, by_place
from pocket_exec.command import CommandError, CommandMissingError, Completed, Run, run
from pocket_exec.errors import ExecutorError, FarmError, OptionsError
from pocket_exec.options.batch import BatchOptions, SlurmOptions

log = logging.getLogger(__name__)

_ANSWER = re.compile(r"(\d+)(?:;(\S+))?")
_GONE = re.compile(r"Invalid job id|already completing or completed", re.IGNORECASE)
_MOST_BYTES_OF_SLURM = 2048
_REFUSALS = {
    "Invalid job array specification": "jobs-per-submission is more than the cluster's MaxArraySize",
    "Memory specification can not be satisfied": "mem-per-worker is more than a machine of the partition has",
    "CPU count specification invalid": "cores-per-worker is more than a machine of the partition has",
    "Temporary disk specification": "disk-per-worker is more than a machine of the partition has",
    "generic resource (gres)": "gpus-per-worker: the partition has none",
    "invalid partition": "queue names no partition here: `sinfo -s` lists them",
    "Invalid account": "check accounting-group, and queue",
    "time limit": "walltime is more than the partition or your limit allows",
    "SubmitJob": "you may have no more jobs here: set jobs-per-owner, or scaleout, to your limit",
    "Unable to contact slurm controller": "is this a submit host?",
}
_NOTHING_SENT = re.compile(r"connect failure", re.IGNORECASE)
_ANSWER_LOST = re.compile(r"timed out|(send|receive) failure|Zero Bytes", re.IGNORECASE)
"""What sbatch says when the controller may have taken the jobs, and its answer has not arrived: they may come later."""
_CANCELLED = JobStatus(JobState.REMOVED, "cancelled")

# Variables of the user's that would narrow or change what a command does.
_UNSET = (
    "SBATCH_WAIT",
    "SCANCEL_ACCOUNT",
    "SCANCEL_BATCH",
    "SCANCEL_INTERACTIVE",
    "SCANCEL_NAME",
    "SCANCEL_PARTITION",
    "SCANCEL_QOS",
    "SCANCEL_STATE",
    "SCANCEL_USER",
    "SCANCEL_WCKEY",
    "SLURM_CLUSTERS",
    "SQUEUE_ACCOUNT",
    "SQUEUE_NAMES",
    "SQUEUE_PARTITION",
    "SQUEUE_QOS",
    "SQUEUE_SORT",
    "SQUEUE_STATES",
    "SQUEUE_USERS",
)
_VARIABLES = {
    "array": "SBATCH_ARRAY_INX",
    "time": "SBATCH_TIMELIMIT",
    "no-requeue": "SBATCH_REQUEUE",
    "mem": "SBATCH_MEM_PER_NODE",
}
"""Variables that beat a directive, where they are not called ``SBATCH_`` and its name."""


class Slurm(BatchSystem):
    """One cluster, or several of one federation; ids of a named cluster's jobs carry its name."""

    name = "slurm"
    submit_command = "sbatch"

    def __init__(self, options: SlurmOptions, commands: Commands) -> None:
        self._options = options
        self._commands = commands
        self._queue = Queue(commands)
        self._cancelled: set[str] = set()
        self._sizes: dict[str | None, dict[str, int]] = {}

    @classmethod
    def from_options(cls, options: BatchOptions, run: Run = run) -> Self:
        """Return the cluster as the options describe it; raises ``OptionsError``."""
        if not isinstance(options, SlurmOptions):
            raise ExecutorError(f"batch-system slurm needs Slurm's options, not {type(options).__name__}")
        if faults := setting_faults(options.slurm_settings):
            raise OptionsError(faults)
        return cls(options, Commands(run, options.submit_env, unset=_UNSET))

    @property
    def environment(self) -> Mapping[str, str | None]:
        """The site's variables, and none of the user's that would change what a command does."""
        return self._commands.environment

    def missing_commands(self) -> Sequence[str]:
        """Return those of its commands that are not on PATH; sacct is not needed."""
        return self._commands.missing(["sbatch", "squeue", "scancel"])

    def describe(self, submission: Submission) -> str:
        """Return the batch script."""
        return batch_script(submission, self._options)

    def submit_words(self, submission: Submission) -> list[str]:
        """Return the sbatch."""
        return ["sbatch", "--parsable", f"{submission.names[0]}.sbatch"]

    def submit(self, submission: Submission) -> tuple[str, ...]:
        """Submit all jobs as one array."""
        args = self.submit_words(submission)
        submission.write(args[-1], self.describe(submission))
        unset = [_variable(name) for name in directives_of(submission, self._options)]
        try:
            done = self._commands(
                args, cwd=submission.directory, timeout_s=self._commands.submit_timeout_s, unset=unset
            )
        except CommandMissingError:
            raise
        except CommandError as error:
            raise CommandError(self._undone(str(error), submission)[0]) from error
        ids = _ids(done, len(submission.names))
        if ids is not None:
            if done.stderr.strip():
                log.warning("sbatch said:\n%s", words(done))
            [(cluster, elements)] = by_place(ids).items()
            self._sizes.setdefault(cluster, {})[array_of(elements[0])] = len(elements)
            return ids
        raise self._failed(done, submission)

    def _failed(self, done: Completed, submission: Submission) -> FarmError:
        """Undo a submission that failed, and return what to raise: a ``SubmitError`` where nothing can be left."""
        if done.returncode == 0:
            message = _misfit(done)
        else:
            message = with_hint(failure(done), _REFUSALS)
            if _NOTHING_SENT.search(done.stderr):
                return SubmitError(message)
        message, clean = self._undone(message, submission)
        lost = done.returncode < 0 or (done.returncode > 0 and _ANSWER_LOST.search(done.stderr) is not None)
        return SubmitError(message) if clean and not lost else FarmError(message)

    def _undone(self, message: str, submission: Submission) -> tuple[str, bool]:
        """Cancel what an unclear submission may have left in the queue; return its message, and whether that worked."""
        try:
            cluster = on_cluster(self._cluster())
            answer = self._commands.output(["squeue", *cluster, "-h", "-o", "%F|%k", f"--name={submission.tag}"])
            rows = {tuple(line.strip().split("|", 1)) for line in answer.splitlines()}
            left = sorted(row[0] for row in rows if row[1:] == (submission.names[0],))
            each_in_turn([["scancel", *cluster, *left]] if left else [], self._commands, _GONE)
        except FarmError as error:
            return f"{message}\nWhether it left jobs in the queue is not known: {error}", False
        return message, True

    def status(self, ids: Sequence[str]) -> Mapping[str, JobStatus]:
        """Look at jobs with squeue, and with scontrol and sacct at those that have ended: once each, as a rule."""
        forgotten = {job: _CANCELLED for job in ids if job in self._cancelled}
        return {**forgotten, **self._queue.status(ids)}

    def cancel_commands(self, ids: Sequence[str]) -> list[list[str]]:
        """Return one scancel for each cluster."""
        return [
            ["scancel", *on_cluster(cluster), *named(group, self._sizes.get(cluster, {}))]
            for cluster, group in by_place(ids).items()
        ]

    def cancel_all_commands(self, tag: str) -> list[list[str]]:
        """Return the scancel of all jobs of the run's name."""
        return [["scancel", *on_cluster(self._cluster()), f"--name={tag}"]]

    def cancel_all(self, tag: str, timeout_s: float) -> None:
        """Cancel all jobs of the run's name; scancel does not complain when there are none."""
        each_in_turn(self.cancel_all_commands(tag), partial(self._commands, timeout_s=timeout_s), _GONE)

    def cancel(self, ids: Sequence[str]) -> None:
        """Cancel jobs, with one scancel for each cluster."""
        each_in_turn(self.cancel_commands(ids), self._commands, _GONE)
        self._cancelled.update(ids)

    def logs(self, job_id: str, submission: Submission, name: str) -> str:
        """Return the end of a worker's output, below it what Slurm says of the jobs that were submitted with it."""
        said = tail(submission.log_directory / f"{submission.names[0]}.slurm", _MOST_BYTES_OF_SLURM)
        return job_output(submission.log_directory, name) + said

    def _cluster(self) -> str | None:
        cluster = self._options.slurm_settings.get("clusters")
        return cluster if isinstance(cluster, str) else None


def _variable(directive: str) -> str:
    """Return the variable of the environment that sbatch would follow rather than a directive."""
    return _VARIABLES.get(directive, f"SBATCH_{directive.upper().replace('-', '_')}")


def _ids(done: Completed, count: int) -> tuple[str, ...] | None:
    """Read ``12`` or ``12;cluster`` out of the answer of ``sbatch --parsable``, whatever a site prints around it."""
    answers = [match for line in done.stdout.splitlines() if (match := _ANSWER.fullmatch(line.strip()))]
    if done.returncode != 0 or len(answers) != 1:
        return None
    array, cluster = answers[0].groups()
    return tuple(at_place(f"{array}_{index}", cluster) for index in range(count))


def _misfit(done: Completed) -> str:
    said = (done.stdout + done.stderr).strip() or "nothing"
    return f"sbatch did not say the id of the jobs; it said:\n{said}"
