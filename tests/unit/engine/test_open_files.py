"""Workers go on with the file that they have open, where answers are small enough to wait for their neighbours."""

from __future__ import annotations

import random
from collections import Counter, deque
from collections.abc import Collection
from dataclasses import replace
from typing import Any

import pytest
from coffea.processor.executor import WorkItem
from hypothesis import given, settings
from hypothesis import strategies as st

from pocket_exec.engine.batch import Batch
from pocket_exec.engine.batches import Batches, Pace
from pocket_exec.engine.chunk import Answer, attempt
from pocket_exec.engine.executor import PocketExecutor
from pocket_exec.engine.plan import plan
from pocket_exec.engine.pool import SerialPool
from tests.unit.engine.test_batches import FILES, Files, items, value

WORKERS = ["", "a", "b", "c"]


class Choosing(SerialPool):
    """Workers with a queue each, which answer in any order; an item for nobody in particular goes to any of them."""

    batch_s = 1.0

    def __init__(self, seed: int, workers: int = 3) -> None:
        super().__init__()
        self._random = random.Random(seed)
        self._queues: dict[str, deque[tuple[int, object]]] = {f"tcp://{number}": deque() for number in range(workers)}
        self.opened: set[tuple[str, str]] = set()
        self.asked_for = 0
        self.order: list[WorkItem] = []

    def slots(self) -> int:
        return 2 * len(self._queues)

    def submit(self, task: int, item: object) -> None:
        min(self._queues.values(), key=len).append((task, item))

    def workers(self) -> Collection[str]:
        return self._queues

    def submit_near(self, task: int, item: object, worker: str) -> None:
        if len(self._queues.get(worker, "too many")) < 2:
            self.asked_for += 1
            self._queues[worker].append((task, item))
        else:
            self.submit(task, item)

    def wait(self, timeout_s: float | None) -> list[tuple[int, Answer]]:
        worker = self._random.choice([name for name, tasks in self._queues.items() if tasks])
        task, batch = self._queues[worker].popleft()
        assert self._function is not None
        assert isinstance(batch, Batch)
        items_of_it = [item for span in batch.spans for item in span.items]
        self.opened |= {(worker, item.filename) for item in items_of_it}
        self.order += items_of_it
        answer = attempt(self._function, batch)
        # Half a second for each chunk: two of them are a batch.
        answer.value.seconds = dict.fromkeys(answer.value.seconds, 0.5)
        return [(task, replace(answer, worker=worker))]


@given(files=FILES, more=FILES, seed=st.integers())
@settings(deadline=None)
def test_the_bits_are_the_same_whoever_has_a_file_open(files: Files, more: Files, seed: int) -> None:
    work = items(files) + items(more, "TT")
    expected, _ = PocketExecutor()(work, value, None)
    total, error = PocketExecutor(pool=Choosing(seed))(work, value, None)
    assert error == 0
    assert total == expected
    assert list(total["out"]) == list(expected["out"])


def test_a_file_is_opened_by_hardly_more_than_one_worker() -> None:
    work = items([16] * 24)
    pool = Choosing(seed=1)
    PocketExecutor(pool=pool)(work, value, None)
    # Until it is known what a chunk costs, and at the end, where all share the rest, workers meet at a file.
    assert len(pool.opened) <= 24 + 2 * 3 + 2
    assert pool.asked_for > 100


def test_large_answers_are_taken_in_order_lest_many_wait_for_their_neighbours() -> None:
    class Large(Choosing):
        def wait(self, timeout_s: float | None) -> list[tuple[int, Answer]]:
            answers = super().wait(timeout_s)
            for _, answer in answers:
                parts: Any = answer.value.parts
                answer.value.parts = [replace(part, block=replace(part.block, size=10**8)) for part in parts]
            return answers

    pool = Large(seed=1)
    PocketExecutor(pool=pool)(items([16] * 8), value, None)
    assert pool.asked_for == 0


class Changing(Choosing):
    """One of the workers dies early, others do what it had, and a new one comes."""

    def wait(self, timeout_s: float | None) -> list[tuple[int, Answer]]:
        if len(self.order) > 20 and "tcp://0" in self._queues:
            orphans = self._queues.pop("tcp://0")
            for task, item in orphans:
                self.submit(task, item)
            self._queues["tcp://new"] = deque()
        return super().wait(timeout_s)


@pytest.mark.parametrize("seed", range(5))
def test_a_worker_that_comes_later_gets_its_share_and_a_dead_ones_file_is_not_left_to_the_end(seed: int) -> None:
    pool = Changing(seed)
    PocketExecutor(pool=pool)(items([32] * 4) + items([32] * 20, "TT"), value, None)
    had = Counter(worker for worker, _ in pool.opened)
    assert had["tcp://new"] >= 5
    last_of_first = max(place for place, item in enumerate(pool.order) if item.dataset == "DY")
    assert last_of_first < len(pool.order) / 2


def test_the_file_of_a_worker_that_is_gone_is_for_the_next_one() -> None:
    fresh = Batches(plan(items([4, 4])))
    assert fresh.take(1, "a") == (0,)
    assert fresh.take(1, "b") == (4,)
    fresh.only(["b"])
    assert fresh.take(1, "c") == (1,)


@given(files=FILES, more=FILES, seed=st.integers(), done=st.sets(st.integers(0, 60)))
def test_each_chunk_is_taken_once_in_blocks_of_one_dataset(
    files: Files, more: Files, seed: int, done: set[int]
) -> None:
    order = random.Random(seed)
    tree = plan(items(files) + items(more, "TT"))
    fresh, taken = Batches(tree, done), list[int]()
    while fresh.left:
        most, worker = order.randint(1, 8), order.choice([None, *WORKERS])
        chunks = fresh.take(most, worker)
        assert 1 <= len(chunks) <= most
        assert len({tree.places[chunk].dataset for chunk in chunks}) == 1
        if order.random() < 0.3:
            fresh.opened(order.choice(WORKERS[1:]), order.choice(chunks))
        taken += chunks
    assert sorted(taken) == sorted(set(range(len(tree.items))) - done)
    assert [fresh.take(8, worker) for worker in (None, "", "a")] == [(), (), ()]


def test_a_worker_has_its_file_to_itself_until_no_other_is_left() -> None:
    fresh = Batches(plan(items([4, 4])))
    assert fresh.take(2, "a") == (0, 1)
    assert fresh.take(2, "b") == (4, 5)
    assert fresh.take(1, "a") == (2,)
    assert fresh.take(2, "b") == (6, 7)
    # The rest is shared.
    assert fresh.take(2, "b") == (3,)
    assert fresh.left == 0


def test_a_worker_that_nobody_knew_has_a_file_once_it_has_answered() -> None:
    fresh = Batches(plan(items([4, 4, 4])))
    assert [fresh.take(1, "") for _ in range(2)] == [(0,), (1,)]
    fresh.opened("a", 0)
    fresh.opened("b", 1)
    assert fresh.take(1, "b") == (4,)
    assert fresh.take(1, "a") == (2,)


def test_answers_can_wait_where_all_of_them_together_are_small() -> None:
    pace = Pace(10.0)
    assert not pace.can_wait(4)
    pace.learn(1, 1.0, size=10**7)
    assert [pace.can_wait(slots) for slots in (4, 40)] == [True, False]
