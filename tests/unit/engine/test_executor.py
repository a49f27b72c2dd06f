"""The executor's contract with coffea's Runner, and its failure policy, on items that need no file."""

from __future__ import annotations

import signal
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import pytest
from coffea.processor import set_accumulator
from coffea.processor.executor import WorkItem

from pocket_exec.engine.batch import Batch, BatchDone
from pocket_exec.engine.chunk import Answer, Trouble
from pocket_exec.engine.executor import PocketExecutor
from pocket_exec.engine.outcome import DatasetOutcome, DatasetPlan, Failure, FaultKind
from pocket_exec.engine.policy import Policy
from pocket_exec.engine.pool import SerialPool
from pocket_exec.errors import FarmError, Interrupted, PartialResult, ProcessingError


def items(files: int, chunks: int, dataset: str = "DY") -> list[WorkItem]:
    return [
        WorkItem(dataset, f"{dataset}{f}.root", "Events", 100 * c, 100 * (c + 1), b"")
        for f in range(files)
        for c in range(chunks)
    ]


def count(item: WorkItem) -> dict[str, Any]:
    return {"out": {"n": len(item), "seen": [(item.filename, item.entrystart)]}, "processed": {item}}


def failing(on: Callable[[WorkItem], bool], error: type[Exception] = ValueError) -> Callable[[WorkItem], Any]:
    def function(item: WorkItem) -> dict[str, Any]:
        if on(item):
            raise error(f"bad {item.entrystart}")
        return count(item)

    return function


class Told:
    """A listener that writes down what it is told."""

    def __init__(self) -> None:
        self.plans: list[DatasetPlan] = []
        self.done: list[DatasetOutcome] = []
        self.failed: list[Failure] = []
        self.chunks = 0

    def planned(self, plans: Any) -> None:
        self.plans = list(plans)

    def resumed(self, dataset: str, chunks: int, events: int) -> None:
        pass

    def chunk_done(self, dataset: str, events: int, seconds: float) -> None:
        self.chunks += 1

    def chunk_failed(self, failure: Failure) -> None:
        self.failed.append(failure)

    def dataset_done(self, outcome: DatasetOutcome, total: Any) -> None:
        self.done.append(outcome)


def test_the_sum_is_in_the_order_of_the_items_with_every_item_processed() -> None:
    work = items(3, 5) + items(2, 3, "TT")
    total, error = PocketExecutor()(work, count, None)
    assert error == 0
    assert total["out"] == {"n": 2100, "seen": [(i.filename, i.entrystart) for i in work]}
    assert total["processed"] == set(work)


def test_no_items_give_the_accumulator_back() -> None:
    assert PocketExecutor()([], count, None) == (None, 0)


def test_a_given_accumulator_is_added_to() -> None:
    assert PocketExecutor()([1, 2, 3], lambda x: x, 10) == (16, 0)


def test_a_copy_shares_the_report() -> None:
    executor = PocketExecutor()
    executor.copy(unit="chunk", function_name="P")(items(1, 2), count, None)
    assert executor.report.datasets[0].chunks == 2


def test_a_chunk_that_fails_twice_is_left_out_and_named() -> None:
    told = Told()
    runs: list[int] = []

    def function(item: WorkItem) -> dict[str, Any]:
        if item.entrystart == 200:
            runs.append(1)
            raise ValueError("no muons")
        return count(item)

    executor = PocketExecutor(listener=told)
    total, error = executor(items(2, 5), function, None)
    assert isinstance(error, PartialResult)
    assert "ValueError: no muons" in str(error)
    assert total["out"]["n"] == 800
    assert len(total["processed"]) == 8
    assert len(runs) == 4
    (first, _) = executor.report.failures
    assert (first.entrystart, first.entrystop, first.kind, first.attempts) == (200, 300, FaultKind.USER, 2)
    assert "no muons" in first.traceback
    assert told.failed == executor.report.failures
    assert [d.whole for d in told.done] == [False]


