"""Files on a server: fewer requests, the next run read while this one is processed, the same events."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pocket_exec.engine.chunk import attempt
from pocket_exec.engine.outcome import FaultKind
from pocket_exec.engine.reading import Reading, announced, cheap
from tests.contract.reading.given import everything, handed_over, items_of, sums, write
from tests.contract.reading.served import Served, served

# aiohttp leaves its session to the collector, in plain coffea too.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning", "ignore::ResourceWarning")


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Served]:
    write(tmp_path / "a.root", 1200, basket=100)
    with served(tmp_path) as server:
        yield server


def items(server: Served, tmp_path: Path, size: int = 50) -> list[Any]:
    return [replace(item, filename=f"{server.url}/a.root") for item in items_of(tmp_path / "a.root", size)]


def ahead_threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("read-ahead")]


@pytest.mark.parametrize("ahead", [True, False])
def test_events_are_the_same_with_and_without_reading_ahead(server: Served, tmp_path: Path, ahead: bool) -> None:
    chunks = items(server, tmp_path, 200)
    plain = handed_over(everything)
    ours = cheap(plain, Reading(read_ahead=ahead, run_bytes=100_000))
    with announced(chunks):
        assert [ours(item) for item in chunks] == [plain(item) for item in chunks]
    assert bool(ahead_threads()) is ahead
    ours.args[2].close()  # type: ignore[attr-defined]  # a partial
    assert ahead_threads() == []


def test_local_files_are_not_read_ahead(tmp_path: Path) -> None:
    ours = cheap(handed_over(sums), Reading())
    for item in items_of(write(tmp_path / "a.root"), 100):
        ours(item)
    assert ahead_threads() == []


def test_a_run_takes_fewer_requests_than_branch_by_branch(server: Served, tmp_path: Path) -> None:
    chunks = items(server, tmp_path)
    plain = handed_over(sums)
    expected = [plain(item) for item in chunks]
    theirs, server.requests = server.requests, 0
    ours = cheap(plain, Reading())
    with announced(chunks):
        assert [ours(item) for item in chunks] == expected
    assert server.requests < theirs / 5


def test_bytes_that_were_read_ahead_are_counted_once(server: Served, tmp_path: Path) -> None:
    chunks = items(server, tmp_path)
    plain = handed_over(sums, savemetrics=True)
    ours = cheap(plain, Reading(run_bytes=2000))
    with announced(chunks):
        mine = sum(ours(item)["metrics"]["bytesread"] for item in chunks)
    assert 0 < mine <= sum(plain(item)["metrics"]["bytesread"] for item in chunks) / 2


def test_a_server_that_fails_in_the_middle_is_the_storages_fault_and_the_next_attempt_may_succeed(
    server: Served, tmp_path: Path
) -> None:
    chunks = items(server, tmp_path)
    plain = handed_over(sums)
    ours = cheap(plain, Reading(run_bytes=1000))
    for item in chunks[:5]:
        ours(item)
    server.failing = True
    answers = [attempt(ours, item) for item in chunks[5:]]
    assert {answer.trouble.kind for answer in answers if answer.trouble is not None} <= {
        FaultKind.STORAGE,
        FaultKind.BAD_FILE,
    }
    assert answers[-1].trouble is not None
    server.failing = False
    assert [ours(item) for item in chunks] == [plain(item) for item in chunks]
