"""Pools of workers: what dies costs no more than it must, nothing is left, and nothing comes twice."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, wait
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import psutil
import pytest
from coffea.processor.executor import WorkItem

import pocket_exec
from pocket_exec.engine.chunk import Answer
from pocket_exec.engine.outcome import DatasetOutcome, DatasetPlan, Failure, FaultKind
from pocket_exec.errors import PartialResult
from pocket_exec.executors.dask_pool import DaskPool
from pocket_exec.executors.processes import ProcessPool

FAR: dict[str, dict[str, Any]] = {"futures": {"scaleout": 2}, "dask": {"scaleout": 2, "worker_timeout": 60}}


def items(chunks: int) -> list[WorkItem]:
    return [WorkItem("DY", "a.root", "Events", 10 * c, 10 * c + 10, b"") for c in range(chunks)]


def count(item: WorkItem) -> dict[str, Any]:
    return {"out": {"n": len(item), "seen": [item.entrystart]}, "processed": {item}}


def told(item: WorkItem, words: str) -> dict[str, Any]:
    return {"out": {"n": len(item), "words": {words}}, "processed": {item}}


class Ear:
    """A listener that does something at each chunk."""

    def __init__(self, at_chunk: Callable[[int], None]) -> None:
        self._at_chunk = at_chunk
        self.done = 0

    def planned(self, plans: Any) -> None: ...

    def resumed(self, dataset: str, chunks: int, events: int) -> None:
        pass

    def chunk_done(self, dataset: str, events: int, seconds: float) -> None:
        self.done += 1
        self._at_chunk(self.done)

    def chunk_failed(self, failure: Failure) -> None: ...

    def dataset_done(self, outcome: DatasetOutcome, total: Any) -> None: ...


def deadly(item: WorkItem) -> dict[str, Any]:
    if item.entrystart == 20:
        os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(0.05)
    return count(item)


def test_a_process_that_is_killed_is_charged_to_the_chunk_that_killed_it_and_no_other() -> None:
    with pocket_exec.open_executor("futures", scaleout=2, retries=0) as executor:
        total, error = executor(items(8), deadly, None)
        assert isinstance(error, PartialResult)
        assert total["out"]["seen"] == [item.entrystart for item in items(8) if item.entrystart != 20]
        (failure,) = executor.report.failures
        assert (failure.entrystart, failure.kind, failure.attempts) == (20, FaultKind.LOST_WORKER, 1)


def test_other_chunks_go_on_while_the_one_that_kills_its_process_is_looked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    at_work: list[tuple[int, int]] = []
    waits = ProcessPool.wait

    def noted(pool: ProcessPool, timeout_s: float | None) -> list[tuple[int, Answer]]:
        at_work.append((len(pool._apart), sum(not future.done() for future in pool._flying)))
        return waits(pool, timeout_s)

    monkeypatch.setattr(ProcessPool, "wait", noted)
    work = [*items(8), *(replace(item, dataset="TT") for item in items(24) if item.entrystart != 20)]
    with pocket_exec.open_executor("futures", scaleout=4, retries=1) as executor:
        _, error = executor(work, deadly, None)
    assert isinstance(error, PartialResult)
    (failure,) = executor.report.failures
    assert (failure.dataset, failure.entrystart, failure.kind, failure.attempts) == ("DY", 20, FaultKind.LOST_WORKER, 2)
    apart = [(apart, flying) for apart, flying in at_work if apart]
    assert max(apart)[0] > 1
    assert any(flying > apart for apart, flying in apart)
    assert all(flying <= 4 for _, flying in apart)


def once(item: WorkItem, sign: str) -> dict[str, Any]:
    if item.entrystart == 30 and not Path(sign).exists():
        Path(sign).touch()
        os._exit(9)
    return count(item)


@pytest.mark.parametrize("name", FAR)
def test_a_process_that_dies_by_chance_costs_no_chunk(name: str, tmp_path: Path) -> None:
    with pocket_exec.open_executor(name, retries=1, **FAR[name]) as executor:
        total, error = executor(items(12), partial(once, sign=str(tmp_path / "sign")), None)
    assert error == 0
    assert total["out"]["n"] == 120


def either(item: str) -> str:
    if item == "dies":
        os._exit(9)
    return item


def test_a_process_that_dies_while_the_client_is_busy_costs_what_it_had_and_no_more() -> None:
    pool = ProcessPool(2)
    try:
        pool.load(either)
        pool.submit(0, "dies")
        wait(pool._flying, timeout=60)
        # New processes now take this one, before anybody has looked at what became of the first.
        pool.submit(1, "lives")
        answers: dict[int, Answer] = {}
        while len(answers) < 2:
            answers.update(pool.wait(60))
    finally:
        pool.close()
    assert answers[0].trouble is not None
    assert answers[0].trouble.kind is FaultKind.LOST_WORKER
    assert answers[1].value == "lives"


SCRIPT = """
import os, sys, time
import pocket_exec
from coffea.processor.executor import WorkItem

def slow(item):
    with open(sys.argv[2], "a") as out:
        print(os.getpid(), file=out)
    time.sleep(60)

