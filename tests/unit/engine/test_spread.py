"""Batches of several workers that make one answer: how they are cut, and that nothing depends on it."""

from __future__ import annotations

import functools
import random
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

import cloudpickle
import numpy as np
import pytest
from coffea.processor.executor import WorkItem
from hypothesis import given, settings
from hypothesis import strategies as st

from pocket_exec.engine import executor as executor_module
from pocket_exec.engine.batch import Batch, BatchDone, Part, RunBatch
from pocket_exec.engine.batches import Batches, Pace
from pocket_exec.engine.chunk import Answer, Trouble, Warned
from pocket_exec.engine.executor import PocketExecutor
from pocket_exec.engine.fold import Block
from pocket_exec.engine.joined import Join
from pocket_exec.engine.outcome import FaultKind
from pocket_exec.engine.plan import plan
from pocket_exec.engine.policy import Policy
from pocket_exec.engine.pool import SerialPool
from pocket_exec.engine.remote import Packed, attempt_packed, for_travel, unpacked
from pocket_exec.errors import PartialResult

Files = list[int]
FILES = st.lists(st.integers(1, 9), min_size=1, max_size=7)


def items(files: Files) -> list[WorkItem]:
    return [
        WorkItem("DY", f"DY{f}.root", "Events", 100 * c, 100 * (c + 1), b"")
        for f, chunks in enumerate(files)
        for c in range(chunks)
    ]


def value(item: WorkItem, bad: frozenset[int] = frozenset()) -> dict[str, Any]:
    """Return floats whose sum depends on the order, also in an array that travels beside the pickle."""
    if item.entrystart in bad:
        raise ValueError("no muons")
    chance = random.Random(f"{item.filename}{item.entrystart}")
    scale = 10.0 ** chance.randint(-4, 4)
    array = np.full(10_000, chance.random() * scale)
    return {"out": {"x": array, "seen": [item.entrystart], item.filename: 1}, "processed": {item}}


def exact(total: Any) -> Any:
    return total["out"].pop("x").tobytes(), total["out"], list(total["out"]), total["processed"]


def sums(answer: Answer) -> list[Any]:
    """Return where the sums of an answer belong, and their numbers."""
    done: BatchDone = answer.value.value()
    places = [(part.file, part.block.level, part.block.index) for part in done.parts]
    values: list[Any] = [part.block.value for part in done.parts]
    return [*zip(places, [value["out"]["x"].tobytes() for value in values], strict=True)]


class Spread(SerialPool):
    """Sixteen slots; what is spread is joined in any order of neighbours, and left as it was each time."""

    batch_s = 1e-9

    def __init__(self, seed: int) -> None:
        super().__init__()
        self._random = random.Random(seed)
        self._answers: deque[tuple[int, Answer]] = deque()
        self.spread = 0

    def load(self, function: Any) -> None:
        self._packed = Packed(function)

    def slots(self) -> int:
        return 16

    def submit(self, task: int, item: object) -> None:
        self._answers.append((task, self._attempted(item)))

    def submit_spread(self, task: int, items: Sequence[object], join: Callable[[Any, Any], Any]) -> None:
        self.spread += 1
        answers = [self._attempted(item) for item in items]
        while len(answers) > 1:
            place = self._random.randrange(len(answers) - 1)
            left, right = answers[place : place + 2]
            joined = join(left, right)
            # Dask may have it done once more, with the same two.
            assert sums(joined) == sums(join(left, right))
            answers[place : place + 2] = [joined]
        self._answers.append((task, answers[0]))

    def _attempted(self, item: object) -> Answer:
        return attempt_packed(self._packed.data, self._packed.digest, cloudpickle.dumps(item))

    def wait(self, timeout_s: float | None) -> list[tuple[int, Answer]]:
        self._answers.rotate(self._random.randrange(4))
        task, answer = self._answers.popleft()
        return [(task, unpacked(cloudpickle.loads(cloudpickle.dumps(answer))))]


@given(files=FILES, seed=st.integers(), bad=st.frozensets(st.sampled_from(range(0, 900, 100)), max_size=2))
@settings(deadline=None, max_examples=60)
def test_what_workers_join_has_the_bits_of_one_chunk_after_the_other(
    files: Files, seed: int, bad: frozenset[int]
) -> None:
    work = items(files)
    function = functools.partial(value, bad=bad)
    if all(item.entrystart in bad for item in work):
        return
    executor = PocketExecutor(pool=Spread(seed), policy=Policy(max_failures=99))
    with pytest.MonkeyPatch.context() as patch:
        # Those that fail may all be the first.
        patch.setattr(executor_module, "HOPELESS", 99)
        expected, error = PocketExecutor(policy=Policy(max_failures=99))(work, function, None)
        total, spread_error = executor(work, function, None)
    assert type(spread_error) is type(error) in (int, PartialResult)
    assert exact(total) == exact(expected)
    failed = [(failure.file, failure.entrystart) for failure in executor.report.failures]
    assert sorted(failed) == [(item.filename, item.entrystart) for item in work if item.entrystart in bad]


