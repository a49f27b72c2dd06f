"""Writes into the log file how a run goes on; a terminal shows that in its own way."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pocket_exec.engine.outcome import DatasetOutcome, DatasetPlan, Failure

log = logging.getLogger(__name__)

FILE_ONLY = "in_the_log_file_only"
"""Attribute of a log record that a terminal does not show."""


def note(text: str, *values: object) -> None:
    """Log a line for the file."""
    log.info(text, *values, extra={FILE_ONLY: True})


class ProgressLog:
    """Listens to a run, and notes what it has to do, what is there already, and each dataset as it is done."""

    def planned(self, plans: Sequence[DatasetPlan]) -> None:
        """Note what there is to do."""
        for plan in plans:
            note("to do: %s: events: %d, chunks: %d, files: %d", plan.dataset, plan.events, plan.chunks, plan.files)

    def resumed(self, dataset: str, chunks: int, events: int) -> None:
        """Note what an earlier run has left."""
        note("from an earlier run: %s: events: %d, chunks: %d", dataset, events, chunks)

    def chunk_done(self, dataset: str, events: int, seconds: float) -> None:
        """Note nothing: there may be many."""

    def chunk_failed(self, failure: Failure) -> None:
        """Note nothing: failures have a log of their own."""

    def dataset_done(self, outcome: DatasetOutcome, total: Any) -> None:
        """Note what came of a dataset."""
        plan = outcome.plan
        note(
            "%s: %s: events: %d of %d, chunks: %d of %d, failed: %d, seconds on the workers: %.1f",
            "done" if outcome.whole else "ended with parts missing",
            plan.dataset,
            outcome.events,
            plan.events,
            outcome.chunks,
            plan.chunks,
            len(outcome.failures),
            outcome.seconds,
        )
