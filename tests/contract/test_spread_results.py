"""Large results on a Dask cluster: neighbours meet on the workers, and fewer of them travel to the client."""

from __future__ import annotations

import os
import signal
import time
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from coffea.processor.executor import WorkItem

import pocket_exec
from pocket_exec.engine import batches
from pocket_exec.engine.policy import Policy
from pocket_exec.errors import PartialResult
from pocket_exec.executors.dask_pool import DaskPool
from tests.contract import dask_processes
from tests.contract.test_large_results import exact, expected, items, large
from tests.contract.test_pools import Ear

WORK = [33, 1, 17, 8]
DASK: dict[str, Any] = {"scaleout": 4, "worker_timeout": 60}


@pytest.fixture
def spread(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Have every answer be a large one for a client that is slow, and note how many batches make each of them."""
    monkeypatch.setattr(batches, "BYTES_PER_S", 1e3)
    monkeypatch.setattr(batches, "WORTH", 0)
    noted: list[int] = []
    submit_spread = DaskPool.submit_spread

    def noting(self: DaskPool, task: int, items: Any, join: Any) -> None:
        noted.append(len(items))
        submit_spread(self, task, items, join)

    monkeypatch.setattr(DaskPool, "submit_spread", noting)
    return noted


def test_results_that_meet_on_the_workers_have_the_same_bits(spread: list[int]) -> None:
    work = items(WORK)
    with pocket_exec.open_executor("dask", **DASK) as executor:
        total, error = executor(work, large, None)
    assert error == 0
    assert exact(total) == expected(work)
    assert max(spread) == 2


def failing(item: WorkItem, bad: int) -> dict[str, Any]:
    if item.entrystart == bad:
        raise ValueError("no muons")
    return large(item)


def test_a_chunk_that_fails_among_them_costs_that_chunk(spread: list[int]) -> None:
    work = items(WORK)
    with pocket_exec.open_executor("dask", **DASK) as executor:
        lenient = replace(executor, policy=Policy(max_failures=9))
        total, error = lenient(work, partial(failing, bad=200), None)
    assert isinstance(error, PartialResult)
    assert [(failure.file, failure.entrystart) for failure in error.failures] == [("DY0.root", 200)]
    assert total["processed"] == {item for item in work if (item.filename, item.entrystart) != ("DY0.root", 200)}
    assert spread


def deadly(item: WorkItem, sign: str, times: int) -> dict[str, Any]:
    marks = Path(sign)
    if item.filename == "DY0.root" and item.entrystart == 250 and len(list(marks.iterdir())) < times:
        (marks / str(os.getpid())).touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return large(item)


@pytest.mark.parametrize(("times", "failed"), [(1, []), (999, [250])])
def test_a_worker_that_dies_among_them_costs_no_chunk_but_the_one_that_kills_it(
    times: int, failed: list[int], spread: list[int], tmp_path: Path
) -> None:
    work = items(WORK)
    with pocket_exec.open_executor("dask", **DASK) as executor:
        function = partial(deadly, sign=str(tmp_path), times=times)
        total, error = replace(executor, policy=Policy(retries=1, max_failures=9))(work, function, None)
    assert [failure.entrystart for failure in getattr(error, "failures", [])] == failed
    there = [item for item in work if not (failed and (item.filename, item.entrystart) == ("DY0.root", 250))]
    assert total["processed"] == set(there)
    if not failed:
        assert exact(total) == expected(work)
    assert spread


def test_the_workers_of_a_scheduler_that_knows_nothing_of_us_join_results_too(
    spread: list[int], tmp_path: Path
) -> None:
    work = items(WORK)
    with ExitStack() as stack:
        address, _ = stack.enter_context(dask_processes.scheduler(tmp_path))
        for number in range(4):
            stack.enter_context(dask_processes.worker(address, tmp_path / str(number)))
        executor = stack.enter_context(pocket_exec.open_executor(f"dask@{address}", worker_timeout=60))
        total, error = executor(work, large, None)
    assert error == 0
    assert exact(total) == expected(work)
    assert spread


def test_an_interrupt_leaves_nothing_of_them_on_the_scheduler(spread: list[int]) -> None:
    def interrupt(done: int) -> None:
        if spread:
            raise KeyboardInterrupt

    work = items([64])
    with pocket_exec.open_executor("dask", **DASK) as executor:
        total, error = replace(executor, listener=Ear(interrupt))(work, large, None)
        assert isinstance(error, KeyboardInterrupt)
        assert isinstance(executor.pool, DaskPool)
        end = time.monotonic() + 20
        while (left := _tasks(executor.pool)) and time.monotonic() < end:
            time.sleep(0.2)
    assert left == []
    assert len(total["processed"]) < 64


def _tasks(pool: DaskPool) -> list[str]:
    """Return the tasks that the scheduler knows, but for the function."""
    keys = pool._client.run_on_scheduler(lambda dask_scheduler: [*map(str, dask_scheduler.tasks)])
    return [key for key in keys if not key.startswith("processor-")]
