"""Runs an analysis on a coffea executor that is not this project's: one dataset after the other, as it is."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from pocket_exec.engine import identity
from pocket_exec.engine.addition import merge
from pocket_exec.engine.chunk import describe
from pocket_exec.engine.executor import Report
from pocket_exec.engine.fold import Fold
from pocket_exec.engine.outcome import DatasetOutcome, Failure, FaultKind, Listener
from pocket_exec.engine.plan import events_in, plan
from pocket_exec.engine.policy import HOPELESS, Policy
from pocket_exec.engine.sums import datasets_apart, failure
from pocket_exec.interrupts import interrupts_held, raise_if_interrupted

log = logging.getLogger(__name__)


def process_with(
    runner: Any, items: Sequence[Any], work: Any, arguments: Mapping[str, Any], listener: Listener, policy: Policy
) -> Report:
    """Run ``work`` over ``items`` with ``runner``'s own executor.

    Such an executor says nothing of a single chunk: a dataset succeeds or fails as a whole, and the others go on. A
    dataset that fails counts as one failure against ``max-failures``: one chunk of it is all that is known to have
    failed. An interrupt keeps the datasets that are done.
    """
    with _travelling_by_value():
        return _Run(runner, items, work, arguments, listener, policy).process()


class _Run:
    def __init__(
        self,
        runner: Any,
        items: Sequence[Any],
        work: Any,
        arguments: Mapping[str, Any],
        listener: Listener,
        policy: Policy,
    ) -> None:
        self._runner = runner
        self._work = work
        self._arguments = arguments
        self._whose = type(runner.executor).__name__
        self._plan = plan(items)
        self._listener = listener
        self._policy = policy
        self._failed = policy.failed_before
        self._users = 0
        """Datasets that failed by the user's own error."""
        self._totals: list[Any] = []
        self._report = Report()
        self._report.begin([DatasetOutcome(summary) for summary in self._plan.summaries()])

    def process(self) -> Report:
        """Process all datasets, or until something ends the run."""
        log.warning("%s is not this project's executor: a failure costs a whole dataset", self._whose)
        report = self._report
        self._listener.planned([outcome.plan for outcome in report.datasets])
        for node, outcome in zip(self._plan.datasets, report.datasets, strict=True):
            chunks = [self._plan.items[index] for file in node.files for index in file.chunks]
            try:
                self._process(outcome, chunks)
                raise_if_interrupted()
            except KeyboardInterrupt as interrupt:
                report.interrupt, report.stopped = interrupt, self._interrupted(outcome)
                log.warning("%s", report.stopped)
                break
            report.stopped = self._hopeless()
            if report.stopped:
                log.error("stopping: %s", report.stopped)
                break
        with interrupts_held():
            self._add_up()
        return report

    def _process(self, outcome: DatasetOutcome, chunks: Sequence[Any]) -> None:
        total, failed = None, None
        try:
            total = self._runner.run(chunks, self._work, **self._arguments)
        except Exception as error:  # noqa: BLE001 - the user's code and the user's executor may raise anything
            failed = _failure(chunks, error)
        with interrupts_held():
            if failed is None:
                outcome.chunks, outcome.events = len(chunks), sum(map(events_in, chunks))
                for item in chunks:
                    self._listener.chunk_done(outcome.plan.dataset, events_in(item), 0.0)
            else:
                self._failed += 1
                self._users += failed.kind in (FaultKind.USER, FaultKind.RESULT)
                outcome.failures.append(failed)
                self._listener.chunk_failed(failed)
            outcome.settled = True
            self._totals.append(total)
            self._listener.dataset_done(outcome, total)

    def _interrupted(self, current: DatasetOutcome) -> str:
        """Return what the interrupt costs: such an executor has no sum of a dataset that it was not done with."""
        datasets = self._report.datasets
        lost = f"interrupted in dataset '{current.plan.dataset}'"
        if current.settled:
            lost = f"interrupted after dataset '{current.plan.dataset}'"
        else:
            lost += f", of which nothing is kept: {self._whose} gives no sum before a dataset is done"
        done = sum(outcome.settled for outcome in datasets)
        return f"{lost}; {done} of {len(datasets)} datasets are done"

    def _hopeless(self) -> str:
        allowed = self._policy.allowed_failures(len(self._plan.items))
        if self._users >= HOPELESS and not any(total is not None for total in self._totals):
            return f"{self._users} datasets failed by an error in the processor, and none succeeded"
        if self._failed > allowed:
            return f"{self._failed} datasets or files failed, more than max-failures ({allowed})"
        return ""

    def _add_up(self) -> None:
        report = self._report
        tree = Fold(len(report.datasets), merge)
        for index, total in enumerate(self._totals):
            tree.put(index, {"out": total["out"]} if total is not None else None)
        report.total = tree.total()
        report.apart = datasets_apart(tree.dropped, [outcome.plan.dataset for outcome in report.datasets])


def _failure(chunks: Sequence[Any], error: Exception) -> Failure:
    """Return the failure of the chunk that coffea names in its error; of the first where it names none."""
    trouble = describe(error)
    wrapper: BaseException | None = error
    while wrapper is not None and not str(wrapper).startswith("Failed "):
        wrapper = wrapper.__cause__
    named = (item for item in chunks if repr(item).partition(", fileuuid=")[0] in str(wrapper))
    return failure(next(named, chunks[0]), trouble.kind, trouble.error, trouble.message, traceback=trouble.traceback)


@contextmanager
def _travelling_by_value() -> Iterator[None]:
    """Let the check of a file's identity go to workers that need not have this project."""
    import cloudpickle

    if identity.__name__ in cloudpickle.list_registry_pickle_by_value():
        yield
        return
    cloudpickle.register_pickle_by_value(identity)
    try:
        yield
    finally:
        cloudpickle.unregister_pickle_by_value(identity)
