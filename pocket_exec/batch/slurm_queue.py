"""Looks at Slurm's jobs: with squeue, and with scontrol and sacct at those that have ended."""

from __future__ import annotations

import logging
import math
import re
import time
from collections.abc import Callable, Mapping, Sequence

from pocket_exec.batch.commands import CommandFailedError, Commands, failure
from pocket_exec.batch.ends import Ends
from pocket_exec.batch.slurm_arrays import array_of, arrays_of, on_cluster
from pocket_exec.batch.slurm_jobs import ACCOUNTING_FORMAT, QUEUE_FORMAT, accounting_rows, controller_rows, queue_rows
from pocket_exec.batch.system import JobState, JobStatus, at_place, by_place
from pocket_exec.command import CommandMissingError
from pocket_exec.errors import FarmError

log = logging.getLogger(__name__)

_UNKNOWN_JOB = re.compile(r"Invalid job id", re.IGNORECASE)
_NO_ACCOUNTS = re.compile(r"accounting storage is disabled", re.IGNORECASE)
_MOST_ARRAYS = 10
_SACCT_AGAIN_S = 300.0
"""After sacct has failed: a database that is busy comes back."""


class Queue:
    """The queues of one cluster, or of several; how jobs have ended is remembered."""

    def __init__(self, commands: Commands) -> None:
        self._commands = commands
        self._ends = Ends()
        self._sacct_from = 0.0
        """When sacct may be asked (``time.monotonic``)."""

    def status(self, ids: Sequence[str]) -> dict[str, JobStatus]:
        """Return what is known of jobs, by id: one command as a rule.

        Raises:
            FarmError: squeue failed.
        """
        found: dict[str, JobStatus] = {}
        for cluster, group in by_place(ids).items():
            listed = self._listed(cluster, group)
            # Elements that were cancelled before they began have no line of their own, but one for all of them.
            of_array = {array: row for array, row in listed.items() if "_" not in array and row.state.over}
            rows = {job: row for job in group if (row := listed.get(job) or of_array.get(array_of(job)))}
            self._ends.alive(at_place(job, cluster) for job, row in rows.items() if not row.state.over)
            self._ends.learn({at_place(job, cluster): row for job, row in rows.items() if not _end_unknown(row)})
            self._learn_ends(cluster, [at_place(job, cluster) for job in group if _end_unknown(rows.get(job))])
            found.update({at_place(job, cluster): row for job, row in rows.items()})
        alive = {job: row for job, row in found.items() if not row.state.over}
        known: Mapping[str, JobStatus] = {**found, **self._ends.known, **alive}
        return {job: known[job] for job in ids if job in known}

    def _listed(self, cluster: str | None, group: Sequence[str]) -> dict[str, JobStatus]:
        which = ["-t", "all", "-o", QUEUE_FORMAT, "-j", ",".join(arrays_of(group))]
        done = self._commands(["squeue", *on_cluster(cluster), "-h", "-r", *which])
        if done.returncode == 0:
            return queue_rows(done.stdout)
        # A single job that Slurm has forgotten is a fault to squeue; one of several is not.
        if _UNKNOWN_JOB.search(done.stderr):
            return {}
        raise CommandFailedError(failure(done))

    def _learn_ends(self, cluster: str | None, ended: Sequence[str]) -> None:
        unknown = self._ends.to_look_up(ended)
        bare = by_place(unknown).get(cluster, [])
        rows: dict[str, JobStatus] = {}
        for array in arrays_of(bare)[:_MOST_ARRAYS]:
            rows.update(self._asked(["scontrol", *on_cluster(cluster), "-o", "show", "job", array], controller_rows))
        rest = [job for job in bare if job not in rows]
        if rest and time.monotonic() >= self._sacct_from:
            which = ["-o", ACCOUNTING_FORMAT, "-j", ",".join(arrays_of(rest))]
            rows.update(self._asked(["sacct", *on_cluster(cluster), "-n", "-P", "-X", *which], accounting_rows))
        self._ends.learn({at_place(job, cluster): rows[job] for job in bare if job in rows})

    def _asked(self, args: Sequence[str], read: Callable[[str], dict[str, JobStatus]]) -> dict[str, JobStatus]:
        """Run a command that need not know, nor be there."""
        try:
            return read(self._commands.output(args))
        except FarmError as error:
            log.debug("how jobs have ended is not known: %s", error)
            if args[0] == "sacct":
                gone = isinstance(error, CommandMissingError) or _NO_ACCOUNTS.search(str(error))
                self._sacct_from = math.inf if gone else time.monotonic() + _SACCT_AGAIN_S
            return {}


def _end_unknown(row: JobStatus | None) -> bool:
    """Whether a job has left the queue, or has failed: squeue does not tell the exit status."""
    return row is None or (row.state is JobState.FAILED and row.exit_status is None)
