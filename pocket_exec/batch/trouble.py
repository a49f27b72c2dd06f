"""Says in words why no worker can live."""

from __future__ import annotations

import collections
from collections.abc import Iterable, Sequence

from pocket_exec.batch.system import JobState
from pocket_exec.batch.worker_job import Loss, WorkerJob
from pocket_exec.errors import PocketExecError
from pocket_exec.options.quantities import Duration

_LINES = 3
NEWS_AFTER_S = 30.0
NEWS_AT_LEAST_EVERY_S = 600.0


def marked_lines(text: str, mark: str) -> tuple[str, ...]:
    r"""Return the lines of a job's log that are for the user, which begin with ``mark``, each once.

    >>> marked_lines("...\npocket-exec worker w-1: no Python\n...", "pocket-exec worker")
    ('pocket-exec worker w-1: no Python',)
    """
    lines = (line.strip() for line in text.splitlines())
    return tuple(dict.fromkeys(line for line in lines if line.startswith(mark)))


def trouble_text(found: Sequence[Loss] | PocketExecError, failed: int) -> str:
    """Return what to tell of a submission that failed, or of workers that failed alike, out of all that failed."""
    if isinstance(found, PocketExecError):
        return f"no job could be submitted: {found}"
    others = f" ({failed - len(found)} more failed in other ways)" if failed > len(found) else ""
    text = [f"no worker can start: {counted(len(found), 'job')} failed alike{others}: {found[-1].why}"]
    # Each line once, whichever worker it names.
    lines = {line.replace(loss.job.name, "", 1): line for loss in reversed(found) for line in loss.said}
    text += list(lines.values())[:_LINES]
    if len(lines) > _LINES:
        text.append(f"... and {len(lines) - _LINES} more such lines")
    logs = [loss.log for loss in found if loss.log]
    if logs:
        text.append(f"log of the last of them: {logs[-1]}")
    return "\n  ".join(text)


def waiting_text(jobs: Iterable[WorkerJob], contact: str, waited_s: float, log_directory: str) -> str:
    """Return what to tell when the time for the first worker is over: where the jobs stand."""
    jobs = list(jobs)
    text = [f"no worker after {Duration(int(waited_s))} (worker-timeout); jobs: {_standing(jobs)}"]
    text += dict.fromkeys(f"reason: {job.status.reason}" for job in jobs if job.status.reason)
    if any(job.status.state is JobState.RUNNING for job in jobs):
        text.append(
            f"jobs run, and their workers have not reached the scheduler at {contact}: "
            f"see their logs in {log_directory}, scheduler-host, scheduler-ports, and the firewall"
        )
    return "\n  ".join(text[: _LINES + 2])


class WaitingNews:
    """Says now and then where the jobs stand while no worker has come: when that changes, and every some minutes."""

    def __init__(self, start: float) -> None:
        self._told = ""
        self._told_at = start
        self._start = start

    def line(self, jobs: Sequence[WorkerJob], now: float) -> str:
        """Return what is to be told at ``now`` (``time.monotonic``); empty for nothing."""
        waited_s, since_s = now - self._start, now - self._told_at
        if since_s < NEWS_AFTER_S:
            return ""
        reasons = dict.fromkeys(job.status.reason for job in jobs if job.status.reason)
        text = "; ".join([_standing(jobs), *list(reasons)[:1]])
        if text == self._told and since_s < NEWS_AT_LEAST_EVERY_S:
            return ""
        self._told, self._told_at = text, now
        return f"no worker after {Duration(int(waited_s))}; jobs: {text}"


def _standing(jobs: Iterable[WorkerJob]) -> str:
    states = collections.Counter(job.status.state for job in jobs)
    return ", ".join(f"{number} {state}" for state, number in states.items()) or "none in the queue"


def losses_text(losses: Sequence[Loss]) -> str:
    """Return one line for the log: how many workers were lost, and why."""
    reasons = collections.Counter(loss.why for loss in losses)
    words = [f"{why}" if number == 1 else f"{why} ({number} times)" for why, number in reasons.most_common(_LINES)]
    return f"{counted(len(losses), 'worker')} lost: {'; '.join(words)}{' ...' if len(reasons) > _LINES else ''}"


def counted(number: int, what: str) -> str:
    """Return a number of things.

    >>> counted(1, "job"), counted(3, "job")
    ('1 job', '3 jobs')
    """
    return f"{number} {what}" if number == 1 else f"{number} {what}s"
