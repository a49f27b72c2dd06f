"""Runs an analysis on a coffea executor that is not this project's: one dataset after the other, as it is."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any

from pocket_exec.engine.chunk import describe
from pocket_exec.engine.executor import Report
from pocket_exec.engine.fold import Fold, merge
from pocket_exec.engine.outcome import DatasetOutcome, Listener
from pocket_exec.engine.plan import events_in, plan
from pocket_exec.engine.sums import failure, not_addable

log = logging.getLogger(__name__)


def process_with(
    runner: Any, items: Sequence[Any], work: Any, arguments: Mapping[str, Any], listener: Listener
) -> Report:
    """Run ``work`` over ``items`` with ``runner``'s own executor.

    Such an executor says nothing of a single chunk: a dataset succeeds or fails as a whole, and the others go on.
    """
    log.warning("%s is not this project's executor: a failure costs a whole dataset", type(runner.executor).__name__)
    tree = plan(items)
    report = Report()
    report.begin([DatasetOutcome(summary) for summary in tree.summaries()])
    listener.planned([outcome.plan for outcome in report.datasets])
    totals: list[Any] = []
    for node, outcome in zip(tree.datasets, report.datasets, strict=True):
        chunks = [items[index] for file in node.files for index in file.chunks]
        total = None
        try:
            total = runner.run(chunks, work, **arguments)
        except KeyboardInterrupt as interrupt:
            report.interrupt = interrupt
            break
        except Exception as error:  # noqa: BLE001 - the user's code and the user's executor may raise anything
            trouble = describe(error)
            failed = failure(chunks[0], trouble.kind, trouble.error, trouble.message, traceback=trouble.traceback)
            outcome.failures.append(failed)
            listener.chunk_failed(failed)
        else:
            outcome.chunks, outcome.events = len(chunks), sum(map(events_in, chunks))
            for item in chunks:
                listener.chunk_done(outcome.plan.dataset, events_in(item), 0.0)
        outcome.settled = True
        totals.append(total)
        listener.dataset_done(outcome, total)
    _add_up(report, totals)
    return report


def _add_up(report: Report, totals: Sequence[Any]) -> None:
    tree = Fold(len(report.datasets), merge)
    for index, total in enumerate(totals):
        tree.put(index, {"out": total["out"]} if total is not None else None)
    report.total = tree.total()
    for block in tree.dropped:
        names = ", ".join(outcome.plan.dataset for outcome in report.datasets[block.start : block.stop])
        report.stopped = f"{names}: {not_addable(block.error)}"
