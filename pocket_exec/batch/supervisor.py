"""Looks at the queue, replaces workers that are lost, and says when none can live."""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace

from pocket_exec.batch.calls import called
from pocket_exec.batch.jobs import Jobs
from pocket_exec.batch.system import JobStatus, Limits
from pocket_exec.batch.trouble import losses_text, marked_lines, trouble_text
from pocket_exec.batch.watch import Watch
from pocket_exec.batch.worker_job import Loss, Patience, WorkerJob

log = logging.getLogger(__name__)

LOGS_READ = 5
"""Logs that are read after one look at the queue: those of workers that fail together say the same."""
LOG_S = 20.0
"""How long the log of a lost worker is waited for; what is known without it must not wait."""
SLOWEST_S = 300.0
"""Longest pause between two looks at a queue that cannot be read."""


@dataclass(frozen=True)
class Supervision:
    """How the workers' jobs are looked after."""

    poll_interval_s: float
    """Between two looks at the queue."""
    log_mark: str
    """How a line of a job's log begins that is for the user."""
    limits: Limits = field(default_factory=Limits)
    patience: Patience = field(default_factory=Patience)
    hopeless_exits: frozenset[int] = frozenset()
    """Exit statuses of a job that tell that all jobs would fail alike."""
    doubtful_exits: frozenset[int] = frozenset()
    """Exit statuses that tell it, too, unless it is one broken machine that gives them."""


class Supervisor:
    """One task on the cluster's event loop.

    ``gone`` takes workers out of the cluster's plan, ``fill`` puts in those that are due, ``judged`` is called after
    each look and each change.
    """

    def __init__(
        self,
        watch: Watch,
        jobs: Jobs,
        poll_interval_s: float,
        log_mark: str,
        *,
        gone: Callable[[Sequence[str]], None],
        fill: Callable[[], None],
        judged: Callable[[], None],
    ) -> None:
        self.trouble: str | None = None
        self._watch = watch
        self._jobs = jobs
        self._poll_interval_s = poll_interval_s
        self._log_mark = log_mark
        self._gone = gone
        self._fill = fill
        self._judged = judged
        self._changed = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._errors = 0
        self._exhausted = False

    def start(self) -> None:
        """Begin to look; called on the event loop."""
        self._task = asyncio.create_task(self._run())

    async def stop(self) -> None:
        """Look no more."""
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task

    def wake(self) -> None:
        """Look soon: something has changed."""
        self._changed.set()

    def judge(self) -> None:
        """Work out whether there is hope for any worker."""
        found = self._watch.trouble(time.monotonic())
        self.trouble = None if found is None else trouble_text(found, len(self._watch.failed))
        self._judged()

    async def _run(self) -> None:
        while True:
            await self._pause()
            try:
                await self._look()
                self._fill()
                self._tell_of_budget()
            except Exception:
                log.exception("the supervision of the workers failed for once")
            self.judge()

    async def _pause(self) -> None:
        now = time.monotonic()
        patience = self._watch.patience
        pause = self._poll_interval_s
        if self._errors:
            pause = min(SLOWEST_S, pause * 2.0 ** min(self._errors, 20))
        elif self._watch.expecting(now):
            pause = min(pause, patience.quick_s)
        pause *= random.uniform(0.9, 1.1)
        if (next_try := self._watch.next_try(now)) > now:
            pause = min(pause, next_try - now)
        with suppress(TimeoutError):
            await asyncio.wait_for(self._changed.wait(), pause)
            self._changed.clear()
            await asyncio.sleep(patience.changed_s)

    async def _look(self) -> None:
        ids = [job.id for job in self._watch.jobs.values()]
        if not ids:
            return
        await self._jobs.check_guardian()
        statuses = await self._statuses(ids)
        if statuses is None:
            return
        losses = await self._explained(self._watch.seen(statuses, time.monotonic()))
        if losses:
            self._watch.lost(losses, time.monotonic())
            log.info("%s", losses_text(losses))
            if over := [loss.job.name for loss in losses if loss.job.status.state.over]:
                # It may take minutes, which the others need not wait for.
                self._jobs.finish(over)
            self._gone([loss.job.name for loss in losses])

    async def _statuses(self, ids: Sequence[str]) -> Mapping[str, JobStatus] | None:
        """Return what the queue says, or None when it cannot be read: then nothing is known, and nothing is done."""
        try:
            statuses = await called(self._jobs.system.status, ids)
        except Exception as error:  # noqa: BLE001 - a batch system may be anybody's
            self._errors += 1
            level = logging.WARNING if self._errors == 3 else logging.DEBUG
            log.log(level, "the queue cannot be read, %d times in a row: %s", self._errors, error)
            return None
        self._errors = 0
        return statuses

    async def _explained(self, losses: Sequence[Loss]) -> list[Loss]:
        """Add what the jobs' logs say of workers that could not start."""
        asked = [loss for loss in losses if loss.at_start][:LOGS_READ]
        read = dict(zip(map(id, asked), await asyncio.gather(*map(self._with_log, asked)), strict=True))
        return [read.get(id(loss), loss) for loss in losses]

    async def _with_log(self, loss: Loss) -> Loss:
        try:
            text, path = await asyncio.wait_for(called(self._log_of, loss.job), LOG_S)
        except Exception as error:  # noqa: BLE001 - a batch system may be anybody's
            log.debug("no log of job %s: %s", loss.job.id, error)
            return loss
        return replace(loss, said=marked_lines(text, self._log_mark), log=path)

    def _log_of(self, job: WorkerJob) -> tuple[str, str]:
        """Return the end of what a job has printed, and the path of a log of it, "" for none; disks may stall."""
        assert self._jobs.submission is not None
        submission = replace(self._jobs.submission, names=(job.name,))
        text = self._jobs.system.logs(job.id, submission, job.name)
        logs = [submission.log_directory / f"{job.name}.{end}" for end in ("err", "out")]
        written = [path for path in logs if path.is_file() and path.stat().st_size]
        return text, str(written[0]) if written else ""

    def _tell_of_budget(self) -> None:
        exhausted = self._watch.budget <= 0 and bool(self._watch.failed)
        if exhausted and not self._exhausted:
            log.warning(
                "too many workers could not start: one at a time is asked for; the last one: %s",
                self._watch.failed[-1].why,
            )
        self._exhausted = exhausted
