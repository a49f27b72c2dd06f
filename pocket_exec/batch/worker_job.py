"""One worker's job: what is known of it, and when its worker is given up as lost."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from pocket_exec.batch.system import JobState, JobStatus

STARTS = 3
"""Starts of a job whose worker never came, after which it is given up: HTCondor starts it again and again, and does not
hold it, when its image is gone."""
NEAR_WALLTIME = 0.75
"""Part of its walltime after which a worker's end is its walltime's doing: workers leave some time before."""


@dataclass(frozen=True)
class Patience:
    """How long the supervisor waits for what, in seconds."""

    listed_s: float = 60.0
    """For a new job to be listed by the queue."""
    connected_s: float = 600.0
    """For the worker of a running job to connect."""
    gone_s: float = 120.0
    """For a worker that has left its running job to come back."""
    settled_s: float = 120.0
    """For jobs that have just begun to run, before all are given up for those that have failed."""
    lived_s: float = 120.0
    """For a worker to show that it can live."""
    backoff_s: float = 5.0
    """Before workers are replaced that could not start, or did not live; twice as long each time."""
    backoff_most_s: float = 300.0
    quick_s: float = 5.0
    """Between two looks at the queue while a change is expected."""
    changed_s: float = 0.5
    """For the queue to learn that a worker has gone."""


@dataclass(frozen=True)
class WorkerJob:
    """One worker: its job, as the queue shows it, and whether it is connected. Times are ``time.monotonic``'s."""

    name: str
    id: str
    submitted: float
    status: JobStatus = field(default_factory=lambda: JobStatus(JobState.UNKNOWN))
    running: float | None = None
    """Since when it runs."""
    connected: bool = False
    came: float | None = None
    """When its worker connected first."""
    left: float | None = None
    """Since when its worker has been away from a job that runs, as far as is known."""
    missing: int = 0
    """Looks in a row at which the queue did not list it."""


@dataclass(frozen=True)
class Loss:
    """A worker that has to be replaced, and why."""

    job: WorkerJob
    why: str
    permanent: bool = False
    """Whether another job would fare no better."""
    expected: bool = False
    """Whether its walltime was over."""
    said: tuple[str, ...] = ()
    """Lines of the job's log that are for the user."""
    log: str = ""
    """Path of its log."""

    @property
    def at_start(self) -> bool:
        """Whether its worker never came."""
        return self.job.came is None


def looked_at(job: WorkerJob, status: JobStatus, now: float) -> WorkerJob:
    """Return what is known of a job after one more look at the queue."""
    if status.state is JobState.UNKNOWN:
        return replace(job, missing=job.missing + 1, status=replace(job.status, state=JobState.UNKNOWN))
    running, left = job.running, job.left
    if status.state is JobState.RUNNING and running is None:
        running = now
    elif status.state is JobState.PENDING and not job.connected:
        # It waits, as before its first start, however long: it was evicted.
        running = left = None
    return replace(job, status=status, missing=0, running=running, left=left)


def loss_of(job: WorkerJob, patience: Patience, walltime_s: float | None, now: float) -> Loss | None:
    """Return why the worker has to be replaced, or None as long as it is worth waiting for."""
    status = job.status
    ran = now - job.running if job.running is not None else 0.0
    over = walltime_s is not None and job.came is not None and ran >= NEAR_WALLTIME * walltime_s
    why = _why_lost(job, patience, ran, now)
    if over and status.state is JobState.DONE:
        why = "it has left before its walltime is over"
    return Loss(job, why, permanent=status.permanent, expected=over) if why else None


def _why_lost(job: WorkerJob, patience: Patience, ran: float, now: float) -> str:
    status = job.status
    if status.state.over:
        ended = f"ended with exit status {status.exit_status}" if status.exit_status is not None else str(status.state)
        removed = "removed " if status.state is JobState.REMOVED and status.reason else ""
        return f"{removed}{status.reason or ended}"
    why = ""
    if status.state is JobState.HELD:
        why = "its job is held"
    elif status.state is JobState.PENDING and status.permanent:
        why = "its job can never start"
    elif status.starts >= STARTS and job.came is None:
        why = f"its job was started {status.starts} times, and never for long"
    elif status.state is JobState.UNKNOWN:
        if job.missing > 1 and not job.connected and now - job.submitted > patience.listed_s:
            why = "its job is no longer in the queue"
    elif status.state is JobState.RUNNING and not job.connected and job.left is None and ran > patience.connected_s:
        why = f"its job has run for {ran:.0f} s, and the worker has not reached the scheduler"
    elif status.state is JobState.RUNNING and job.left is not None and now - job.left > patience.gone_s:
        why = "the worker has gone, and its job still runs"
    return f"{why}: {status.reason}" if why and status.reason else why
