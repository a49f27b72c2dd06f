"""Decides how many workers are asked for, and when to despair, from what queue and scheduler say of their jobs."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace

from pocket_exec.batch.system import JobState, JobStatus
from pocket_exec.batch.worker_job import Loss, Patience, WorkerJob, looked_at, loss_of
from pocket_exec.errors import PocketExecError

REFUSALS = 5
"""Submissions in a row that may fail once one has succeeded."""


class Watch:
    """All workers of a cluster, and the rules by which they are given up, replaced, or despaired of.

    Everything is called from the cluster's event loop, with the time now. Losses that cost workers which had worked are
    made good by the workers that come in their place; a start that fails costs one of a budget. ``hopeless`` are exit
    statuses that tell that all jobs would fail alike, ``doubtful`` those that tell it unless a machine is broken.
    """

    def __init__(
        self,
        patience: Patience,
        *,
        walltime_s: float | None = None,
        hopeless: Collection[int] = (),
        doubtful: Collection[int] = (),
    ) -> None:
        self.patience = patience
        self.walltime_s = walltime_s
        self.wanted = 0
        self.jobs: dict[str, WorkerJob] = {}
        self.failed: list[Loss] = []
        """Workers that could not start since the last one that could."""
        self.refusal: PocketExecError | None = None
        """What was wrong with the last submission."""
        self.ever_submitted = False
        self._hopeless = frozenset(hopeless)
        self._doubtful = frozenset(doubtful)
        self._refusals = 0
        self._there = 0
        """Jobs at the last refusal: so many are allowed."""
        self._no_more_before = 0.0
        self._spent = 0
        self._rounds = 0
        self._short_lived = 0
        """Looks at which workers had died that had come shortly before, since one has lived for longer."""
        self._short_lived_since = 0.0
        self._not_before = 0.0

    @property
    def budget(self) -> int:
        """How many starts may still fail."""
        return max(10, 2 * self.wanted) - self._spent

    @property
    def connected(self) -> int:
        """How many workers there are now."""
        # Asked for in other threads too: a list is made in one step.
        return sum(job.connected for job in list(self.jobs.values()))

    def submitted(self, ids: Mapping[str, str], now: float) -> None:
        """Take in jobs that have been submitted, by the names of their workers."""
        self.ever_submitted = True
        self._refusals, self.refusal = 0, None
        self.jobs.update({name: WorkerJob(name, job_id, now) for name, job_id in ids.items()})

    def refused(self, error: PocketExecError, now: float) -> None:
        """Take in that a submission has failed."""
        self._refusals += 1
        self.refusal = error
        self._there = len(self.jobs)
        self._no_more_before = now + self._pause(self._refusals + 1)

    def dropped(self, names: Iterable[str]) -> None:
        """Forget workers."""
        for name in names:
            self.jobs.pop(name, None)

    def present(self, names: Collection[str], now: float) -> bool:
        """Take in which workers are connected, and return whether one has left without having been dropped."""
        left = False
        for job in list(self.jobs.values()):
            if job.connected and job.name not in names:
                self.jobs[job.name] = replace(job, connected=False, left=now)
                left = True
            elif not job.connected and job.name in names:
                if job.came is None:
                    self._can_live(1)
                running = job.running if job.running is not None else now
                came = job.came if job.came is not None else now
                self.jobs[job.name] = replace(job, connected=True, came=came, running=running, left=None)
        return left

    def seen(self, statuses: Mapping[str, JobStatus], now: float) -> list[Loss]:
        """Take in what the queue says of jobs, by id, and return the workers that are lost; they are forgotten."""
        losses = []
        for known in list(self.jobs.values()):
            job = looked_at(known, statuses.get(known.id, JobStatus(JobState.UNKNOWN)), now)
            loss = loss_of(job, self.patience, self.walltime_s, now)
            if loss is not None:
                del self.jobs[job.name]
                losses.append(loss)
            else:
                self.jobs[job.name] = job
        return losses

    def lost(self, losses: Sequence[Loss], now: float) -> None:
        """Take in losses, with what their logs say."""
        if losses:
            self._refusals = 0
        if lived := [loss for loss in losses if loss.expected]:
            self._can_live(len(lived))
        failed = [loss for loss in losses if loss.at_start]
        self.failed += failed
        self._spent += len([loss for loss in losses if not loss.expected])
        if failed:
            self._rounds += 1
            exhausted = self.patience.backoff_most_s if self.budget <= 0 else 0.0
            self._not_before = max(self._not_before, now + max(exhausted, self._pause(self._rounds)))
        self._wait_for_short_lived(losses, now)

    def _wait_for_short_lived(self, losses: Sequence[Loss], now: float) -> None:
        """Let workers that come and die at once be replaced later and later, until one that came since lives on."""
        short = [
            loss
            for loss in losses
            if not loss.at_start and not loss.expected and (loss.permanent or not self._lived(loss.job, now))
        ]
        others = [*self.jobs.values(), *(loss.job for loss in losses if not loss.permanent)]
        if any((job.came or 0.0) > self._short_lived_since and self._lived(job, now) for job in others):
            self._short_lived = 0
        if short:
            self._short_lived_since = self._short_lived_since if self._short_lived else now
            self._short_lived += 1
            self._not_before = max(self._not_before, now + self._pause(self._short_lived))

    def _lived(self, job: WorkerJob, now: float) -> bool:
        left = job.left if job.left is not None else now
        return job.came is not None and left - job.came >= self.patience.lived_s

    def _can_live(self, number: int) -> None:
        """Take in that workers have come, or done their time: those that could not start before them prove nothing."""
        self.failed.clear()
        self._rounds = 0
        self._spent = max(0, self._spent - number)

    def due(self, planned: int, now: float) -> int:
        """Return how many workers to ask for now, with as many planned."""
        if now < self._not_before or self.trouble(now) is not None:
            return 0
        wanted = self.wanted if now >= self._no_more_before else min(self.wanted, self._there)
        return max(0, min(wanted - planned, self._affordable(planned)))

    def _affordable(self, planned: int) -> int:
        """Return how many starts may be tried; while others work, one at a time, however many have failed."""
        if not self.failed:
            return self.wanted
        return max(self.budget, int(0 < self.connected == planned))

    def trouble(self, now: float) -> Sequence[Loss] | PocketExecError | None:
        """Return why no worker can live: failed starts that are alike, most of them; None while there is hope."""
        if self.connected:
            return None
        if self.refusal is not None and not self.jobs:
            return self.refusal if not self.ever_submitted or self._refusals >= REFUSALS else None
        settling = (
            job.running is not None and now - job.running < self.patience.settled_s for job in self.jobs.values()
        )
        if not self.failed or any(settling):
            return None
        alike = most_alike(self.failed)
        return alike if self._proven(alike) or (self.budget <= 0 and not self.jobs) else None

    def _proven(self, alike: Sequence[Loss]) -> bool:
        """Whether failed starts that are alike tell that all others will fail so."""
        enough = max(1, min(self.wanted, 3))
        exits = [loss.job.status.exit_status for loss in alike]
        if sum(loss.permanent or status in self._hopeless for loss, status in zip(alike, exits, strict=True)) >= enough:
            return True
        if not self.jobs and self._doubtful.issuperset(exits):
            return len(alike) >= enough
        # One machine that swallows job after job is no proof.
        hosts = {loss.job.status.host for loss in alike}
        return len(alike) >= (max(2, enough) if len(hosts) > 1 else max(3, 2 * min(self.wanted, 5)))

    def expecting(self, now: float) -> bool:
        """Whether jobs are about to change, so that a look at the queue is worth it."""
        return any(
            job.left is not None or (not job.connected and now - job.submitted < self.patience.listed_s)
            for job in self.jobs.values()
        )

    def next_try(self, now: float) -> float:
        """Return the next time from which more may be asked for; ``now`` where nothing is put off."""
        return min((time for time in (self._not_before, self._no_more_before) if time > now), default=now)

    def _pause(self, times: int) -> float:
        """Return how long to wait: the first time not at all, then twice as long each time."""
        if times <= 1:
            return 0.0
        return min(self.patience.backoff_most_s, self.patience.backoff_s * 2.0 ** min(times - 2, 20))


def most_alike(losses: Sequence[Loss]) -> Sequence[Loss]:
    """Return those of the losses that most share their reason, numbers aside."""
    groups: dict[tuple[JobState, int | None, str], list[Loss]] = {}
    for loss in losses:
        status = loss.job.status
        words = re.sub(r"\d+", "#", status.reason or loss.why)
        # A worker that gives an exit status of its own has said why; the reason may name its machine.
        groups.setdefault((status.state, status.exit_status, "" if status.exit_status else words), []).append(loss)
    return max(groups.values(), key=len)
