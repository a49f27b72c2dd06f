"""Any cut into batches, any trouble on the way, gives the sum that one chunk after the other gives."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from typing import Any

import pytest
from coffea.processor.executor import WorkItem
from hypothesis import given, settings
from hypothesis import strategies as st

from pocket_exec.engine.batch import Batch, RunBatch
from pocket_exec.engine.batches import Batches, Pace
from pocket_exec.engine.chunk import Answer, Trouble, attempt
from pocket_exec.engine.executor import PocketExecutor
from pocket_exec.engine.leaving import LEAVES_AT, stays_for
from pocket_exec.engine.outcome import FaultKind
from pocket_exec.engine.plan import plan
from pocket_exec.engine.policy import Policy
from pocket_exec.engine.pool import SerialPool

Files = list[int]
FILES = st.lists(st.integers(1, 9), min_size=1, max_size=7)


def items(files: Files, dataset: str = "DY") -> list[WorkItem]:
    return [
        WorkItem(dataset, f"{dataset}{f}.root", "Events", 100 * c, 100 * (c + 1), b"")
        for f, chunks in enumerate(files)
        for c in range(chunks)
    ]


def value(item: WorkItem) -> dict[str, Any]:
    """Return floats whose sum depends on the order, lists, and categories that grow."""
    number = random.Random(f"{item.filename}{item.entrystart}").random() * 10.0 ** (item.entrystart % 7 - 3)
    return {"out": {"x": number, "seen": [item.entrystart], item.filename: 1}, "processed": {item}}


class Anyhow(SerialPool):
    """Four workers that take batches of any length, give some back half done, answer in any order, and die at times."""

    blames_exactly = False

    def __init__(self, seed: int, deaths: float = 0.0, kills: Callable[[WorkItem], bool] = lambda item: False) -> None:
        super().__init__()
        self._random = random.Random(seed)
        self._deaths = deaths
        self._kills = kills
        self.batch_s = self._random.choice([0.0, 1e-5, 1e-4, 1e-3, 1.0])
        self.batches: list[Batch] = []

    def slots(self) -> int:
        return self._random.randint(1, 4)

    def wait(self, timeout_s: float | None) -> list[tuple[int, Answer]]:
        if not self._queue or self._function is None:
            return []
        self._queue.rotate(self._random.randrange(4))
        batch = self._queue[0][1]
        assert isinstance(batch, Batch)
        if self._random.random() < self._deaths or any(self._kills(i) for span in batch.spans for i in span.items):
            died = Answer(None, Trouble(FaultKind.LOST_WORKER, False, "LostWorker", "died"), 0.0, "h")
            answers = [(task, died) for task, _ in self._queue]
            self._queue.clear()
            return answers
        task, _ = self._queue.popleft()
        self.batches.append(batch)
        return [(task, attempt(self._function, batch))]


@given(files=FILES, more=FILES, seed=st.integers())
@settings(deadline=None)
def test_any_cut_into_batches_gives_the_same_bits(files: Files, more: Files, seed: int) -> None:
    work = items(files) + items(more, "TT")
    expected, _ = PocketExecutor()(work, value, None)
    total, error = PocketExecutor(pool=Anyhow(seed))(work, value, None)
    assert error == 0
    assert total == expected
    assert list(total["out"]) == list(expected["out"])


@given(files=FILES, seed=st.integers(), deaths=st.floats(0, 0.3))
@settings(deadline=None)
def test_lost_workers_change_nothing(files: Files, seed: int, deaths: float) -> None:
    work = items(files)
    expected, _ = PocketExecutor()(work, value, None)
    total, error = PocketExecutor(pool=Anyhow(seed, deaths), policy=Policy(retries=100))(work, value, None)
    assert error == 0
    assert total == expected


@given(files=FILES, seed=st.integers(), bad=st.sets(st.integers(0, 20), max_size=3))
@settings(deadline=None)
def test_a_bad_chunk_in_a_batch_is_left_out_alone(files: Files, seed: int, bad: set[int]) -> None:
    work = items(files)
    wrong = {work[number] for number in bad if number < len(work)}

    def function(item: WorkItem) -> dict[str, Any]:
        if item in wrong:
            raise ValueError("no muons")
        return value(item)

    policy = Policy(max_failures=100)
    expected, _ = _tried(PocketExecutor(policy=policy), work, function)
    executor = PocketExecutor(pool=Anyhow(seed), policy=policy)
    total, _ = _tried(executor, work, function)
    assert total == expected
    if expected is not None:
        assert {(f.file, f.entrystart) for f in executor.report.failures} == {(i.filename, i.entrystart) for i in wrong}
        assert all(f.attempts == 2 for f in executor.report.failures)


def _tried(executor: PocketExecutor, work: list[WorkItem], function: Callable[[WorkItem], Any]) -> tuple[Any, Any]:
    from pocket_exec.errors import ProcessingError

    try:
        return executor(work, function, None)
    except ProcessingError:
        return None, None


@given(files=FILES, seed=st.integers(), killer=st.integers(0, 40))
@settings(deadline=None)
def test_the_chunk_that_kills_its_worker_is_found(files: Files, seed: int, killer: int) -> None:
    work = [*items(files), *items([2], "TT")]
    deadly = work[killer % (len(work) - 2)]
    executor = PocketExecutor(pool=Anyhow(seed, kills=lambda item: item == deadly), policy=Policy(retries=1))
    total, _ = executor(work, value, None)
    assert len(total["processed"]) == len(work) - 1
    (failure,) = executor.report.failures
    assert (failure.file, failure.entrystart, failure.kind) == (
        deadly.filename,
        deadly.entrystart,
        FaultKind.LOST_WORKER,
    )


class Parted(Anyhow):
    """The same workers, some of which take one item each for themselves."""

    def __init__(self, seed: int, kills: Callable[[WorkItem], bool]) -> None:
        super().__init__(seed, kills=kills)
        self._apart: dict[int, Batch] = {}
        self.beside = 0

    def places_apart(self) -> int:
        return self._random.randint(0, 2)

    def submit_apart(self, task: int, item: object) -> None:
        assert isinstance(item, Batch)
        self._apart[task] = item

    def wait(self, timeout_s: float | None) -> list[tuple[int, Answer]]:
        if not self._apart or (self._queue and self._random.random() < 0.5):
            self.beside += bool(self._apart)
            return super().wait(timeout_s)
        task, batch = self._apart.popitem()
        if any(self._kills(item) for span in batch.spans for item in span.items):
            return [(task, Answer(None, Trouble(FaultKind.LOST_WORKER, False, "LostWorker", "died"), 0.0, "h"))]
        assert self._function is not None
        return [(task, attempt(self._function, batch))]


@given(files=FILES, seed=st.integers(), killers=st.sets(st.integers(0, 40), min_size=1, max_size=3))
@settings(deadline=None)
def test_chunks_that_kill_their_workers_are_found_on_workers_of_their_own(
    files: Files, seed: int, killers: set[int]
) -> None:
    work = [*items(files), *items([40], "TT")]
    deadly = {work[number % len(work)] for number in killers}
    pool = Parted(seed, lambda item: item in deadly)
    executor = PocketExecutor(pool=pool, policy=Policy(retries=1))
    expected, _ = PocketExecutor(policy=Policy(max_failures=9))(work, lambda i: None if i in deadly else value(i), None)
    total, _ = executor(work, value, None)
    assert total == expected
    found = {(failure.dataset, failure.file, failure.entrystart) for failure in executor.report.failures}
    assert found == {(item.dataset, item.filename, item.entrystart) for item in deadly}
    assert all(failure.attempts == 2 for failure in executor.report.failures)


def test_results_that_do_not_add_within_a_batch_are_named_and_the_others_kept() -> None:
    class Whole(SerialPool):
        batch_s = 10.0

    def function(item: WorkItem) -> dict[str, Any]:
        out = value(item)
        if item.entrystart == 1300:
            out["out"]["x"] = "text"
        return out

    executor = PocketExecutor(pool=Whole())
    total, _ = executor(items([64]), function, None)
    assert [f.entrystart for f in executor.report.failures] == [1300]
    assert len(total["processed"]) == 63


def test_batches_are_aligned_blocks_of_a_file_then_whole_files() -> None:
    work = items([8, 1, 1, 1, 1, 1])
    fresh = Batches(plan(work))
    assert [fresh.take(most) for most in (1, 4, 4, 4, 8, 8, 8)] == [
        (0,),
        (1,),
        (2, 3),
        (4, 5, 6, 7),
        (8,),
        (9, 10),
        (11, 12),
    ]
    assert fresh.take(8) == ()


def test_a_batch_stays_within_a_dataset_and_leaves_out_what_is_known() -> None:
    fresh = Batches(plan(items([1, 1]) + items([1], "TT")), done={0})
    assert [fresh.take(8), fresh.take(8), fresh.left] == [(1,), (2,), 0]


def test_a_batch_is_of_one_chunk_until_its_time_is_known_and_grows_by_steps() -> None:
    pace = Pace(10.0)
    assert pace.chunks(1000, 4) == 1
    pace.learn(1, 0.01)
    assert pace.chunks(100_000, 4) == 4
    pace.learn(4, 0.04)
    assert pace.chunks(100_000, 4) == 16
    assert pace.chunks(16, 4) == 4


def test_half_as_much_is_in_flight_until_it_is_known_what_an_answer_costs() -> None:
    pace = Pace(10.0)
    assert [pace.in_flight(slots) for slots in (1, 4, 400)] == [1, 2, 200]
    pace.learn(1, 0.2, size=10**8)
    assert pace.in_flight(4) == 4
    # A half of a second for each answer: eight chunks, where seven would be worth it.
    pace.learn(4, 0.8, size=10**8)
    assert [pace.chunks(left, 4) for left in (1000, 4)] == [16, 8]
    assert Pace(0.0).in_flight(1) == 1


class Failing(SerialPool):
    """Four slots: the first batch fails for a passing reason, and the others' answers take a while."""

    batch_s = 1.0

    def __init__(self) -> None:
        super().__init__()
        self.looked: list[float | None] = []

    def slots(self) -> int:
        return 4

    def wait(self, timeout_s: float | None) -> list[tuple[int, Answer]]:
        if not self.looked:
            self.looked.append(timeout_s)
            task, _ = self._queue.popleft()
            return [(task, Answer(None, Trouble(FaultKind.STORAGE, True, "OSError", "busy"), 0.0, "h"))]
        self.looked.append(timeout_s)
        time.sleep(0.05)
        # The retry is due by now, and there is no room for it until an answer is in.
        return [] if len(self.looked) < 6 else super().wait(timeout_s)


