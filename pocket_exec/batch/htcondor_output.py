"""Brings home what HTCondor's jobs print: their log files, and what is spooled or still on the machine they run on."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence

from pocket_exec.batch.commands import Commands, failure
from pocket_exec.batch.htcondor_removal import at_schedd
from pocket_exec.batch.log_files import job_output
from pocket_exec.batch.system import JobStatus, Submission, at_place, by_place
from pocket_exec.command import CommandError
from pocket_exec.errors import FarmError

log = logging.getLogger(__name__)

_LOOK_EVERY_S = 1.5
_TAIL_BYTES = 8192
_TAIL_S = 5.0
"""It waits for ever for a job that is started and put back again and again."""


class JobOutput:
    """Output of jobs at one or several schedds; ids of a named schedd's jobs carry its name."""

    def __init__(self, commands: Commands, *, spooled: bool) -> None:
        self._commands = commands
        self._spooled = spooled
        self._settled = threading.Condition()
        self._under_way: set[str] = set()
        self._fetched: set[str] = set()

    def end_of(self, job_id: str, submission: Submission, name: str, *, over: bool) -> str:
        """Return the end of what a worker's job has printed; what is spooled is fetched once the job has ended."""
        text = job_output(submission.log_directory, name)
        if text or not self._spooled:
            return text
        if not over:
            return self._running(job_id)
        self.fetch([job_id])
        return job_output(submission.log_directory, name)

    def fetch(self, ids: Iterable[str], timeout_s: float | None = None) -> None:
        """Run condor_transfer_data, once for each job: a second time it fails. One that is under way is waited for."""
        wanted = set(ids)
        with self._settled:
            self._settled.wait_for(lambda: not self._under_way & wanted)
            new = wanted - self._fetched
            self._under_way |= new
        fetched: set[str] = set()
        try:
            for schedd, group in by_place(sorted(new)).items():
                if self._transferred(schedd, group, timeout_s or self._commands.submit_timeout_s):
                    fetched.update(at_place(job_id, schedd) for job_id in group)
        finally:
            with self._settled:
                self._fetched |= fetched
                self._under_way -= new
                self._settled.notify_all()

    def _transferred(self, schedd: str | None, group: Sequence[str], timeout_s: float) -> bool:
        try:
            done = self._commands(["condor_transfer_data", *at_schedd(schedd), *group], timeout_s=timeout_s)
        except CommandError as error:
            log.warning("the logs of jobs could not be fetched: %s", error)
            return False
        if done.returncode != 0:
            log.info("the logs of jobs could not be fetched: %s", failure(done))
        return done.returncode == 0

    def fetch_last(
        self, ids: Sequence[str], status: Callable[[Sequence[str]], Mapping[str, JobStatus]], timeout_s: float
    ) -> None:
        """Fetch what jobs have spooled that are about to end, as they end, within ``timeout_s``."""
        end, pause = time.monotonic() + timeout_s, min(_LOOK_EVERY_S, timeout_s / 4)
        left = list(ids)
        while left:
            try:
                found = status(left)
            except FarmError as error:
                log.debug("which jobs have ended is not known: %s", error)
                found = {}
            over = [job_id for job_id in left if job_id in found and found[job_id].state.over]
            if over:
                self.fetch(over, max(1.0, end - time.monotonic()))
            left = [job_id for job_id in left if job_id not in over]
            if left and time.monotonic() + pause > end:
                log.info("%d jobs had not ended after %.0f s: their logs are not fetched", len(left), timeout_s)
                return
            if left:
                time.sleep(pause)

    def _running(self, job_id: str) -> str:
        """Return the end of what a running job has printed, as far as its machine tells."""
        [(schedd, [bare])] = by_place([job_id]).items()
        said = ""
        for stream in ([], ["-stderr"]):
            words = ["condor_tail", *at_schedd(schedd), "-maxbytes", str(_TAIL_BYTES), *stream, bare]
            try:
                done = self._commands(words, timeout_s=_TAIL_S)
            except CommandError as error:
                log.debug("no output of a running job: %s", error)
                return said
            said += done.stdout if done.returncode == 0 else ""
        return said