def test_an_error_that_does_not_come_back_costs_nothing() -> None:
    seen: set[int] = set()

    def once(item: WorkItem) -> bool:
        return item.entrystart not in seen and not seen.add(item.entrystart)  # type: ignore[func-returns-value]

    total, error = PocketExecutor()(items(1, 4), failing(once), None)
    assert error == 0
    assert total["out"]["n"] == 400


def test_a_hopeless_processor_stops_the_run_after_three_files() -> None:
    runs: list[int] = []

    def function(item: WorkItem) -> Any:
        runs.append(1)
        raise AttributeError("no attribute 'Muno'")

    with pytest.raises(ProcessingError, match="Muno"):
        PocketExecutor()(items(100, 1), function, None)
    assert len(runs) == 6


def test_more_failures_than_allowed_stop_the_run_and_keep_the_sum() -> None:
    executor = PocketExecutor(policy=Policy(max_failures=2))
    total, error = executor(items(1, 100), failing(lambda item: item.entrystart >= 5000), None)
    assert isinstance(error, PartialResult)
    assert "max-failures (2)" in executor.report.stopped
    assert total["out"]["n"] == 5000
    assert not executor.report.datasets[0].settled


def test_files_that_failed_before_count_with_the_chunks() -> None:
    executor = PocketExecutor(policy=Policy(max_failures=3, failed_before=2))
    total, _ = executor(items(1, 100), failing(lambda item: item.entrystart >= 5000), None)
    assert executor.report.stopped == "4 chunks failed, more than max-failures (3)"
    assert total["out"]["n"] == 5000


def test_one_percent_of_the_chunks_may_fail_and_at_least_ten() -> None:
    assert [Policy().allowed_failures(n) for n in (1, 1000, 1001, 5000)] == [10, 10, 11, 50]


def test_skipped_files_make_a_whole_result_with_the_ranges_listed() -> None:
    pool = Storage(lambda item: item.filename == "DY1.root")
    executor = PocketExecutor(pool=pool, policy=Policy(skip_bad_files=True))
    total, error = executor(items(3, 2), count, None)
    assert error == 0
    assert total["out"]["n"] == 400
    assert [(f.file, f.entries, f.skipped) for f in executor.report.failures] == [
        ("DY1.root", "0-100", True),
        ("DY1.root", "100-200", True),
    ]


def test_a_chunk_that_runner_skipped_is_listed() -> None:
    executor = PocketExecutor()
    total, error = executor(items(1, 3), lambda i: None if i.entrystart == 100 else count(i), None)
    assert error == 0
    assert total["out"]["n"] == 200
    assert executor.report.failures[0].skipped


def test_storage_errors_are_tried_again_at_the_next_replica() -> None:
    pool = Storage(lambda item: item.filename == "DY0.root")
    policy = Policy(retries=2, first_delay_s=0.001)
    executor = PocketExecutor(pool=pool, policy=policy, replicas={"DY0.root": ("DY0.root", "other.root")})
    total, error = executor(items(1, 2), count, None)
    assert error == 0
    assert [name for name, _ in total["out"]["seen"]] == ["other.root", "other.root"]
    assert {item.filename for item in total["processed"]} == {"DY0.root"}


def test_results_that_do_not_add_are_named_and_the_others_kept() -> None:
    def function(item: WorkItem) -> dict[str, Any]:
        out = count(item)
        if item.entrystart == 300:
            out["out"]["n"] = "text"
        return out

    executor = PocketExecutor()
    total, error = executor(items(1, 8), function, None)
    assert isinstance(error, PartialResult)
    assert total["out"]["n"] == 700
    assert [f.entrystart for f in executor.report.failures] == [300]
    assert executor.report.failures[0].kind is FaultKind.RESULT
    assert executor.report.datasets[0].events == 700


