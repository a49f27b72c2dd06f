"""A Dask cluster whose workers are jobs of a batch system, kept alive until the work is done."""

from __future__ import annotations

import asyncio
import itertools
import logging
import math
import threading
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from dask.utils import parse_bytes
from distributed.core import Status
from distributed.deploy.cluster import Cluster
from distributed.security import Security

from pocket_exec.batch.group import WorkerProcess
from pocket_exec.batch.guardian import Guardian
from pocket_exec.batch.jobqueue import JobQueueCluster
from pocket_exec.batch.jobs import Jobs
from pocket_exec.batch.jobs_file import JobsFile
from pocket_exec.batch.ports import SchedulerPlace
from pocket_exec.batch.quiet import quiet_dask
from pocket_exec.batch.scheduler import PortSeekingScheduler, contact_address, scheduler_options
from pocket_exec.batch.supervisor import Supervision, Supervisor
from pocket_exec.batch.system import BatchSystem, Resources, Submission
from pocket_exec.batch.trouble import WaitingNews, counted, waiting_text
from pocket_exec.batch.watch import Watch
from pocket_exec.batch.worker_job import WorkerJob
from pocket_exec.errors import FarmError, OptionsError, PocketExecError
from pocket_exec.options.quantities import Duration

log = logging.getLogger(__name__)

RETIRE_S = 30.0
"""Longest time for a worker to hand over what it holds before its job is cancelled."""
WORKERS_END_S = 1.5
"""Time for the workers to end by themselves at the close."""
LAST_OUTPUT_S = 10.0
"""Time for what the jobs of these workers have printed to come home, where it is not there by itself."""
END_S = 10.0
"""Time for each of the steps of the close after that."""


