"""HTCondor, by its commands: condor_submit, condor_q, condor_history, condor_rm, condor_transfer_data."""

from __future__ import annotations

import logging
import re
import threading
from collections.abc import Iterable, Mapping, Sequence
from typing import Self

from pocket_exec.batch.commands import CommandFailedError, Commands, each_in_turn, failure, with_hint, words
from pocket_exec.batch.ends import Ends
from pocket_exec.batch.htcondor_description import FIRST, RUN, setting_faults, submit_description
from pocket_exec.batch.htcondor_jobs import ATTRIBUTES, job_ads, job_status
from pocket_exec.batch.log_files import job_output
from pocket_exec.batch.queues import walltime_fault
from pocket_exec.batch.system import BatchSystem, JobStatus, Submission, SubmitError, at_place, by_place
from pocket_exec.command import CommandError, CommandMissingError, Completed, Run, run
from pocket_exec.errors import ExecutorError, FarmError, OptionsError
from pocket_exec.options.batch import BatchOptions, HTCondorOptions

log = logging.getLogger(__name__)

_RANGE = re.compile(r"(\d+)\.(\d+) - (\d+)\.(\d+)")
_GONE = re.compile(r"not found|Couldn't find|no jobs in the queue", re.IGNORECASE)
_HISTORY_RECORDS = 10_000
_REMOVED = 3
"""``JobStatus`` of a job that is on its way out."""
_REFUSALS = {
    "MAX_JOBS_PER_SUBMISSION": "jobs-per-submission is more than the schedd allows",
    "MAX_JOBS_PER_OWNER": "jobs-per-owner is more than the schedd allows",
    "MAX_JOBS_SUBMITTED": "jobs-per-owner is more than the schedd allows",
    "Can't find address of": "is this a submit host? `schedds` names others",
    "accounting_group": "check accounting-group",
}


