"""HTCondor, by its commands: jobs are submitted by condor_submit, looked at, removed and read."""

from __future__ import annotations

import logging
import re
import threading
from collections.abc import Mapping, Sequence
from typing import Self

from pocket_exec.batch.commands import Commands, failure, with_hint, words
from pocket_exec.batch.htcondor_description import FIRST, RUN, setting_faults, submit_description
from pocket_exec.batch.htcondor_output import JobOutput
from pocket_exec.batch.htcondor_queue import Queue
from pocket_exec.batch.htcondor_removal import at_schedd, left_where, removal_where, removals, remove, remove_where
from pocket_exec.batch.system import BatchSystem, JobStatus, Submission, SubmitError, at_place
from pocket_exec.command import CommandError, CommandMissingError, Completed, Run, run
from pocket_exec.errors import ExecutorError, FarmError, OptionsError
from pocket_exec.options.batch import BatchOptions, HTCondorOptions

log = logging.getLogger(__name__)

_RANGE = re.compile(r"(\d+)\.(\d+) - (\d+)\.(\d+)")
_REFUSALS = {
    "MAX_JOBS_PER_SUBMISSION": "jobs-per-submission is more than the schedd allows",
    "MAX_JOBS_PER_OWNER": "jobs-per-owner is more than the schedd allows",
    "MAX_JOBS_SUBMITTED": "jobs-per-owner is more than the schedd allows",
    "Can't find address of": "is this a submit host? `schedds` names others",
    "accounting_group": "check accounting-group",
}
_COMMIT_LOST = re.compile(r"Failed to commit job submission into the queue\.?\s*\Z")
"""What condor_submit says last when the schedd's answer to its last question has not arrived; else a reason follows."""


