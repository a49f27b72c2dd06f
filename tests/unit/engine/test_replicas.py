"""What a worker remembers of addresses, for how long, and what it does with a chunk then."""

from __future__ import annotations

import pickle
from typing import Any

import pytest
from coffea.processor.executor import FileMeta, WorkItem

from pocket_exec.engine.identity import OtherContent
from pocket_exec.engine.outcome import FaultKind
from pocket_exec.engine.plan import readdressed
from pocket_exec.engine.reading import announced
from pocket_exec.engine.reading.following import Following
from pocket_exec.engine.replicas import FORGOTTEN_AFTER_S, Failed, Replicated, replicated

ONE, TWO, THREE = ADDRESSES = ("root://one//store/a.root", "root://two//store/a.root", "/eos/store/a.root")


class Clock:
    """A clock that is moved by hand."""

    now = 1000.0

    def __call__(self) -> float:
        self.now += 1
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def failed(clock: Clock) -> Failed:
    return Failed(clock)


def test_the_first_address_is_best_as_long_as_nothing_failed(failed: Failed) -> None:
    assert failed.best(ADDRESSES) == ONE
    failed.note(ONE, FaultKind.USER)
    assert failed.best(ADDRESSES) == ONE


def test_a_server_that_does_not_answer_is_avoided_for_all_its_files(failed: Failed) -> None:
    failed.note(ONE, FaultKind.STORAGE)
    assert failed.best(ADDRESSES) == TWO
    assert failed.best(["root://one//store/b.root", "root://two//store/b.root"]) == "root://two//store/b.root"


@pytest.mark.parametrize("address", [ONE, THREE])
def test_a_bad_copy_says_nothing_of_its_neighbours(address: str, failed: Failed) -> None:
    failed.note(address, FaultKind.BAD_FILE)
    assert failed.best([address, TWO]) == TWO
    neighbour = address.replace("a.root", "b.root")
    assert failed.best([neighbour, TWO]) == neighbour


def test_where_all_have_failed_the_one_that_did_so_first_is_tried_again(failed: Failed) -> None:
    for address in (TWO, ONE, THREE):
        failed.note(address, FaultKind.STORAGE)
    assert failed.best(ADDRESSES) == TWO
    failed.note(TWO, FaultKind.BAD_FILE)
    assert failed.best(ADDRESSES) == ONE


def test_what_failed_is_forgotten_after_a_while_and_once_it_works(failed: Failed, clock: Clock) -> None:
    failed.note(ONE, FaultKind.STORAGE)
    failed.note(TWO, FaultKind.BAD_FILE)
    clock.now += FORGOTTEN_AFTER_S
    assert failed.best(ADDRESSES) == ONE
    failed.note(ONE, FaultKind.STORAGE)
    failed.works("root://one//store/b.root")
    assert failed.best(ADDRESSES) == ONE


def chunk(name: str = ONE, start: int = 0) -> WorkItem:
    return WorkItem("DY", name, "Events", start, start + 10, b"")


class Storage:
    """Reads from all addresses but the bad ones, and remembers what it was asked for."""

    def __init__(self, *bad: str) -> None:
        self.bad = bad
        self.asked: list[str] = []

    def __call__(self, item: Any) -> str:
        self.asked.append(item.filename)
        if item.filename in self.bad:
            raise OtherContent(item.filename)
        return str(item.filename)


def test_the_next_chunk_begins_with_the_address_that_works(failed: Failed) -> None:
    storage = Storage(ONE)
    read = Replicated(storage, {ONE: ADDRESSES}, failed)
    with pytest.raises(OtherContent):
        read(chunk())
    assert [read(chunk(start=start)) for start in (10, 20)] == [TWO, TWO]
    # An item that is sent to the next address already is read there.
    assert read(chunk(THREE)) == THREE
    assert storage.asked == [ONE, TWO, TWO, THREE]


def test_files_without_replicas_are_read_where_they_are(failed: Failed) -> None:
    storage = Storage()
    read = Replicated(storage, {ONE: ADDRESSES}, failed)
    assert read(chunk("/local.root")) == "/local.root"
    assert replicated(storage, {}) is storage


def test_it_travels_without_what_it_remembers() -> None:
    read = Replicated(len, {ONE: ADDRESSES})
    assert read(chunk("/local.root")) == 10
    again = pickle.loads(pickle.dumps(read))
    assert isinstance(again, Replicated)
    assert again(chunk("/local.root")) == 10


def test_the_chunks_that_follow_are_those_announced_also_at_another_address(failed: Failed) -> None:
    following, stops = Following(), []

    def look(item: WorkItem) -> None:
        following.came(item, 100)
        stops.append((item.filename, following.stops(item, 100)))

    read = Replicated(look, {ONE: ADDRESSES}, failed)
    failed.note(ONE, FaultKind.STORAGE)
    chunks = [chunk(start=start) for start in (0, 10, 20)]
    with announced([*chunks, chunk("/other.root")]):
        for item in chunks:
            read(item)
    assert stops == [(TWO, [20, 30]), (TWO, [30]), (TWO, [])]


def test_work_items_and_file_metadata_take_another_address() -> None:
    meta = FileMeta("DY", ONE, "Events", {"a": 1}, ["x"])
    there: Any = readdressed(meta, TWO)
    assert (there.filename, there.dataset, there.metadata, there.preload) == (TWO, "DY", {"a": 1}, ["x"])
    assert readdressed(chunk(), TWO) == chunk(TWO)
    assert readdressed(meta, ONE) is meta
