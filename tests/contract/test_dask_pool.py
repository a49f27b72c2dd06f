"""What Dask does to tasks, workers and schedulers costs time and, at worst, what is not done yet."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import dask
import numpy as np
import pytest
from coffea.processor.executor import WorkItem
from distributed import get_worker
from distributed.scheduler import KilledWorker

import pocket_exec
from pocket_exec.engine.executor import PocketExecutor
from pocket_exec.engine.outcome import FaultKind
from pocket_exec.engine.remote import unpacked
from pocket_exec.errors import FarmError, PartialResult
from pocket_exec.executors import dask_pool
from pocket_exec.executors.dask_pool import DaskPool
from tests.contract import dask_processes
from tests.contract.test_pools import Ear, count, items


@pytest.fixture(autouse=True)
def _often_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dask_pool, "CONNECTION_SEEN_EVERY_S", 0.5)


def test_the_scheduler_never_holds_many_tasks_at_once() -> None:
    known: list[int] = []
    with pocket_exec.open_executor("dask", scaleout=2, worker_timeout=60) as executor:
        pool: DaskPool = executor.pool
        scheduler: Any = pool._client.cluster.scheduler  # type: ignore[union-attr]  # it has one
        ear = Ear(lambda done: known.append(len(scheduler.tasks)))
        total, error = replace(executor, listener=ear)(items(2000), count, None)
        assert (error, total["out"]["n"]) == (0, 20_000)
        assert max(known) <= 20


def who_had_it(item: WorkItem) -> dict[str, Any]:
    """Take some time, and say which process had which file."""
    time.sleep(0.05)
    return {"out": {"had": [(item.filename, os.getpid())]}, "processed": {item}}


def test_a_worker_goes_on_with_the_file_that_it_has_open(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(DaskPool, "batch_s", 0.1)
    work = [WorkItem("DY", f"{f}.root", "Events", 10 * c, 10 * c + 10, b"") for f in range(8) for c in range(16)]
    with (
        # Where the machine is busy, one that waits for its turn is robbed of what it was to go on with.
        dask.config.set({"distributed.scheduler.work-stealing": False}),
        pocket_exec.open_executor("dask", scaleout=2, worker_timeout=60) as executor,
    ):
        total, _ = executor(work, who_had_it, None)
    assert len(total["out"]["had"]) == 128
    # In order, both would have had each of the eight; the first and the last are shared.
    assert len(set(total["out"]["had"])) <= 13


def test_a_worker_that_has_enough_to_do_is_given_no_more() -> None:
    with pocket_exec.open_executor("dask", scaleout=2, worker_timeout=60) as executor:
        pool: DaskPool = executor.pool
        assert pool.slots() == 4
        worker = min(pool.workers())
        pool.load(who_had_it)
        work = items(4)
        for number in range(3):
            pool.submit_near(number, work[number], worker)
        pool.submit_near(3, work[3], "tcp://127.0.0.1:1")
        asked_for = [kept.how.get("workers") for kept in pool._items.values()]
        assert asked_for == [[worker], [worker], None, None]
        pool.cancel()


def fails_on_one(item: WorkItem, broken: str) -> dict[str, Any]:
    """Fail on a worker that lacks something."""
    if get_worker().address == broken:
        raise ImportError("no module named 'correctionlib'")
    time.sleep(0.02)
    return count(item)


def test_an_error_is_confirmed_on_another_worker() -> None:
    with pocket_exec.open_executor("dask", scaleout=2, worker_timeout=60) as executor:
        pool: DaskPool = executor.pool
        pool.slots()
        function = partial(fails_on_one, broken=min(pool.workers()))
        total, error = executor(items(60), function, None)
        assert (error, total["out"]["n"]) == (0, 600)
        # Where there is no other, it is the same one again.
        pool.load(partial(fails_on_one, broken=""))
        pool._workers = {min(pool.workers()): 1}
        pool.submit_elsewhere(0, items(1)[0], min(pool.workers()))
        assert [task for task, _ in pool.wait(60)] == [0]


def test_what_is_kept_off_a_worker_comes_to_it_where_the_others_are_gone(tmp_path: Path) -> None:
    with (
        dask_processes.scheduler(tmp_path) as (address, _),
        dask_processes.worker(address, tmp_path / "one") as first,
        pocket_exec.open_executor(f"dask@{address}", worker_timeout=60) as executor,
    ):
        pool: DaskPool = executor.pool
        pool.slots()
        (gone,) = pool.workers()
        with dask_processes.worker(address, tmp_path / "two"):
            while len(pool._workers_now()) < 2:
                time.sleep(0.05)
            pool._workers = pool._workers_now()
            (left,) = set(pool.workers()) - {gone}
            first.kill()
            pool.load(count)
            pool.submit_elsewhere(7, items(1)[0], left)
            ((task, answer),) = pool.wait(60)
    assert (task, answer.value) == (7, count(items(1)[0]))


def takes(item: WorkItem, apart: str) -> dict[str, Any]:
    """Take a moment; the chunk of one file takes longer than there is."""
    time.sleep(600 if item.filename == apart else 0.05)
    return count(item)


def test_an_item_whose_only_worker_dies_is_told_though_answers_of_others_keep_coming(tmp_path: Path) -> None:
    with (
        dask_processes.scheduler(tmp_path) as (address, _),
        dask_processes.worker(address, tmp_path / "one") as first,
        pocket_exec.open_executor(f"dask@{address}", worker_timeout=60) as executor,
    ):
        pool: DaskPool = executor.pool
        pool.slots()
        pool.load(partial(takes, apart="slow.root"))
        pool.submit_apart(0, WorkItem("DY", "slow.root", "Events", 0, 10, b""))
        with dask_processes.worker(address, tmp_path / "two"):
            while pool.slots() < 4:
                time.sleep(0.1)
            answers, number = dict[int, Any](), 1
            while 0 not in answers:
                if first.poll() is None and len(answers) > 5:
                    first.kill()
                assert number < 400
                while len(pool._flying) < 4:
                    pool.submit(number, items(1)[0])
                    number += 1
                answers.update(pool.wait(None))
        assert answers.pop(0).trouble.kind is FaultKind.LOST_WORKER
        assert all(answer.trouble is None for answer in answers.values())
        pool.cancel()


def test_an_answer_that_waits_while_its_only_worker_dies_is_told_once() -> None:
    with pocket_exec.open_executor("dask", scaleout=2, worker_timeout=60) as executor:
        pool: DaskPool = executor.pool
        pool.load(count)
        pool.submit(0, items(1)[0])
        pool.submit(1, items(1)[0])
        # Large answers are taken one by one.
        pool._each = 10**9
        while any(future.status != "finished" for future in pool._flying):
            time.sleep(0.01)
        ((first, answer),) = pool.wait(60)
        assert answer.trouble is None
        (waiting,) = pool._waiting
        pool._apart.put(waiting, "tcp://127.0.0.1:1")
        pool._looked = float("-inf")
        ((other, answer),) = pool.wait(60)
        assert {first, other} == {0, 1}
        assert answer.trouble is not None
        assert answer.trouble.kind is FaultKind.LOST_WORKER
        assert pool.wait(1) == []


def bins(item: WorkItem) -> dict[str, Any]:
    """Fill a large histogram, a few bins of it."""
    filled = np.zeros(2**18)
    filled[item.entrystart : item.entrystop] = 1 / 3
    return {"out": {"bins": filled}, "processed": {item}}


@pytest.mark.parametrize("bytes_s", [1e6, 0.0])
def test_results_that_come_slowly_are_compressed_and_have_the_same_bits(
    monkeypatch: pytest.MonkeyPatch, bytes_s: float
) -> None:
    travelled: list[bool] = []

    def seen(answer: Any) -> Any:
        travelled.append(answer.value.travelling < answer.value.size / 2)
        return unpacked(answer)

    monkeypatch.setattr(dask_pool, "unpacked", seen)
    monkeypatch.setattr(DaskPool, "batch_s", 0.1)
    with pocket_exec.open_executor("dask", scaleout=2, worker_timeout=60) as executor:
        # As fast as a network that is not here.
        monkeypatch.setattr(DaskPool, "bytes_s", lambda pool: bytes_s)
        total, _ = executor(items(20), bins, None)
        assert (executor.pool._bytes_s > 0) is not bool(bytes_s)
    assert set(travelled) == {bool(bytes_s)}
    alone, _ = PocketExecutor()(items(20), bins, None)
    assert total["out"]["bins"].tobytes() == alone["out"]["bins"].tobytes()


class Failed:
    """A task that has failed, as Dask tells it: which of them dies of its processor is Dask's choice."""

    status = "error"

    def __init__(self, task: str) -> None:
        self._task = task

    def exception(self) -> Exception:
        return KilledWorker(self._task, cast(Any, SimpleNamespace(address="tcp://127.0.0.1:1")), 3)