class SupervisedCluster(JobQueueCluster):
    """Workers that are submitted in groups, watched in the queue, replaced when lost, and all cancelled at the end.

    The scheduler runs in this process, on an event loop in a thread of its own. ``make`` gets the address that workers
    find it at, and returns what to submit. ``guardian`` cancels the jobs should this process be killed; whoever made
    it closes it, after this.
    """

    job_cls = WorkerProcess

    def __init__(
        self,
        system: BatchSystem,
        make: Callable[[str], Submission],
        *,
        guardian: Guardian,
        n_workers: int,
        resources: Resources,
        supervision: Supervision,
        place: SchedulerPlace,
        security: Security | None,
        jobs_file: Path | None,
    ) -> None:
        """Start the scheduler and ask for ``n_workers``; none of them is waited for.

        Raises:
            FarmError: the scheduler does not start.
        """
        self._limits = supervision.limits
        self._place = place
        self._capped = False
        self._closing: asyncio.Task[None] | None = None
        self._prefix = "worker"
        self._numbers = itertools.count()
        self._news = threading.Event()
        self._watch = Watch(
            supervision.patience,
            walltime_s=resources.walltime_s,
            hopeless=supervision.hopeless_exits,
            doubtful=supervision.doubtful_exits,
        )
        self._jobs = Jobs(
            system,
            guardian,
            JobsFile(jobs_file),
            most_per_submission=self._limits.jobs_per_submission,
            submitted=self._submitted,
            refused=self._refused,
            retire=self._retire,
        )
        self._supervisor = Supervisor(
            self._watch,
            self._jobs,
            supervision.poll_interval_s,
            supervision.log_mark,
            gone=self._gone,
            fill=self._fill,
            judged=self._news.set,
        )
        try:
            self._start_scheduler(resources, security)
            assert self.scheduler is not None
            self.contact_address = contact_address(str(self.scheduler.address), self._place)
            self.scheduler.contact_address = self.contact_address
            self._jobs.submission = make(self.contact_address)
            self._prefix = self._jobs.submission.tag.removeprefix("pocket-exec-")[:8]
            self._on_loop(self._supervise)
            self.scale(n_workers)
        except BaseException:
            with suppress(Exception):
                self.close()
            self.status = Status.closed
            raise

    def trouble(self) -> str | None:
        """Return why no worker can live, for the user; None while there is hope."""
        return self._supervisor.trouble

    def jobs(self) -> list[WorkerJob]:
        """Return what is known of each worker's job, by the last look at the queue."""
        return list(self._watch.jobs.values())

    def wait_for_first_worker(self, timeout_s: float) -> None:
        """Wait for the first worker.

        Raises:
            FarmError: none came in time, or none can come.
            OptionsError: what is submitted cannot be said to this batch system.
        """
        start = time.monotonic()
        news, told = WaitingNews(start), False
        assert self._jobs.submission is not None
        logs = str(self._jobs.submission.log_directory)
        while not self._watch.connected:
            if isinstance(refusal := self._watch.refusal, OptionsError):
                raise refusal
            if (text := self.trouble()) is not None:
                raise FarmError(text)
            left = start + timeout_s - time.monotonic()
            if left <= 0:
                raise FarmError(waiting_text(self.jobs(), self.contact_address, timeout_s, logs))
            if self._watch.ever_submitted and not told:
                told, most = True, Duration(int(timeout_s))
                log.info("waiting for the first worker, at most %s (worker-timeout); logs in %s", most, logs)
            if line := news.line(self.jobs(), time.monotonic()):
                log.info("%s", line)
            self._news.wait(min(left, 1.0))
            self._news.clear()

    def scale(  # type: ignore[override]  # dask-jobqueue's own has jobs before memory
        self, n: int | None = None, jobs: int = 0, memory: str | int | None = None, cores: int | None = None
    ) -> None:
        """Ask for this many workers; of those that are too many, the ones that have not come yet go first."""
        wanted = max(n or 0, jobs)
        if memory is not None:
            wanted = max(wanted, math.ceil(parse_bytes(memory) / self._memory_per_worker()))
        if cores is not None:
            wanted = max(wanted, math.ceil(cores / self._threads_per_worker()))
        if self.called_from_running_loop:
            self._scale(wanted)
        else:
            # The plan is changed on its own loop only.
            self._on_loop(self._scale_there, wanted)

    scale_up = scale  # type: ignore[assignment]  # as above

    async def scale_down(self, workers: Iterable[str]) -> None:
        """Give up these workers, by name."""
        names = [name for name in workers if name in self.worker_spec]
        self._watch.wanted = max(0, self._watch.wanted - len(names))
        self._watch.dropped(names)
        self._gone(names)

    def new_worker_spec(self) -> dict[str, Any]:
        """Return the plan of one more worker, under a name that has never been used."""
        return {f"{self._prefix}-{next(self._numbers)}": self.new_spec}

    def job_script(self) -> str:
        """Return the script that the workers' jobs run."""
        assert self._jobs.submission is not None
        return self._jobs.submission.script.read_text()

    def close(self, timeout: float | None = None) -> Any:
        """Cancel all jobs and end the scheduler, quietly and in bounded time; once more is harmless."""
        with quiet_dask():
            return super().close(timeout)

    def _start_scheduler(self, resources: Resources, security: Security | None) -> None:
        try:
            super().__init__(
                desk=self._jobs,
                cores=resources.cores,
                memory=resources.memory,
                security=security,
                scheduler_cls=PortSeekingScheduler,
                scheduler_options=scheduler_options(self._place, security),
                silence_logs=logging.CRITICAL,
            )
        except (RuntimeError, OSError, ValueError, TimeoutError) as error:
            first: BaseException = error
            while first.__cause__ is not None:
                first = first.__cause__
            raise FarmError(f"the Dask scheduler does not start: {first}") from error

    def _get_worker_security(self, security: object) -> None:
        """Write no certificates: the script knows where those of the run are."""

    def _on_loop(self, function: Callable[..., Awaitable[None]], *arguments: object) -> None:
        self.sync(function, *arguments)  # type: ignore[no-untyped-call]

    async def _supervise(self) -> None:
        self._supervisor.start()

    async def _scale_there(self, wanted: int) -> None:
        self._scale(wanted)

    def _scale(self, wanted: int) -> None:
        if self.status in (Status.closing, Status.closed):
            wanted = 0
        most = self._limits.jobs_per_owner
        if most is not None and wanted > most:
            if not self._capped:
                log.warning("%d workers wanted, and this place allows %d jobs", wanted, most)
            self._capped = True
            wanted = most
        self._watch.wanted = wanted
        known = self._watch.jobs
        # The oldest of those that have come stay longest.
        going = sorted(self.worker_spec, key=lambda name: (name in known and known[name].connected, -_number(name)))
        going = going[: max(0, len(self.worker_spec) - wanted)]
        self._watch.dropped(going)
        self._gone(going)
        self._fill()

    def _gone(self, names: Sequence[str]) -> None:
        """Take workers out of the plan."""
        for name in names:
            self.worker_spec.pop(name, None)
        if names:
            self._correct()

    def _fill(self) -> None:
        """Put as many workers into the plan as are wanted and may be asked for now."""
        if self.status in (Status.closing, Status.closed):
            return
        due = self._watch.due(len(self.worker_spec), time.monotonic())
        for _ in range(due):
            self.worker_spec.update(self.new_worker_spec())
        if due:
            self._correct()

    def _correct(self) -> None:
        assert self.loop is not None
        self.loop.add_callback(self._correct_state)

    def _submitted(self, ids: Mapping[str, str]) -> None:
        log.info("%s submitted to %s", counted(len(ids), "job"), self._jobs.system.name)
        now = time.monotonic()
        self._watch.submitted({name: ids[name] for name in ids if name in self.worker_spec}, now)
        # A job may be faster than the answer of the command that submits it.
        self._watch.present(self.observed, now)
        self._supervisor.wake()

    def _refused(self, names: Sequence[str], error: PocketExecError) -> None:
        # Of the first submission it is told as what ends the run.
        level = logging.WARNING if self._watch.ever_submitted else logging.DEBUG
        log.log(level, "%s not submitted: %s", counted(len(names), "job"), error)
        self._watch.refused(error, time.monotonic())
        self._gone(names)
        self._supervisor.judge()
        self._supervisor.wake()

    def _update_worker_status(self, op: str, msg: Any) -> None:
        # SpecCluster's own would forget the job of a worker that has left, without looking at the queue.
        Cluster._update_worker_status(self, op, msg)
        if self._watch.present(self.observed, time.monotonic()):
            self._supervisor.wake()
        self._supervisor.judge()

    async def _retire(self, names: Sequence[str]) -> None:
        """Let workers hand over what they hold; SpecCluster asks for this by names where addresses are expected."""
        present = [name for name in names if name in self.observed]
        if present and self.scheduler_comm is not None:
            with suppress(TimeoutError, OSError):
                retiring = self.scheduler_comm.retire_workers(names=present, close_workers=True, remove=True)
                await asyncio.wait_for(retiring, RETIRE_S)

    async def _close(self) -> None:
        if self._closing is None:
            self._closing = asyncio.create_task(self._close_once())
        # Who waits may be interrupted; the close goes on.
        await asyncio.shield(self._closing)

    async def _close_once(self) -> None:
        with quiet_dask():
            await self._supervisor.stop()
            self._watch.wanted = 0
            if self._adaptive is not None:
                self._adaptive.stop()
            came = [job.name for job in self.jobs() if job.connected]
            await self._workers_ended()
            await self._jobs.last_output(came, LAST_OUTPUT_S)
            certain = await self._jobs_ended()
            for worker in list(self._created):
                # SpecCluster asserts that none of them was left half-way.
                await worker.close()
            with suppress(TimeoutError, OSError, RuntimeError, AssertionError):
                await asyncio.wait_for(super()._close(), END_S)  # type: ignore[no-untyped-call]
            self.status = Status.closed
        if not certain:
            log.warning(
                "it is not certain that all jobs are cancelled, and that none comes late; the guardian process goes on"
            )

    async def _jobs_ended(self) -> bool:
        """Return whether it is certain that all jobs are gone; what is wrong with that keeps no scheduler alive."""
        try:
            return await self._jobs.end(END_S)
        except Exception as error:  # noqa: BLE001 - a batch system may be anybody's
            log.warning("the end of the jobs: %s", error)
            return False

    async def _workers_ended(self) -> None:
        """Tell all workers to end: one that is cancelled while its scheduler closes can hang until it is killed."""
        if self.scheduler is None or self.scheduler.status != Status.running:
            return
        for address in list(self.scheduler.workers):
            self.scheduler.close_worker(address)
        end = time.monotonic() + WORKERS_END_S
        while self.scheduler.workers and time.monotonic() < end:
            await asyncio.sleep(0.01)


def _number(name: str) -> int:
    return int(name.rpartition("-")[2])