def test_an_interrupt_gives_the_sum_so_far() -> None:
    def function(item: WorkItem) -> dict[str, Any]:
        if item.entrystart == 300:
            raise Interrupted(signal.SIGTERM)
        return count(item)

    executor = PocketExecutor()
    total, error = executor(items(1, 8), function, None)
    assert isinstance(error, Interrupted)
    assert error.status == 143
    assert total["out"]["n"] == 300
    assert len(total["processed"]) == 3


def test_a_farm_that_goes_away_leaves_the_sum_so_far() -> None:
    executor = PocketExecutor(pool=Broken(after=3))
    total, error = executor(items(1, 8), count, None)
    assert isinstance(error, PartialResult)
    assert "gone" in executor.report.stopped
    assert total["out"]["n"] == 300


def test_a_farm_that_goes_away_at_once_is_a_farm_error() -> None:
    with pytest.raises(FarmError, match="gone"):
        PocketExecutor(pool=Broken(after=0))(items(1, 8), count, None)


@dataclass(frozen=True)
class Meta:
    filename: str


def test_the_metadata_call_raises_what_coffea_would_ignore() -> None:
    def function(item: Meta) -> Any:
        raise OSError(f"no {item.filename}")

    with pytest.raises(OSError, match=r"a\.root"):
        PocketExecutor()({Meta("b.root"), Meta("a.root")}, function, set_accumulator())


def test_a_lost_worker_is_charged_to_the_chunk_that_ran_alone() -> None:
    pool = Deadly(lambda item: item.entrystart == 500)
    executor = PocketExecutor(pool=pool, policy=Policy(retries=2))
    total, error = executor(items(1, 12), count, None)
    assert isinstance(error, PartialResult)
    assert total["out"]["n"] == 1100
    (failure,) = executor.report.failures
    assert (failure.entrystart, failure.kind) == (500, FaultKind.LOST_WORKER)


def test_a_chunk_of_which_four_workers_have_died_alone_is_given_up_whatever_retries_says() -> None:
    pool = Deadly(lambda item: item.entrystart == 500)
    executor = PocketExecutor(pool=pool, policy=Policy(retries=20))
    total, error = executor(items(1, 12), count, None)
    assert isinstance(error, PartialResult)
    assert total["out"]["n"] == 1100
    (failure,) = executor.report.failures
    assert (failure.entrystart, failure.kind, failure.attempts) == (500, FaultKind.LOST_WORKER, 4)


def test_a_storage_that_goes_on_refusing_is_given_up_in_time_but_not_before_each_replica_was_tried() -> None:
    policy = Policy(retries=10**6, first_delay_s=0.01, longest_delay_s=0.01, storage_s=0.2)
    executor = PocketExecutor(pool=Storage(lambda item: item.entrystart == 200), policy=policy)
    total, error = executor(items(1, 4), count, None)
    assert isinstance(error, PartialResult)
    assert total["out"]["n"] == 300
    (failure,) = executor.report.failures
    assert (failure.entrystart, failure.kind) == (200, FaultKind.STORAGE)
    assert 1 < failure.attempts <= 42
    replicas = {"DY0.root": [f"replica {number}" for number in range(5)]}
    hurried = replace(policy, storage_s=0.0)
    executor = PocketExecutor(pool=Storage(lambda item: item.entrystart == 200), policy=hurried, replicas=replicas)
    executor(items(1, 4), count, None)
    assert [failure.attempts for failure in executor.report.failures] == [5]


def chunks_of(batch: object) -> list[WorkItem]:
    assert isinstance(batch, Batch)
    return [item for span in batch.spans for item in span.items]


def only(batch: object) -> WorkItem:
    (item,) = chunks_of(batch)
    return item


class Storage(SerialPool):
    """A pool whose storage refuses some items: a real one refuses when it likes, not when a test does."""

    def __init__(self, refuses: Callable[[WorkItem], bool]) -> None:
        super().__init__()
        self._refuses = refuses

    def wait(self, timeout_s: float | None) -> list[tuple[int, Answer]]:
        if self._queue and self._refuses(only(self._queue[0][1])):
            task, _ = self._queue.popleft()
            return [(task, Answer(None, Trouble(FaultKind.STORAGE, True, "OSError", "busy"), 0.0, "h"))]
        return super().wait(timeout_s)


