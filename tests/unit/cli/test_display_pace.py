"""How the time left is found: from the recent pace, whatever the chunks are like."""

from __future__ import annotations

import pytest

from pocket_exec.cli.pace import Pace, Progress
from pocket_exec.engine.outcome import DatasetOutcome, DatasetPlan, Failure, FaultKind


def test_the_rate_is_that_of_the_last_minute_not_the_mean() -> None:
    pace = Pace(0.0)
    for second in range(1, 1001):
        pace.add(float(second), 10, 1.0)
    for second in range(1001, 1121):
        pace.add(float(second), 1000, 1.0)
    assert pace.per_second(1120.0) == pytest.approx(1000, rel=0.02)


def test_chunks_longer_than_the_window_still_have_a_rate() -> None:
    pace = Pace(0.0)
    for number in range(1, 30):
        pace.add(number * 600.0, 60_000, 600.0)
    assert pace.per_second(29 * 600.0) == pytest.approx(100)


@pytest.mark.parametrize("waited", [0.0, 100.0, 299.0])
def test_results_that_come_in_bursts_do_not_move_the_rate_between_them(waited: float) -> None:
    pace = Pace(0.0)
    for burst in range(1, 6):
        for worker in range(8):
            pace.add(burst * 300.0 + worker * 0.01, 1000, 300.0)
    assert pace.per_second(1500.0 + waited) == pytest.approx(8000 / 300, rel=0.01)


def test_a_standstill_slows_the_rate_down() -> None:
    pace = Pace(0.0)
    for second in range(1, 61):
        pace.add(float(second), 100, 1.0)
    assert pace.per_second(660.0) == pytest.approx(100 * 60 / 660, rel=0.05)


def test_a_dataset_whose_turn_came_late_is_not_taken_for_slow() -> None:
    row = Progress.of(DatasetPlan("DY", 1, 10, 1000))
    row.add(5000.0, 100, 10.0)
    assert row.per_second(5000.0) == pytest.approx(10)
    assert row.seconds_left(5000.0) == pytest.approx(90)


def test_events_that_failed_are_not_waited_for() -> None:
    row = Progress.of(DatasetPlan("DY", 1, 10, 1000))
    row.fail(Failure("DY", "f", "Events", 0, 400, FaultKind.USER, "E", "", "", "", 1))
    row.add(10.0, 100, 10.0)
    assert row.seconds_left(10.0) == pytest.approx(50)


def test_nothing_is_guessed_before_the_first_result() -> None:
    row = Progress.of(DatasetPlan("DY", 1, 10, 1000))
    assert row.seconds_left(10.0) is None
    assert not row.running


def test_the_final_numbers_replace_the_counted_ones() -> None:
    plan = DatasetPlan("DY", 1, 2, 200)
    row = Progress.of(plan)
    row.add(1.0, 100, 1.0)
    row.add(2.0, 100, 1.0)
    withdrawn = Failure("DY", "f", "Events", 100, 200, FaultKind.RESULT, "E", "", "", "", 1)
    row.finish(DatasetOutcome(plan, chunks=1, events=100, seconds=2.0, failures=[withdrawn], settled=True))
    assert (row.chunks, row.events, row.failed, row.done) == (1, 100, 1, True)


def test_memory_does_not_grow_with_the_chunks() -> None:
    pace = Pace(0.0)
    for number in range(100_000):
        pace.add(number * 0.01, 1, 1.0)
    assert len(pace._marks) < 100
