"""What is told of a run in single lines: how far it is, and what a dataset came to."""

from __future__ import annotations

from pocket_exec.cli.figures import compact, count, duration, percent, speed
from pocket_exec.cli.pace import Progress
from pocket_exec.engine.outcome import DatasetOutcome


def progress_line(total: Progress, done: int, datasets: int, now: float) -> str:
    """Return how far the run is, as one line of a log.

    >>> from pocket_exec.engine.outcome import DatasetPlan
    >>> row = Progress.of(DatasetPlan("DY", 1, 10, 1000))
    >>> for second in range(1, 6):
    ...     row.add(float(second), 100, 1.0)
    >>> progress_line(row, 0, 1, 5.0)
    '50 %: 500 of 1000 events, 100 events/s, no chunks failed, 5 s left'
    """
    parts = [f"{compact(total.events)} of {compact(total.events_planned)} events"]
    if datasets > 1:
        parts.append(f"{done} of {datasets} datasets done")
    parts.append(f"{speed(total.per_second(now))} events/s")
    parts.append(f"{count(total.failed, 'chunk')} failed")
    left = total.seconds_left(now)
    parts.append("time left not known" if left is None else f"{duration(max(1, round(left)))} left")
    return f"{percent(total.events, total.events_planned)}: {', '.join(parts)}"


def dataset_line(outcome: DatasetOutcome) -> str:
    """Return what a dataset came to, as one line of a log."""
    plan, failed = outcome.plan, sum(1 for failure in outcome.failures if not failure.skipped)
    events = f"{outcome.events:,} of {plan.events:,} events"
    chunks = f"{outcome.chunks:,} of {count(plan.chunks, 'chunk')}"
    left_out = len(outcome.failures) - failed
    failures = f"{count(failed, 'chunk')} failed" + (f", {left_out:,} left out" if left_out else "")
    state = "done" if outcome.whole else "incomplete"
    return f"{plan.dataset} {state}: {events}, {chunks}, {failures}, {duration(outcome.seconds)} of worker time"