def test_no_chunk_is_given_up_for_the_processor_that_has_killed_the_workers() -> None:
    with pocket_exec.open_executor("dask", scaleout=1, worker_timeout=60) as executor:
        pool: DaskPool = executor.pool
        pool.load(count)
        assert pool._attempt is not None
        key = str(pool._attempt.key)
        failed = [pool._failed(cast(Any, Failed(key))) for _ in range(3)]
        assert [answer.trouble.final for answer in failed if answer.trouble] == [False] * 3
        chunk = pool._failed(cast(Any, Failed(key.replace("processor", "chunk"))))
        assert chunk.trouble is not None
        assert chunk.trouble.final


def test_a_result_that_is_lost_with_its_worker_is_computed_once_more(tmp_path: Path) -> None:
    with (
        dask_processes.scheduler(tmp_path) as (address, _),
        dask_processes.worker(address, tmp_path / "one") as first,
        pocket_exec.open_executor(f"dask@{address}", worker_timeout=30) as executor,
    ):
        pool: DaskPool = executor.pool
        pool.load(count)
        pool.submit(7, items(1)[0])
        (future,) = pool._flying
        while future.status != "finished":
            time.sleep(0.05)
        first.kill()
        with dask_processes.worker(address, tmp_path / "two"):
            ((task, answer),) = pool.wait(None)
        assert (task, answer.trouble, answer.value) == (7, None, count(items(1)[0]))