class HTCondor(BatchSystem):
    """One pool, through one or several schedds; ids of a named schedd's jobs carry its name."""

    name = "htcondor"
    submit_command = "condor_submit"

    def __init__(self, options: HTCondorOptions, commands: Commands) -> None:
        self._options = options
        self._commands = commands
        self._schedds: list[str | None] = list(options.schedds) or [None]
        self._lock = threading.Lock()
        self._ends = Ends()
        self._over: set[str] = set()
        self._fetched: set[str] = set()

    @classmethod
    def from_options(cls, options: BatchOptions, run: Run = run) -> Self:
        """Return the pool as the options describe it; raises ``OptionsError``."""
        if not isinstance(options, HTCondorOptions):
            raise ExecutorError(f"batch-system htcondor needs HTCondor's options, not {type(options).__name__}")
        faults = setting_faults(options.htcondor_settings)
        if fault := walltime_fault(options.walltime, options.queue_limits):
            faults.append(fault)
        if faults:
            raise OptionsError(faults)
        return cls(options, Commands(run, options.submit_env))

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
        return ["condor_submit", "-terse", *_at(schedd), *spool, _file_name(submission)]

    def submit(self, submission: Submission) -> tuple[str, ...]:
        """Submit all jobs to the first schedd that takes them; one that does not is asked last the next time."""
        text = self.describe(submission)
        failures: list[FarmError] = []
        for schedd in tuple(self._schedds):
            try:
                return self._submit_to(schedd, text, submission)
            except CommandMissingError:
                raise
            except FarmError as error:
                failures.append(error)
            with self._lock:
                self._schedds.remove(schedd)
                self._schedds.append(schedd)
        # Only of a SubmitError it is certain that nothing is left.
        clean = all(isinstance(error, SubmitError) for error in failures)
        raise (SubmitError if clean else CommandError)("\n".join(str(error) for error in failures))

    def _submit_to(self, schedd: str | None, text: str, submission: Submission) -> tuple[str, ...]:
        (submission.directory / _file_name(submission)).write_text(text, encoding="utf-8")
        args = self._submit_words(schedd, submission)
        try:
            done = self._commands(args, cwd=submission.directory, timeout_s=self._commands.submit_timeout_s)
        except CommandMissingError:
            raise
        except CommandError as error:
            raise CommandError(self._undone(str(error), schedd, submission)[0]) from error
        ids = _ids(done, schedd, len(submission.names))
        if ids is None:
            message = with_hint(_misfit(done, len(submission.names)), _REFUSALS)
            longer, clean = self._undone(message, schedd, submission)
            # A refusal leaves nothing, even where the schedd cannot be asked: that may be why it was one.
            if clean or (done.returncode != 0 and not self._options.spool):
                raise SubmitError(message)
            raise FarmError(longer)
        if done.stderr.strip():
            log.warning("condor_submit said:\n%s", words(done))
        return ids

    def _undone(self, message: str, schedd: str | None, submission: Submission) -> tuple[str, bool]:
        """Cancel what a failed submission may have left in the queue; return its message, and whether that worked."""
        try:
            self._remove_where(schedd, f'{RUN} == "{submission.tag}" && {FIRST} == "{submission.names[0]}"')
        except FarmError as error:
            return f"{message}\nWhether it left jobs in the queue is not known: {error}", False
        return message, True

    def status(self, ids: Sequence[str]) -> Mapping[str, JobStatus]:
        """Look at jobs with condor_q, and with condor_history at those that have left the queue."""
        found: dict[str, JobStatus] = {}
        for schedd, group in by_place(ids).items():
            rows = self._asked("condor_q", schedd, _clusters(group))
            self._ends.alive(rows)
            gone = self._ends.to_look_up(job for job in (at_place(bare, schedd) for bare in group) if job not in rows)
            self._ends.learn(self._history(schedd, gone))
            found.update(rows)
        found = {**self._ends.known, **found}
        self._over.update(job for job in ids if job in found and found[job].state.over)
        return {job: found[job] for job in ids if job in found}

    def _asked(self, command: str, schedd: str | None, what: Sequence[str]) -> dict[str, JobStatus]:
        answer = self._commands.output([command, *_at(schedd), "-json", "-attributes", ATTRIBUTES, *what])
        return {at_place(ad.job_id, schedd): job_status(ad) for ad in job_ads(answer, command)}

    def _history(self, schedd: str | None, gone: Sequence[str]) -> dict[str, JobStatus]:
        """Look up how jobs ended, in a part of the history only: it may be long, far away, or not kept."""
        bare = by_place(gone).get(schedd, [])
        bounds = ["-limit", str(len(bare)), "-scanlimit", str(_HISTORY_RECORDS)]
        try:
            return self._asked("condor_history", schedd, [*bounds, *bare]) if bare else {}
        except FarmError as error:
            log.debug("how jobs have ended is not known: %s", error)
            return {}

    def cancel_commands(self, ids: Sequence[str]) -> list[list[str]]:
        """Return one condor_rm for each schedd."""
        return [self._commands.elsewhere(command) for command in _removals(ids)]

    def cancel_all_commands(self, tag: str) -> list[list[str]]:
        """Return a condor_rm by the run's tag for each schedd."""
        return [
            self._commands.elsewhere(_removal_where(schedd, f'{RUN} == "{tag}"'))
            for schedd in sorted(self._schedds, key=str)
        ]

    def cancel_all(self, tag: str, timeout_s: float) -> None:
        """Remove the run's jobs from each schedd, whatever becomes of the others."""
        failures = []
        for schedd in sorted(self._schedds, key=str):
            try:
                self._remove_where(schedd, f'{RUN} == "{tag}"', timeout_s)
            except FarmError as error:
                failures.append(str(error))
        if failures:
            raise FarmError("\n".join(failures))

    def _remove_where(self, schedd: str | None, constraint: str, timeout_s: float | None = None) -> None:
        """Remove jobs, of which there may be none: that fails with the words for jobs that cannot be removed."""
        done = self._commands(_removal_where(schedd, constraint), timeout_s=timeout_s)
        if done.returncode == 0:
            return
        said = words(done).splitlines()
        if not said or not all(_GONE.search(line) for line in said) or self._queued(schedd, constraint, timeout_s):
            raise CommandFailedError(failure(done))

    def _queued(self, schedd: str | None, constraint: str, timeout_s: float | None) -> bool:
        """Return whether there are jobs of this kind that are not being removed."""
        left = f"({constraint}) && JobStatus != {_REMOVED}"
        done = self._commands(["condor_q", *_at(schedd), "-constraint", left, "-af", "ClusterId"], timeout_s=timeout_s)
        if done.returncode != 0:
            raise CommandFailedError(failure(done))
        return bool(done.stdout.strip())

    def cancel(self, ids: Sequence[str]) -> None:
        """Remove jobs, with one condor_rm for each schedd."""
        each_in_turn(_removals(ids), self._commands, _GONE)

    def logs(self, job_id: str, submission: Submission, name: str) -> str:
        """Return the end of a worker's output; where it is spooled, it is fetched once the job has ended."""
        text = job_output(submission.log_directory, name)
        if text or not self._options.spool:
            return text
        if job_id not in self._over:
            return self._running_output(job_id)
        self._fetch([job_id])
        return job_output(submission.log_directory, name)

    def finish(self, ids: Sequence[str]) -> None:
        """Fetch the spooled output of ended jobs, and remove them: until then they stay in the queue, ended."""
        if self._options.spool and ids:
            self._fetch(ids)
            self.cancel(ids)

    def _fetch(self, ids: Iterable[str]) -> None:
        """Run condor_transfer_data, once for each job: a second time it fails."""
        new = [job_id for job_id in ids if job_id not in self._fetched]
        for schedd, group in by_place(new).items():
            args = ["condor_transfer_data", *_at(schedd), *group]
            try:
                done = self._commands(args, timeout_s=self._commands.submit_timeout_s)
            except CommandError as error:
                log.warning("the logs of jobs could not be fetched: %s", error)
                continue
            if done.returncode == 0:
                self._fetched.update(at_place(job_id, schedd) for job_id in group)
            else:
                log.info("the logs of jobs could not be fetched: %s", failure(done))

    def _running_output(self, job_id: str) -> str:
        """Return the end of what a running job has printed, as far as its machine tells."""
        [(schedd, [bare])] = by_place([job_id]).items()
        said = ""
        for stream in ([], ["-stderr"]):
            try:
                said += self._commands.output(["condor_tail", *_at(schedd), "-maxbytes", "8192", *stream, bare])
            except FarmError as error:
                log.debug("no output of a running job: %s", error)
        return said


def _file_name(submission: Submission) -> str:
    return f"{submission.names[0]}.sub"


def _at(schedd: str | None) -> list[str]:
    return ["-name", schedd] if schedd is not None else []


def _clusters(ids: Iterable[str]) -> list[str]:
    return sorted({job_id.partition(".")[0] for job_id in ids}, key=int)


def _removals(ids: Sequence[str]) -> list[list[str]]:
    return [["condor_rm", *_at(schedd), *group] for schedd, group in by_place(ids).items()]


def _removal_where(schedd: str | None, constraint: str) -> list[str]:
    return ["condor_rm", *_at(schedd), "-constraint", constraint]


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
