"""A walltime finds its queue."""

from __future__ import annotations

import pytest

from pocket_exec.batch.queues import queue_for
from pocket_exec.errors import OptionsError
from pocket_exec.options.quantities import Duration

LIMITS = {"tomorrow": Duration(86400), "espresso": Duration(1200), "longlunch": Duration(7200)}


@pytest.mark.parametrize(
    ("queue", "walltime", "found"),
    [
        (None, None, None),
        ("espresso", None, "espresso"),
        (None, 60, "espresso"),
        (None, 1200, "espresso"),
        (None, 1201, "longlunch"),
        (None, 86400, "tomorrow"),
        ("tomorrow", 60, "tomorrow"),
    ],
)
def test_the_shortest_queue_is_taken_that_a_walltime_fits_in(
    queue: str | None, walltime: int | None, found: str | None
) -> None:
    assert queue_for(queue, walltime, LIMITS) == found


def test_where_no_limit_is_known_the_batch_system_chooses() -> None:
    assert queue_for(None, 10**6, {}) is None


def test_a_walltime_that_no_queue_allows_is_refused_with_the_longest() -> None:
    said = r"walltime: '25:00:00' is longer than any queue lets a job run; the longest is 'tomorrow' \('24:00:00'\)"
    with pytest.raises(OptionsError, match=said):
        queue_for(None, 90000, LIMITS)