class HTCondor(BatchSystem):
    """One pool, through one or several schedds; ids of a named schedd's jobs carry its name."""

    name = "htcondor"
    submit_command = "condor_submit"
    transfers_files = True
    starts_images = True

    def __init__(self, options: HTCondorOptions, commands: Commands) -> None:
        self._options = options
        self._commands = commands
        self._schedds: list[str | None] = list(options.schedds) or [None]
        self._queue = Queue(commands)
        self._lock = threading.Lock()
        self._over: set[str] = set()
        self._output = JobOutput(commands, spooled=options.spool)

    @classmethod
    def from_options(cls, options: BatchOptions, run: Run = run) -> Self:
        """Return the pool as the options describe it; raises ``OptionsError``."""
        if not isinstance(options, HTCondorOptions):
            raise ExecutorError(f"batch-system htcondor needs HTCondor's options, not {type(options).__name__}")
        if faults := setting_faults(options):
            raise OptionsError(faults)
        return cls(options, Commands(run, options.submit_env))

    @property
    def ships_proxy(self) -> bool:
        """Whether jobs run far from this machine's files, or are to find it in their own directory."""
        options = self._options
        return options.spool or not options.shared_filesystem or options.proxy_directory == "."

    @property
    def environment(self) -> Mapping[str, str | None]:
        """The site's variables."""
        return self._commands.environment

    def missing_commands(self) -> Sequence[str]:
        """Return those of its commands that are not on PATH; condor_history is not needed."""
        spooled = ["condor_transfer_data"] if self._options.spool else []
        return self._commands.missing(["condor_submit", "condor_q", "condor_rm", *spooled])

    def describe(self, submission: Submission) -> str:
        """Return the submit description."""
        return submit_description(submission, self._options)

    def submit_words(self, submission: Submission) -> list[str]:
        """Return the condor_submit for the first schedd."""
        return self._submit_words(self._schedds[0], submission)

    def _submit_words(self, schedd: str | None, submission: Submission) -> list[str]:
        spool = ["-spool"] if self._options.spool else []
        # By its name only: a path with "=" in it would be taken for an attribute and its value.
        return ["condor_submit", "-terse", *at_schedd(schedd), *spool, _file_name(submission)]

    def submit(self, submission: Submission) -> tuple[str, ...]:
        """Submit all jobs to the first schedd that takes them; one that does not is asked last the next time."""
        submission.write(_file_name(submission), self.describe(submission))
        failures: list[FarmError] = []
        for schedd in tuple(self._schedds):
            try:
                ids = self._submit_to(schedd, submission)
            except CommandMissingError:
                raise
            except FarmError as error:
                failures.append(error)
            else:
                for failed in failures:
                    log.warning("%s", failed)
                self.unclear = self.unclear or not _clean(failures)
                return ids
            with self._lock:
                self._schedds.remove(schedd)
                self._schedds.append(schedd)
        raise (SubmitError if _clean(failures) else FarmError)("\n".join(str(error) for error in failures))

    def _submit_to(self, schedd: str | None, submission: Submission) -> tuple[str, ...]:
        args = self._submit_words(schedd, submission)
        try:
            done = self._commands(args, cwd=submission.directory, timeout_s=self._commands.submit_timeout_s)
        except CommandMissingError:
            raise
        except CommandError as error:
            # The schedd drops with its connection what a command that was killed had not committed.
            message, clean = self._undone(str(error), schedd, submission)
            raise (SubmitError if clean else FarmError)(message) from error
        ids = _ids(done, schedd, len(submission.names))
        if ids is None:
            message = with_hint(_misfit(done, len(submission.names)), _REFUSALS)
            longer, clean = self._undone(message, schedd, submission)
            # A refusal leaves nothing, even where the schedd cannot be asked: that may be why it was one.
            # A command that was killed has refused nothing, nor has a schedd whose answer was lost.
            refused = done.returncode > 0 and not _COMMIT_LOST.search(done.stderr)
            if clean or (refused and not self._options.spool):
                raise SubmitError(message)
            raise FarmError(longer)
        if done.stderr.strip():
            log.warning("condor_submit said:\n%s", words(done))
        return ids

    def _undone(self, message: str, schedd: str | None, submission: Submission) -> tuple[str, bool]:
        """Cancel what a failed submission may have left in the queue; return its message, and whether that worked."""
        try:
            remove_where(self._commands, schedd, f'{RUN} == "{submission.tag}" && {FIRST} == "{submission.names[0]}"')
        except FarmError as error:
            return f"{message}\nWhether it left jobs in the queue is not known: {error}", False
        return message, True

    def status(self, ids: Sequence[str]) -> Mapping[str, JobStatus]:
        """Look at jobs with condor_q, and with condor_history at those that have left the queue."""
        found = self._queue.status(ids)
        self._over.update(job for job, status in found.items() if status.state.over)
        return found

    def cancel_commands(self, ids: Sequence[str]) -> list[list[str]]:
        """Return one condor_rm for each schedd."""
        return removals(ids)

    def cancel_all_commands(self, tag: str) -> list[list[str]]:
        """Return a condor_rm by the run's tag for each schedd."""
        return [removal_where(schedd, f'{RUN} == "{tag}"') for schedd in sorted(self._schedds, key=str)]

    def left_commands(self, tag: str) -> list[list[str]]:
        """Return a condor_q by the run's tag for each schedd: condor_rm fails where there is nothing to remove."""
        return [left_where(schedd, f'{RUN} == "{tag}"') for schedd in sorted(self._schedds, key=str)]

    def cancel_all(self, tag: str, timeout_s: float) -> None:
        """Remove the run's jobs from each schedd, whatever becomes of the others."""
        failures = []
        for schedd in sorted(self._schedds, key=str):
            try:
                remove_where(self._commands, schedd, f'{RUN} == "{tag}"', timeout_s)
            except FarmError as error:
                failures.append(str(error))
        if failures:
            raise FarmError("\n".join(failures))

    def cancel(self, ids: Sequence[str]) -> None:
        """Remove jobs, with one condor_rm for each schedd."""
        remove(self._commands, ids)

    def logs(self, job_id: str, submission: Submission, name: str) -> str:
        """Return the end of a worker's output; where it is spooled, it is fetched once the job has ended."""
        return self._output.end_of(job_id, submission, name, over=job_id in self._over)

    def last_output(self, ids: Sequence[str], timeout_s: float) -> None:
        """Fetch what is spooled, as the jobs end; then they are still in the queue, ended."""
        if self._options.spool:
            self._output.fetch_last(ids, self.status, timeout_s)

    def finish(self, ids: Sequence[str]) -> None:
        """Fetch the spooled output of ended jobs, and remove them: until then they stay in the queue, ended."""
        if self._options.spool and ids:
            self._output.fetch(ids)
            self.cancel(ids)


def _clean(failures: Sequence[FarmError]) -> bool:
    """Whether nothing can be left of submissions that failed: only a ``SubmitError`` says so."""
    return all(isinstance(error, SubmitError) for error in failures)


def _file_name(submission: Submission) -> str:
    return f"{submission.names[0]}.sub"


def _ids(done: Completed, schedd: str | None, count: int) -> tuple[str, ...] | None:
    """Read ``12.0 - 12.9`` out of the answer of ``condor_submit -terse``, whatever a site prints around it."""
    ranges = [match for line in done.stdout.splitlines() if (match := _RANGE.fullmatch(line.strip()))]
    if done.returncode != 0 or len(ranges) != 1:
        return None
    cluster, first, same, last = (int(number) for number in ranges[0].groups())
    if cluster != same or last - first + 1 != count:
        return None
    return tuple(at_place(f"{cluster}.{proc}", schedd) for proc in range(first, last + 1))


def _misfit(done: Completed, count: int) -> str:
    if done.returncode != 0:
        return failure(done)
    said = (done.stdout + done.stderr).strip() or "nothing"
    return f"condor_submit did not say the ids of {count} jobs; it said:\n{said}"