def test_large_answers_are_of_several_batches() -> None:
    pool, work = Spread(1), items([64])
    total, error = PocketExecutor(pool=pool)(work, value, None)
    assert error == 0
    assert len(total["processed"]) == 64
    assert pool.spread


def test_answers_are_joined_where_the_client_would_do_nothing_but_take_them_in() -> None:
    small, large, alone = Pace(10.0, joins=True), Pace(10.0, joins=True), Pace(10.0)
    assert large.together(400) == 1
    for pace, size in ((small, 10**5), (large, 10**8), (alone, 10**8)):
        for _ in range(8):
            pace.learn(100, 100.0, size=size)
    # A half of a second for each of 400 answers: two hundred seconds of work for each, or eight of twenty-five.
    assert [pace.together(400) for pace in (small, large, alone)] == [1, 8, 1]
    assert [pace.chunks(10**6, 400) for pace in (small, large, alone)] == [10, 25, 201]
    # Thirty workers: thirty seconds; four: less than one batch takes.
    assert [large.together(slots) for slots in (60, 8, 4)] == [4, 1, 1]
    assert large.chunks(10**6, 60) == 10


def test_a_spread_block_counts_as_its_batches_when_the_next_one_is_sized() -> None:
    one, eight = Pace(10.0), Pace(10.0)
    one.learn(4, 4e-3)
    eight.learn(32, 32e-3, batches=8)
    assert one.chunks(10**6, 4) == eight.chunks(10**6, 4) == 16


@pytest.mark.parametrize(
    ("files", "tasks", "most", "pieces"),
    [
        ([16], range(16), 4, [4, 4, 4, 4]),
        ([13], range(8, 13), 2, [2, 2, 1]),
        # Whole files: first those that are neighbours, then their chunks.
        ([3, 1, 2, 2], range(8), 4, [4, 4]),
        ([3, 1, 2, 2], range(8), 2, [2, 1, 1, 2, 2]),
        ([1, 1, 1], range(3), 2, [2, 1]),
        ([8], range(3, 8), 4, [1, 4]),
    ],
)
def test_a_block_is_cut_where_the_tree_of_the_sum_branches(
    files: Files, tasks: Sequence[int], most: int, pieces: list[int]
) -> None:
    cut = Batches(plan(items(files))).cut(tuple(tasks), most)
    assert [len(piece) for piece in cut] == pieces
    assert [task for piece in cut for task in piece] == list(tasks)


def packed(work: list[WorkItem], tasks: tuple[int, ...], host: str, budget_s: float = 60.0) -> tuple[Batch, Answer]:
    batch = Batches(plan(work)).batch(tasks, budget_s, lambda item: item)
    answer = Answer(RunBatch(value)(batch), None, 1.0, host, (Warned("odd", "UserWarning", "a.py", 1),), {host: "v3"})
    return batch, for_travel(answer)


def test_two_answers_tell_together_what_each_has_told() -> None:
    work = items([8])
    (first, left), (second, right) = packed(work, (0, 1, 2, 3), "a", 0.0), packed(work, (4, 5, 6, 7), "b")
    answer = Join.of([first, second])(left, right)
    assert (answer.host, dict(answer.cpus), answer.seconds) == ("a, b", {"a": "v3", "b": "v3"}, 2.0)
    assert len(answer.warned) == 1
    done: BatchDone = answer.value.value()
    assert (done.left, sorted(done.seconds), done.chunks) == ((1, 2, 3), [0, 4, 5, 6, 7], 8)
    assert [(part.block.level, part.block.index) for part in done.parts] == [(0, 0), (2, 1)]


def test_trouble_of_one_is_the_trouble_of_both() -> None:
    work = items([2])
    (first, left), (second, right) = packed(work, (0,), "a"), packed(work, (1,), "b")
    gone = Answer(None, Trouble(FaultKind.USER, False, "ImportError", "no module"), 0.0, "a")
    join = Join.of([first, second])
    assert join(gone, right) is gone
    assert join(left, gone) is gone


class Unreadable:
    """Can be pickled, and not read back."""

    def __reduce__(self) -> tuple[Any, ...]:
        return int, ("x",)


def test_a_result_that_a_worker_cannot_read_back_is_told_as_a_bad_result() -> None:
    work = items([2])
    (first, left), (second, _) = packed(work, (0,), "a"), packed(work, (1,), "b")
    done = BatchDone([Part(0, Block(0, 1, Unreadable(), 1), False)], {0: 1.0})
    answer = Join.of([first, second])(left, for_travel(Answer(done, None, 1.0, "b")))
    assert answer.value is None
    assert answer.trouble is not None
    assert (answer.trouble.kind, answer.trouble.message[:31]) == (FaultKind.RESULT, "the result cannot be read back:")
