"""Looks at HTCondor's jobs: with condor_q, and with condor_history at those that have left the queue."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence

from pocket_exec.batch.commands import Commands
from pocket_exec.batch.ends import Ends
from pocket_exec.batch.htcondor_jobs import ATTRIBUTES, job_ads, job_status
from pocket_exec.batch.htcondor_pool import Pool
from pocket_exec.batch.htcondor_removal import at_schedd
from pocket_exec.batch.system import JobStatus, at_place, by_place
from pocket_exec.errors import FarmError

log = logging.getLogger(__name__)

_HISTORY_RECORDS = 10_000


class Queue:
    """The queues of one or several schedds; how jobs have ended is remembered."""

    def __init__(self, commands: Commands) -> None:
        self._commands = commands
        self._pool = Pool(commands)
        self._ends = Ends()

    def status(self, ids: Sequence[str]) -> dict[str, JobStatus]:
        """Return what is known of jobs, by id, with one command for each schedd as a rule.

        Raises:
            FarmError: condor_q failed.
        """
        found: dict[str, JobStatus] = {}
        for schedd, group in by_place(ids).items():
            rows = self._asked("condor_q", schedd, _clusters(group))
            self._ends.alive(rows)
            gone = self._ends.to_look_up(job for job in (at_place(bare, schedd) for bare in group) if job not in rows)
            self._ends.learn(self._history(schedd, gone))
            found.update(rows)
        found = {**self._ends.known, **found}
        return {job: found[job] for job in ids if job in found}

    def _asked(self, command: str, schedd: str | None, what: Sequence[str]) -> dict[str, JobStatus]:
        answer = self._commands.output([command, *at_schedd(schedd), "-json", "-attributes", ATTRIBUTES, *what])
        ads = job_ads(answer, command)
        largest = self._pool.largest() if any(ad.unmatched for ad in ads) else None
        return {at_place(ad.job_id, schedd): job_status(ad, largest) for ad in ads}

    def _history(self, schedd: str | None, gone: Sequence[str]) -> dict[str, JobStatus]:
        """Look up how jobs ended, in a part of the history only: it may be long, far away, or not kept."""
        bare = by_place(gone).get(schedd, [])
        bounds = ["-limit", str(len(bare)), "-scanlimit", str(_HISTORY_RECORDS)]
        try:
            return self._asked("condor_history", schedd, [*bounds, *bare]) if bare else {}
        except FarmError as error:
            log.debug("how jobs have ended is not known: %s", error)
            return {}


def _clusters(ids: Iterable[str]) -> list[str]:
    return sorted({job_id.partition(".")[0] for job_id in ids}, key=int)
