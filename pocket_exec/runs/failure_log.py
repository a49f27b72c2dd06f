"""Logs the failures of a run as they come: each error once, with the user's own traceback."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pocket_exec.engine.outcome import DatasetOutcome, DatasetPlan, Failure

log = logging.getLogger(__name__)

TRACEBACK = "users_traceback"
"""Attribute of a log record that has a traceback of the user's: whoever writes it down chooses how much of it."""
_MOST = 10
"""Errors that are told; all are in run.json."""


class FailureLog:
    """Listens to a run, and logs the first failure of each error."""

    def __init__(self) -> None:
        self._told: set[tuple[object, ...]] = set()

    def planned(self, plans: Sequence[DatasetPlan]) -> None:
        """Nothing has failed yet."""

    def resumed(self, dataset: str, chunks: int, events: int) -> None:
        """Nothing to tell."""

    def chunk_done(self, dataset: str, events: int, seconds: float) -> None:
        """Nothing has failed."""

    def chunk_failed(self, failure: Failure) -> None:
        """Log an error that was not told before."""
        kind = same_error(failure)
        if kind in self._told or len(self._told) > _MOST:
            return
        self._told.add(kind)
        if len(self._told) > _MOST:
            log.warning("there are further errors; all of them will be in run.json")
            return
        level = logging.WARNING if failure.skipped else logging.ERROR
        log.log(level, "%s", failure_line(failure), extra={TRACEBACK: failure.traceback})

    def dataset_done(self, outcome: DatasetOutcome, total: Any) -> None:
        """Nothing to add."""


def same_error(failure: Failure) -> tuple[object, ...]:
    """Return what two failures have in common that are of one error, wherever they happened."""
    # Storage errors name the file: that does not make them different.
    message = failure.message.replace(failure.file, "") if failure.file else failure.message
    return failure.skipped, failure.kind, failure.error, message


def failure_line(failure: Failure) -> str:
    """Return a failure with the first line of its error."""
    what = ": ".join(part for part in (failure.error, *failure.message.splitlines()[:1]) if part)
    noun = "file" if failure.entrystart < 0 else "chunk"
    where = f"{failure.dataset}, {failure.file}, entries {failure.entries}"
    return f"{noun} {'left out' if failure.skipped else 'failed'}: {where}: {what} ({failure.kind})"


def shortened(traceback: str, most: int = 12) -> str:
    r"""Return the last error of a traceback in at most ``most`` lines: where it begins, and what it ends with.

    >>> print(shortened("\n".join(["Traceback (most recent call last):", *"abcdefgh", "KeyError: 'x'"]), 6))
    Traceback (most recent call last):
    a
    b
      ... 5 lines, all of them in the log
    h
    KeyError: 'x'
    """
    begin = traceback.rfind("Traceback (most recent call last):")
    lines = traceback[max(0, begin) :].splitlines()
    if len(lines) <= most:
        return "\n".join(lines)
    head, tail = (most + 1) // 2, (most - 1) // 2
    return "\n".join([*lines[:head], f"  ... {len(lines) - head - tail} lines, all of them in the log", *lines[-tail:]])
