"""Threads read several files at a time; what they find does not depend on which of them was first."""

from __future__ import annotations

import dataclasses
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from pocket_exec.analysis.fileset import DataFile, Dataset
from pocket_exec.engine.chunks import Cut, in_each_dataset, needed, read_metadata, too_many
from pocket_exec.engine.metadata import FileInfo
from pocket_exec.engine.outcome import FaultKind
from pocket_exec.engine.policy import Policy
from pocket_exec.engine.sums import failure
from pocket_exec.engine.threads import ThreadPool, in_threads, threads_for

CUT = Cut(100, align_clusters=False, limit_chunks=None)


@pytest.fixture
def pool() -> Iterator[ThreadPool]:
    with ThreadPool(4) as pool:
        yield pool


def datasets(*names: str) -> tuple[Dataset, ...]:
    return tuple(Dataset(name, (DataFile(f"/{name}", "Events"),)) for name in names)


def info(entries: int) -> FileInfo:
    return FileInfo(entries, b"", None, None)


def read_all(pool: ThreadPool, fileset: tuple[Dataset, ...], read: Any, policy: Policy | None = None) -> Any:
    return read_metadata(needed(fileset, CUT), read, pool, policy or Policy(), lambda done, total: None)


def test_items_are_at_work_at_the_same_time_and_no_more_than_there_are_threads(pool: ThreadPool) -> None:
    all_here = threading.Barrier(4, timeout=20)
    at_work: list[int] = []
    most: list[int] = []

    def function(item: int) -> int:
        at_work.append(item)
        most.append(len(at_work))
        all_here.wait()
        at_work.remove(item)
        return item

    pool.load(function)
    for task in range(8):
        pool.submit(task, task)
    got = dict(answer for _ in range(8) for answer in pool.wait(None))
    assert {task: answer.value for task, answer in got.items()} == {task: task for task in range(8)}
    assert max(most) == 4


def test_what_is_found_is_in_the_order_of_the_files_whichever_was_first(pool: ThreadPool) -> None:
    turns = {name: threading.Event() for name in "abcd"}
    turns["d"].set()
    before = dict(zip("dcba", "cba.", strict=True))

    def read(item: Any) -> FileInfo:
        name = item.filename[1:]
        assert turns[name].wait(20)
        if (following := before[name]) in turns:
            turns[following].set()
        if name in "bd":
            raise ValueError(name)
        return info(ord(name))

    found, failures = read_all(pool, datasets("a", "b", "c", "d"), read, Policy(retries=0))
    assert list(found.items()) == [(("/a", "Events"), info(97)), (("/c", "Events"), info(99))]
    assert [failure.file for failure in failures] == ["/b", "/d"]


def test_too_many_files_that_cannot_be_read_end_the_reading(pool: ThreadPool) -> None:
    asked: list[str] = []

    def read(item: Any) -> FileInfo:
        asked.append(item.filename)
        raise ValueError("no")

    fileset = datasets(*(f"{number:03}" for number in range(100)))
    policy = Policy(max_failures=3)
    _, failures = read_all(pool, fileset, read, policy)
    assert len(failures) == 4
    assert len(set(asked)) < 20
    assert too_many(failures, policy, 100) == "4 files cannot be read, more than max-failures (3)"
    assert too_many(failures[1:], policy, 100) == ""


def test_files_that_are_skipped_by_the_users_word_are_not_too_many(pool: ThreadPool) -> None:
    skipped = failure(None, FaultKind.BAD_FILE, "OSError", "gone", skipped=True)
    assert too_many([skipped] * 100, Policy(max_failures=0), 100) == ""


def test_a_file_that_cannot_be_read_fails_in_each_dataset_that_has_it() -> None:
    shared = DataFile("/shared", "Events")
    fileset = (Dataset("b", (DataFile("/b", "Events"), shared)), Dataset("a", (shared,)))
    failed = failure(None, FaultKind.BAD_FILE, "OSError", "gone")
    failed = dataclasses.replace(failed, file="/shared", treename="Events")
    failures = in_each_dataset([failed], fileset, CUT)
    assert [(each.dataset, each.file) for each in failures] == [("b", "/shared"), ("a", "/shared")]


def test_what_was_found_before_an_interrupt_is_not_lost(pool: ThreadPool) -> None:
    found: dict[Any, FileInfo] = {}

    def told(done: int, total: int) -> None:
        if done == 2:
            raise KeyboardInterrupt

    files = needed(datasets("a", "b", "c"), CUT)
    with pytest.raises(KeyboardInterrupt):
        read_metadata(files, lambda item: info(1), pool, Policy(), told, found)  # type: ignore[arg-type]  # any function of a FileMeta
    assert len(found) == 2


def test_the_end_of_the_pool_waits_for_nobody() -> None:
    release, begun = threading.Event(), threading.Event()

    def hang(item: int) -> None:
        begun.set()
        release.wait(60)

    before = time.monotonic()
    with ThreadPool(2) as pool:
        pool.load(hang)
        for task in range(5):
            pool.submit(task, task)
        assert begun.wait(20)
        assert pool.wait(0.01) == []
    assert time.monotonic() - before < 20
    release.set()


def test_answers_of_cancelled_items_are_dropped(pool: ThreadPool) -> None:
    release, begun = threading.Event(), threading.Event()

    def late(item: int) -> int:
        begun.set()
        release.wait(20)
        return item

    pool.load(late)
    pool.submit(0, 10)
    assert begun.wait(20)
    pool.cancel()
    pool.load(lambda item: item + 1)
    release.set()
    pool.submit(0, 20)
    assert [(task, answer.value) for task, answer in pool.wait(20)] == [(0, 21)]
    assert pool.wait(None) == []


@pytest.mark.parametrize("error", [ValueError("no"), KeyboardInterrupt(), SystemExit(3), GeneratorExit()])
def test_an_item_that_raises_anything_is_answered(error: BaseException, pool: ThreadPool) -> None:
    def function(item: int) -> int:
        raise error

    pool.load(function)
    pool.submit(0, 0)
    ((_, answer),) = pool.wait(20)
    assert answer.trouble is not None
    assert answer.trouble.error == type(error).__name__


def test_values_in_threads_keep_their_order() -> None:
    def value(item: int) -> int:
        time.sleep(0.001 * (item % 3))
        if item == 7:
            raise ValueError
        return -item

    assert in_threads(value, list(range(20)), 5) == [None if item == 7 else -item for item in range(20)]
    assert in_threads(value, [], 5) == []


def test_threads_are_few_and_fewer_where_nothing_is_waited_for() -> None:
    assert 5 <= threads_for(["/a.root", "root://host//b.root"]) <= 8
    assert threads_for(["/a.root"]) == 2