def test_a_result_that_is_lost_with_the_last_worker_is_a_farm_error(tmp_path: Path) -> None:
    with (
        dask_processes.scheduler(tmp_path) as (address, _),
        dask_processes.worker(address, tmp_path / "one") as only,
        pocket_exec.open_executor(f"dask@{address}", worker_timeout=30) as executor,
    ):
        pool: DaskPool = executor.pool
        pool._patience_s = 2.0
        pool.load(count)
        pool.submit(0, items(1)[0])
        (future,) = pool._flying
        while future.status != "finished":
            time.sleep(0.05)
        only.kill()
        with pytest.raises(FarmError, match="worker-timeout"):
            pool.wait(None)


def test_a_function_that_dask_has_lost_for_good_is_sent_once_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dask_pool, "FUNCTION_S", 1.0)
    monkeypatch.setattr(dask_pool, "CONNECTION_SEEN_EVERY_S", 0.5)
    with (
        dask_processes.scheduler(tmp_path) as (address, _),
        dask_processes.worker(address, tmp_path / "one"),
        pocket_exec.open_executor(f"dask@{address}", worker_timeout=60) as executor,
    ):
        pool: DaskPool = executor.pool
        pool.load(count)
        # Dask loses it in a race that cannot be had at will: here it waits for a worker that there never is.
        pool._attempt = pool._client.submit(len, "", resources={"nobody": 1}, pure=False)
        pool._attempt_seen = time.monotonic()
        pool.submit(7, items(1)[0])
        ((task, answer),) = pool.wait(60)
    assert (task, answer.trouble) == (7, None)
    assert answer.value["out"]["n"] == 10


def leisurely(item: WorkItem) -> dict[str, Any]:
    time.sleep(0.1)
    return count(item)


@contextmanager
def lonely_worker(directory: Path, patience_s: float) -> Iterator[tuple[Any, Any, Any]]:
    """Open an executor on a scheduler with one worker; yield it with the processes of both."""
    with (
        dask_processes.scheduler(directory) as (address, scheduler),
        dask_processes.worker(address, directory / "one") as worker,
        pocket_exec.open_executor(f"dask@{address}", worker_timeout=30) as executor,
    ):
        # Setting up waits for worker-timeout too, and may take that long here.
        executor.pool._patience_s = patience_s
        yield executor, scheduler, worker


def test_a_scheduler_that_goes_away_leaves_the_sum_so_far(tmp_path: Path) -> None:
    with lonely_worker(tmp_path, 30) as (executor, scheduler, _):
        ear = Ear(lambda done: scheduler.kill() if done == 10 else None)
        start = time.monotonic()
        total, error = replace(executor, listener=ear)(items(200), leisurely, None)
        assert isinstance(error, PartialResult)
        assert "scheduler" in executor.report.stopped
        assert total["out"]["n"] >= 100
        assert time.monotonic() - start < 120


def test_a_run_whose_workers_are_all_gone_ends_after_worker_timeout_with_the_sum_so_far(tmp_path: Path) -> None:
    with lonely_worker(tmp_path, 2) as (executor, _, worker):
        ear = Ear(lambda done: worker.kill() if done == 10 else None)
        total, error = replace(executor, listener=ear)(items(200), leisurely, None)
        assert isinstance(error, PartialResult)
        assert "no worker for 2 s" in executor.report.stopped
        assert total["out"]["n"] >= 100


def test_a_run_waits_for_workers_that_come_back_in_time(tmp_path: Path) -> None:
    with lonely_worker(tmp_path, 60) as (executor, _, worker), ExitStack() as stack:
        address = executor.pool._client.scheduler.address

        def replaced(done: int) -> None:
            if done == 1:
                # It goes on to answer for longer than worker-timeout, as far as its clock can tell.
                executor.pool._alive_seen -= 1000
            if done == 20:
                worker.kill()
                later = dask_processes.worker(address, tmp_path / "two")
                threading.Timer(1, stack.enter_context, [later]).start()

        total, error = replace(executor, listener=Ear(replaced))(items(40), leisurely, None)
        assert (error, total["out"]["n"]) == (0, 400)