if __name__ == "__main__":
    options = {"worker_timeout": 60} if sys.argv[1] == "dask" else {}
    with pocket_exec.open_executor(sys.argv[1], scaleout=2, **options) as executor:
        executor([WorkItem("DY", "a.root", "Events", c, c + 1, b"") for c in range(8)], slow, None)
"""


@contextmanager
def at_work(name: str, directory: Path) -> Iterator[tuple[subprocess.Popen[bytes], list[psutil.Process]]]:
    """Run the script until its two workers are at work; yield it and all the processes that it has started."""
    (directory / "script.py").write_text(SCRIPT)
    (directory / "tmp").mkdir()
    with (directory / "log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "script.py", name, "pids"],
            cwd=directory,
            stdout=log,
            stderr=log,
            env={**os.environ, "TMPDIR": str(directory / "tmp")},
        )
    try:
        pids = directory / "pids"
        while not pids.exists() or len(pids.read_text().split()) < 2:
            assert process.poll() is None, (directory / "log").read_text()
            time.sleep(0.05)
        yield process, psutil.Process(process.pid).children(recursive=True)
    finally:
        process.kill()
        process.wait(20)


def workers_left(family: list[psutil.Process]) -> list[psutil.Process]:
    """Return who of the family is still there after some seconds; Python's own trackers end in their own time."""

    def works(process: psutil.Process) -> bool:
        try:
            return process.status() != psutil.STATUS_ZOMBIE and "resource_tracker" not in " ".join(process.cmdline())
        except psutil.NoSuchProcess:
            return False

    end = time.monotonic() + 15
    while (left := [process for process in family if works(process)]) and time.monotonic() < end:
        time.sleep(0.1)
    return left


@pytest.mark.parametrize("name", FAR)
def test_no_process_outlives_a_parent_that_was_killed(name: str, tmp_path: Path) -> None:
    with at_work(name, tmp_path) as (process, family):
        process.kill()
        assert workers_left(family) == []


def test_the_processes_of_a_parent_that_was_killed_take_its_private_directory_with_them(tmp_path: Path) -> None:
    with at_work("futures", tmp_path) as (process, family):
        assert [path.name.startswith("pocket-exec-") for path in (tmp_path / "tmp").iterdir()] == [True]
        process.kill()
        assert workers_left(family) == []
        assert list((tmp_path / "tmp").iterdir()) == []


@pytest.mark.parametrize("name", FAR)
def test_an_interrupted_program_ends_its_workers_and_removes_its_files(name: str, tmp_path: Path) -> None:
    with at_work(name, tmp_path) as (process, family):
        process.send_signal(signal.SIGINT)
        process.wait(60)
        assert workers_left(family) == []
        assert [path.name for path in (tmp_path / "tmp").iterdir() if path.name != "dask-scratch-space"] == []


loads: list[int] = []


class Counted:
    """A function that notes each time it is unpickled."""

    def __reduce__(self) -> Any:
        return loaded, ()

    def __call__(self, item: WorkItem) -> dict[str, Any]:
        return {"out": {"n": len(item), "loads": {(os.getpid(), len(loads))}}, "processed": {item}}


def loaded() -> Counted:
    loads.append(1)
    return Counted()


def test_an_answer_that_cannot_be_sent_costs_its_chunks_and_not_the_run() -> None:
    """As where there is no memory left for it: then loky hands on what was raised."""
    with pocket_exec.open_executor("futures", scaleout=1) as executor:
        pool: Any = executor.pool
        future = Future[Any]()
        future.set_exception(MemoryError("no room"))
        pool._flying[future] = 7, None
        ((task, answer),) = pool.wait(1)
    assert (task, answer.trouble.kind) == (7, FaultKind.LOST_WORKER)
    assert answer.trouble.message == "its answer could not be sent: MemoryError: no room"


@pytest.mark.parametrize("name", FAR)
def test_the_function_is_unpickled_once_in_each_process(name: str) -> None:
    with pocket_exec.open_executor(name, **FAR[name]) as executor:
        total, _ = executor(items(40), Counted(), None)
    assert total["out"]["n"] == 400
    assert {number for _, number in total["out"]["loads"]} == {1}
    assert len(total["out"]["loads"]) <= 2


def heavy(item: WorkItem, ballast: bytes) -> dict[str, Any]:
    return {"out": {"n": len(item), "size": {len(ballast)}}, "processed": {item}}


@pytest.mark.parametrize("name", FAR)
def test_a_large_processor_travels_without_a_warning(name: str) -> None:
    with pocket_exec.open_executor(name, **FAR[name]) as executor:
        total, error = executor(items(20), partial(heavy, ballast=os.urandom(20_000_000)), None)
    assert (error, total["out"]) == (0, {"n": 200, "size": {20_000_000}})


@pytest.mark.parametrize("name", FAR)
def test_an_executor_serves_one_function_after_the_other(name: str) -> None:
    with pocket_exec.open_executor(name, **FAR[name]) as executor:
        for words in ("first", "second", "third", "first"):
            total, error = executor(items(5), partial(told, words=words), None)
            assert (error, total["out"]) == (0, {"n": 50, "words": {words}})