def test_a_retry_that_has_no_room_is_waited_for_and_not_looked_for_again_and_again() -> None:
    pool, work = Failing(), items([4])
    policy = Policy(retries=1, first_delay_s=1e-3)
    total, error = PocketExecutor(pool=pool, policy=policy)(work, value, None)
    assert error == 0
    assert len(total["processed"]) == 4
    assert 0.0 not in pool.looked[1:6]


def test_a_batch_whose_time_is_over_gives_back_the_rest() -> None:
    work = items([4])
    batch = Batches(plan(work)).batch((0, 1, 2, 3), 0.0, lambda item: item)
    done = RunBatch(value)(batch)
    assert list(done.seconds) == [0]
    assert done.left == (1, 2, 3)


@pytest.mark.parametrize(("leaves_in_s", "begun"), [(-5.0, 1), (3600.0, 4)])
def test_a_worker_that_is_about_to_leave_gives_back_the_rest(
    leaves_in_s: float, begun: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(LEAVES_AT, str(time.time() + leaves_in_s))
    work = items([4])
    batch = Batches(plan(work)).batch((0, 1, 2, 3), 60.0, lambda item: item)
    done = RunBatch(value)(batch)
    assert (len(done.seconds), done.left) == (begun, tuple(range(begun, 4)))


def test_a_worker_knows_whether_it_stays_long_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(LEAVES_AT, raising=False)
    assert stays_for(1e9)
    monkeypatch.setenv(LEAVES_AT, str(time.time() + 100))
    assert [stays_for(50), stays_for(200)] == [True, False]
    monkeypatch.setenv(LEAVES_AT, "soon")
    assert stays_for(1e9)


def test_a_batch_is_longer_where_its_answer_keeps_the_client_busy_and_never_too_short_to_be_worth_it() -> None:
    small, large = Pace(10.0), Pace(10.0)
    for _ in range(6):
        small.learn(1000, 100.0)
        large.learn(1000, 100.0, size=4 * 10**8)
    # Two seconds for an answer, ten workers with two tasks each: forty seconds of work, not ten.
    assert small.chunks(10**6, 20) == 100
    assert 400 <= large.chunks(10**6, 20) <= 401
    assert large.budget_s(20) > 3 * small.budget_s(20)
    assert small.chunks(5, 20) == 1
    assert large.chunks(5, 20) >= 40