class Broken(SerialPool):
    """A pool that is gone after some answers."""

    def __init__(self, after: int) -> None:
        super().__init__()
        self._left = after

    def wait(self, timeout_s: float | None) -> list[tuple[int, Answer]]:
        self._left -= 1
        if self._left < 0:
            raise FarmError("the workers are gone")
        return super().wait(timeout_s)


class Deadly(SerialPool):
    """A pool of four slots where one item takes down all that is in flight with it."""

    blames_exactly = False

    def __init__(self, kills: Callable[[WorkItem], bool]) -> None:
        super().__init__()
        self._kills = kills

    def slots(self) -> int:
        return 4

    def wait(self, timeout_s: float | None) -> list[tuple[int, Answer]]:
        if any(self._kills(item) for _, batch in self._queue for item in chunks_of(batch)):
            died = Trouble(FaultKind.LOST_WORKER, False, "LostWorker", "died")
            answers = [(task, Answer(None, replace(died), 0.0, "h")) for task, _ in self._queue]
            self._queue.clear()
            return answers
        return super().wait(timeout_s)


class OfTwo(SerialPool):
    """Two workers have made an answer together, and the second has failed with its part."""

    def __init__(self) -> None:
        super().__init__()
        self.kept_off: list[str] = []

    def submit_elsewhere(self, task: int, item: object, worker: str) -> None:
        self.kept_off.append(worker)
        self.submit(task, item)

    def wait(self, timeout_s: float | None) -> list[tuple[int, Answer]]:
        answers = super().wait(timeout_s)
        for _, answer in answers:
            done: BatchDone = answer.value
            done.failed = {place: replace(failed, worker="second") for place, failed in done.failed.items()}
        return [(task, replace(answer, worker="first")) for task, answer in answers]


def test_an_error_is_confirmed_elsewhere_than_where_it_was_raised_though_others_have_sent_it() -> None:
    pool = OfTwo()
    PocketExecutor(pool=pool)(items(1, 4), failing(lambda item: item.entrystart == 200), None)
    assert pool.kept_off == ["second"]


def test_each_replica_of_a_file_that_is_not_there_is_tried() -> None:
    class Missing(SerialPool):
        """A pool that finds one address only."""

        def wait(self, timeout_s: float | None) -> list[tuple[int, Answer]]:
            if self._queue and only(self._queue[0][1]).filename != "third":
                task, _ = self._queue.popleft()
                gone = Trouble(FaultKind.BAD_FILE, False, "FileNotFoundError", "gone")
                return [(task, Answer(None, gone, 0.0, "h"))]
            return super().wait(timeout_s)

    replicas = {"DY0.root": ("DY0.root", "second", "third")}
    total, error = PocketExecutor(pool=Missing(), replicas=replicas)(items(1, 2), count, None)
    assert error == 0
    assert total["out"]["n"] == 200


def test_failures_that_a_listener_adds_to_an_outcome_do_not_stop_the_run() -> None:
    class Adds(Told):
        """As a run does with files that could not be opened."""

        def dataset_done(self, outcome: DatasetOutcome, total: Any) -> None:
            unreadable = Failure("DY", "x", "Events", -1, -1, FaultKind.BAD_FILE, "OSError", "no", "", "h", 1)
            outcome.failures += [unreadable] * 20
            super().dataset_done(outcome, total)

    executor = PocketExecutor(listener=Adds())
    total, _ = executor(items(1, 1) + items(2, 2, "TT"), count, None)
    assert total["out"]["n"] == 500
    assert executor.report.stopped == ""


def test_a_farm_that_goes_away_is_the_farms_fault_though_a_chunk_had_failed() -> None:
    with pytest.raises(FarmError, match="gone"):
        PocketExecutor(pool=Broken(after=2))(items(1, 8), failing(lambda item: item.entrystart == 0), None)