def slowly(item: WorkItem, words: str, seconds: float) -> dict[str, Any]:
    time.sleep(seconds if item.entrystart > 10 else 0)
    return told(item, words)


@pytest.mark.parametrize(("name", "seconds"), [("futures", 60.0), ("dask", 1.0)])
def test_an_executor_that_was_interrupted_gives_no_stale_answers(name: str, seconds: float) -> None:
    def interrupt(done: int) -> None:
        if done == 2:
            raise KeyboardInterrupt

    with pocket_exec.open_executor(name, **FAR[name]) as executor:
        total, error = replace(executor, listener=Ear(interrupt))(
            items(8), partial(slowly, words="stale", seconds=seconds), None
        )
        assert isinstance(error, KeyboardInterrupt)
        assert total["out"] == {"n": 10, "words": {"stale"}}
        start = time.monotonic()
        total, error = executor(items(8), partial(told, words="fresh"), None)
        assert (error, total["out"]) == (0, {"n": 80, "words": {"fresh"}})
        # What was at work is ended (futures), or comes to its end (dask), and does not hold up the next run.
        assert time.monotonic() - start < 45


def test_an_interrupt_before_the_first_chunk_is_an_interrupt() -> None:
    def interrupted(item: WorkItem) -> Any:
        raise KeyboardInterrupt

    with pocket_exec.open_executor() as executor, pytest.raises(KeyboardInterrupt):
        executor(items(3), interrupted, None)


def test_temporary_files_go_with_the_pool() -> None:
    before = set(Path(tempfile.gettempdir()).iterdir())
    with pocket_exec.open_executor("futures", scaleout=1) as executor:
        executor(items(2), count, None)
        assert len(set(Path(tempfile.gettempdir()).iterdir()) - before) == 1
    assert set(Path(tempfile.gettempdir()).iterdir()) - before == set()


def test_plans_are_told_before_the_first_chunk() -> None:
    plans: list[DatasetPlan] = []

    class Planned(Ear):
        def planned(self, given: Any) -> None:
            plans.extend(given)

    with pocket_exec.open_executor("futures", scaleout=1) as executor:
        ear = Planned(lambda done: plans.append(plans[0]) if len(plans) != 1 else None)
        replace(executor, listener=ear)(items(3), count, None)
    assert plans == [DatasetPlan("DY", 1, 3, 30)]


def waits_for(item: WorkItem, directory: Path) -> dict[str, Any]:
    """Let the last chunk of a dataset wait for any of the next one, or for what is made of the one before."""
    (directory / f"{item.dataset} {item.entrystart}").touch()
    # Any: the first one may stand in the queue of the worker that waits.
    awaited = {("first", 10): "second *", ("second", 20): "first is done"}.get((item.dataset, item.entrystart))
    end = time.monotonic() + 30
    while awaited and not any(directory.glob(awaited)) and time.monotonic() < end:
        time.sleep(0.02)
    came = awaited is None or any(directory.glob(awaited))
    return {"out": {"came": came, "n": len(item)}, "processed": {item}}


@pytest.mark.parametrize("name", FAR)
def test_datasets_share_the_workers_and_none_waits_for_the_end_of_another(name: str, tmp_path: Path) -> None:
    class Done(Ear):
        def dataset_done(self, outcome: DatasetOutcome, total: Any) -> None:
            (tmp_path / f"{outcome.plan.dataset} is done").touch()

    sizes = {"first": 2, "second": 3}
    chunks = [WorkItem(d, d, "Events", 10 * c, 10 * c + 10, b"") for d, n in sizes.items() for c in range(n)]
    with pocket_exec.open_executor(name, **FAR[name]) as executor:
        ear = Done(lambda done: None)
        total, error = replace(executor, listener=ear)(chunks, partial(waits_for, directory=tmp_path), None)
    # Truths add up as numbers.
    assert (error, total["out"]) == (0, {"came": 5, "n": 50})


def killer(item: WorkItem) -> dict[str, Any]:
    if item.entrystart == 20:
        os.kill(os.getpid(), signal.SIGKILL)
    return {"out": {"n": len(item)}, "processed": {item}}


def test_a_chunk_that_kills_workers_is_found_on_a_worker_for_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    apart: list[int] = []
    submit_apart = DaskPool.submit_apart

    def noted(pool: DaskPool, task: int, item: object) -> None:
        apart.append(task)
        submit_apart(pool, task, item)

    monkeypatch.setattr(DaskPool, "submit_apart", noted)
    options: dict[str, Any] = {"scaleout": 3, "worker_timeout": 120, "retries": 1, "allowed_failures": 1}
    with pocket_exec.open_executor("dask", **options) as executor:
        total, error = executor(items(12), killer, None)
    assert isinstance(error, PartialResult)
    (failure,) = executor.report.failures
    assert (failure.entrystart, failure.kind, failure.attempts) == (20, FaultKind.LOST_WORKER, 2)
    assert total["out"] == {"n": 110}
    assert apart
