"""A ledger saves what was computed, and never lets a run trust what it should not."""

from __future__ import annotations

import copy
import random
import shutil
import time
from collections.abc import Callable, Iterable
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from coffea.processor.executor import WorkItem
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from pocket_exec.engine.batch import Part
from pocket_exec.engine.chunk import Answer
from pocket_exec.engine.executor import PocketExecutor
from pocket_exec.engine.fold import Block
from pocket_exec.engine.ledger import Wanted
from pocket_exec.engine.outcome import DatasetOutcome
from pocket_exec.engine.plan import Plan, plan
from pocket_exec.engine.pool import SerialPool
from pocket_exec.engine.shelf import Shelf
from pocket_exec.engine.sums import DatasetSum
from pocket_exec.errors import Interrupted, OutputDirectoryError
from pocket_exec.runs import ledger as module
from pocket_exec.runs import segment
from pocket_exec.runs.ledger import FileLedger
from pocket_exec.runs.segment import read_segment, write_segment

CHUNKS = 6


def items(files: list[int], dataset: str = "DY", chunks: int = CHUNKS) -> list[WorkItem]:
    """Return the chunks of files, whose numbers are their uuids."""
    return [
        WorkItem(dataset, f"{dataset}{f}.root", "Events", 100 * c, 100 * (c + 1), bytes([f]) * 16)
        for f in files
        for c in range(chunks)
    ]


class Counting:
    """A function of a chunk that counts its calls, and is interrupted at one of them."""

    def __init__(self, interrupted_at: int | None = None) -> None:
        self.calls: list[WorkItem] = []
        self._interrupted_at = interrupted_at

    def __call__(self, item: WorkItem) -> dict[str, Any]:
        if len(self.calls) == self._interrupted_at:
            raise Interrupted
        self.calls.append(item)
        number = random.Random(f"{item.filename}{item.entrystart}").random() * 10.0 ** (item.entrystart // 100 % 7 - 3)
        return {"out": {"x": number, "seen": [item.entrystart], item.filename: 1}, "processed": {item}}


SHARE, FIRST_FLUSH_S = module.SHARE, module.FIRST_FLUSH_S


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Write after each chunk: what a long run writes at its leisure."""
    monkeypatch.setattr(module, "FIRST_FLUSH_S", 0.0)
    monkeypatch.setattr(module, "SHARE", 1e9)


def run(
    directory: Path, work: list[WorkItem], function: Callable[[WorkItem], Any], code: str = "1"
) -> tuple[Any, BaseException | int]:
    keys = {"DY": f"DY {code}", "TT": f"TT {code}"}
    total, error = PocketExecutor(ledger=FileLedger(directory, keys))(work, function, None)
    return total, error


def expected(work: list[WorkItem]) -> Any:
    return PocketExecutor()(work, Counting(), None)[0]


@given(stop=st.integers(1, 29), files=st.lists(st.integers(0, 9), min_size=5, max_size=5, unique=True))
@settings(deadline=None, max_examples=10, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_an_interrupted_run_is_completed_with_the_same_bits_and_nothing_twice(
    tmp_path: Path, stop: int, files: list[int]
) -> None:
    directory, work = tmp_path / "ledger", items(files)
    shutil.rmtree(directory, ignore_errors=True)
    first, second = Counting(stop), Counting()
    _, error = run(directory, work, first)
    assert isinstance(error, Interrupted)
    total, error = run(directory, work, second)
    assert error == 0
    assert total == expected(work)
    assert list(total["out"]) == list(expected(work)["out"])
    assert first.calls + second.calls == work


def test_a_finished_run_is_read_back_whole(tmp_path: Path) -> None:
    work, again = items([1, 2, 3]) + items([4], "TT"), Counting()
    run(tmp_path, work, Counting())
    total, _ = run(tmp_path, work, again)
    assert total == expected(work)
    assert again.calls == []


@pytest.mark.parametrize(
    ("now", "computed"),
    [
        ([1, 2, 3, 4, 5], [5]),
        ([1, 2, 9, 4], [9]),
        ([2, 3, 4], []),
        ([1, 2, 4], []),
        ([0, 1, 2, 3, 4], [0]),
    ],
    ids=["added", "mended", "first removed", "one removed", "put in front"],
)
def test_a_changed_fileset_costs_its_own_files_only(tmp_path: Path, now: list[int], computed: list[int]) -> None:
    run(tmp_path, items([1, 2, 3, 4]), Counting())
    again = Counting()
    total, _ = run(tmp_path, items(now), again)
    assert total == expected(items(now))
    assert again.calls == items(computed)


def copies(*names: str) -> list[WorkItem]:
    """Return a chunk of each of some copies of one file."""
    return [WorkItem("DY", name, "Events", 0, 100, b"1" * 16) for name in names]


def test_copies_of_a_file_keep_their_own_results_in_whichever_order_they_come(tmp_path: Path) -> None:
    def function(item: WorkItem) -> dict[str, Any]:
        return {"out": {item.filename: 10}, "processed": {item}}

    run(tmp_path, copies("b1.root", "b2.root"), function)
    again = Counting()
    total, _ = run(tmp_path, copies("b2.root", "b1.root"), again)
    assert total["out"] == {"b2.root": 10, "b1.root": 10}
    assert again.calls == []


def test_a_file_that_was_moved_is_not_computed_anew(tmp_path: Path) -> None:
    again = Counting()
    run(tmp_path, copies("here/b.root"), Counting())
    run(tmp_path, copies("there/b.root"), again)
    assert again.calls == []


def test_other_code_computes_everything_anew(tmp_path: Path) -> None:
    again = Counting()
    run(tmp_path, items([1]), Counting(), code="1")
    run(tmp_path, items([1]), again, code="2")
    assert again.calls == items([1])


def test_other_chunks_compute_their_file_anew(tmp_path: Path) -> None:
    again = Counting()
    run(tmp_path, items([1]), Counting())
    run(tmp_path, items([1], chunks=5), again)
    assert again.calls == items([1], chunks=5)


def test_a_chunk_that_failed_is_not_taken_for_one_that_was_added(tmp_path: Path) -> None:
    count = Counting()

    def function(item: WorkItem) -> Any:
        if item.entrystart == 300:
            raise ValueError("no muons")
        return count(item)

    work, again = items([1, 2]), Counting()
    run(tmp_path, work, function)
    total, error = run(tmp_path, work, again)
    assert error == 0
    assert total == expected(work)
    assert [item.entrystart for item in again.calls] == [300, 300]


@given(data=st.data())
@settings(deadline=None, max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_damaged_ledger_is_never_trusted(tmp_path: Path, data: st.DataObject) -> None:
    directory, work = tmp_path / "ledger", items([1, 2])
    shutil.rmtree(directory, ignore_errors=True)
    run(directory, work, Counting(9))
    paths = sorted(directory.iterdir())
    path = paths[data.draw(st.integers(0, 10**6)) % len(paths)]
    content = bytearray(path.read_bytes())
    at = data.draw(st.integers(0, 10**6)) % len(content)
    if data.draw(st.booleans()):
        path.write_bytes(content[:at])
    else:
        content[at] ^= 1 << data.draw(st.integers(0, 7))
        path.write_bytes(content)
    total, error = run(directory, work, Counting())
    assert error == 0
    assert total == expected(work)


def test_a_damaged_file_is_named(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    run(tmp_path, items([1]), Counting(3))
    path = next(tmp_path.iterdir())
    path.write_bytes(path.read_bytes()[:-1])
    run(tmp_path, items([1]), Counting())
    assert f"{path} is not used: it is cut short" in caplog.text


def test_a_ledger_of_another_version_is_named_and_left(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    foreign = tmp_path / "x.blocks"
    foreign.write_bytes(b"pocket-exec ledger 9\nwhatever")
    run(tmp_path, items([1]), Counting())
    assert "another version" in caplog.text
    assert foreign.exists()


def test_blocks_that_were_added_up_are_dropped(tmp_path: Path) -> None:
    run(tmp_path, items(list(range(8))), Counting())
    entries = [entry for path in tmp_path.iterdir() for entry in read_segment(path).entries]
    needed = [entry for entry in entries if entry.chunks == CHUNKS]
    assert len(needed) == 8
    assert sum(e.size for e in entries) <= 2 * sum(e.size for e in needed) + 10**6
    assert len(list(tmp_path.iterdir())) <= module.SEGMENTS


def test_many_large_files_are_kept_as_fewer_blocks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "ROOM", 100)
    work, again = items(list(range(16))), Counting()
    run(tmp_path, work, Counting())
    total, _ = run(tmp_path, work, again)
    assert total == expected(work)
    assert again.calls == []
    live = {entry.chunks for path in tmp_path.iterdir() for entry in read_segment(path).entries}
    assert 16 * CHUNKS in live


class Shuffled(SerialPool):
    """Answers in any order, as several workers do."""

    def __init__(self, seed: int, slots: int) -> None:
        super().__init__()
        self._random, self._slots = random.Random(seed), slots

    def slots(self) -> int:
        return self._slots

    def wait(self, timeout_s: float | None) -> list[tuple[int, Answer]]:
        self._random.shuffle(self._queue)
        return super().wait(timeout_s)


@given(files=st.integers(1, 21), seed=st.integers(0, 99), slots=st.integers(1, 30))
@example(files=9, seed=1, slots=20)
@settings(deadline=None, max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_block_of_a_finished_run_is_lost_however_many_files_there_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, files: int, seed: int, slots: int
) -> None:
    monkeypatch.setattr(module, "ROOM", 600)
    directory, work = tmp_path / "ledger", items(list(range(files)), chunks=2)
    shutil.rmtree(directory, ignore_errors=True)
    ledger = FileLedger(directory, {"DY": "DY 1"})
    PocketExecutor(pool=Shuffled(seed, slots), ledger=ledger)(work, Counting(), None)
    again = Counting()
    total, _ = run(directory, work, again)
    assert again.calls == []
    assert total == expected(work)


def test_a_ledger_of_many_blocks_is_read_with_one_look_at_each(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Twice as many blocks take twice as long: no block is searched for, and no file opened for each of them."""
    work, looks = items(list(range(100)), chunks=1), dict.fromkeys(("opened", "compared"), 0)
    monkeypatch.setattr(module, "FIRST_FLUSH_S", 1e9)
    run(tmp_path, work, Counting())

    class Key(str):
        __slots__ = ()
        __hash__ = str.__hash__

        def __eq__(self, other: object) -> bool:
            looks["compared"] += 1
            return str.__eq__(self, other)

    def opened(path: Path) -> Any:
        looks["opened"] += 1
        return path.open("rb")

    real = segment._entry
    monkeypatch.setattr(segment, "_open", opened)
    monkeypatch.setattr(segment, "_entry", lambda row: real({**row, "key": Key(row["key"])}))
    again = Counting()
    run(tmp_path, work, again)
    assert again.calls == []
    assert looks["opened"] <= 3
    assert looks["compared"] <= 10 * len(work)


def test_what_the_ledger_has_waits_on_the_shelf_and_is_neither_copied_nor_kept_for_the_ledger(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    work = items([1, 2, 3])
    run(tmp_path, work, Counting())
    parts = [part for _, part in FileLedger(tmp_path, {"DY": "DY 1"}).known(plan(work))]
    assert len(parts) == 3
    assert all(part.block.size > 20 for part in parts)
    copied: list[Any] = []
    real = copy.deepcopy

    def deepcopy(value: Any) -> Any:
        copied.append(value)
        return real(value)

    monkeypatch.setattr(copy, "deepcopy", deepcopy)
    again = Counting()
    total, _ = run(tmp_path, work, again)
    assert again.calls == []
    assert [value for value in copied if isinstance(value, dict)] == []
    assert total == expected(work)


@pytest.mark.parametrize("write_s", [0.001, 0.02, 0.2])
def test_a_finished_block_is_written_as_soon_as_writing_leaves_the_run_its_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, write_s: float
) -> None:
    monkeypatch.setattr(module, "FIRST_FLUSH_S", FIRST_FLUSH_S)
    monkeypatch.setattr(module, "SHARE", SHARE)
    # Each chunk takes a tenth of a second, each write as long as it is told.
    now, written = [0.0], [0.0]
    monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=lambda: now[0], strftime=time.strftime))
    count = Counting()

    def function(item: WorkItem) -> Any:
        now[0] += 0.1
        assert now[0] - written[-1] <= max(FIRST_FLUSH_S, write_s / SHARE) + 0.2
        return count(item)

    def slowly(*args: Any) -> Any:
        now[0] += write_s
        written.append(now[0])
        return write_segment(*args)

    monkeypatch.setattr(module, "write_segment", slowly)
    run(tmp_path, items(list(range(100))), function)
    # The last one is due when all is done.
    assert (len(written) - 2) * write_s <= 0.03 * now[0]
    assert len(written) > 5


class OneDataset:
    """What a ledger sees of the sum of the only dataset."""

    def __init__(self, work: Plan) -> None:
        self.sum = DatasetSum(work.datasets[0], work, DatasetOutcome(work.summaries()[0]), Shelf(), kept=True)

    def finished_files(self, dataset: int, wanted: Wanted) -> Iterable[Part]:
        return self.sum.finished_files(wanted)

    def open_blocks(self, dataset: int, wanted: Wanted) -> Iterable[Part]:
        return self.sum.open_blocks(wanted)

    def merged(self, dataset: int, wanted: Wanted) -> Iterable[Part]:
        return self.sum.merged(wanted)

    def written(self, dataset: int) -> None:
        pass


def test_what_comes_faster_than_it_may_be_written_does_not_pile_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Results of 0.5 MB come twice as fast as a disk takes them in 1.5 % of the time: by then neighbours are one."""
    monkeypatch.setattr(module, "FIRST_FLUSH_S", FIRST_FLUSH_S)
    monkeypatch.setattr(module, "SHARE", SHARE)
    now, written, size = [0.0], [0.0], 500_000
    monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=lambda: now[0], strftime=time.strftime))

    def slowly(path: Path, entries: Any, packed: Any) -> Any:
        now[0] += len(entries) * 0.015
        written.append(now[0])
        return write_segment(path, entries, packed)

    monkeypatch.setattr(module, "write_segment", slowly)
    work = plan([WorkItem("DY", f"{n}.root", "Events", 0, 10, n.to_bytes(16, "big")) for n in range(4000)])
    sums, ledger = OneDataset(work), FileLedger(tmp_path, {"DY": "DY 1"})
    assert list(ledger.known(work)) == []
    for file in range(4000):
        now[0] += 0.5
        sums.sum.add(Part(None, Block(0, file, {"x": file}, 1, own=True, size=size), True), {})
        ledger.note(sums, 0)
    pauses = [after - before for before, after in pairwise(written)]
    assert max(pauses) < 60
    assert len(written) > 30


def test_results_that_cannot_be_kept_are_no_reason_to_stop(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    class Single:
        """Travels as it is, and not once it is a sum."""

        def __init__(self, number: int = 1) -> None:
            self.number = number

        def __add__(self, other: Single) -> Single:
            return Single(self.number + other.number)

        def __reduce__(self) -> tuple[Any, ...]:
            if self.number > 1:
                raise TypeError("no more than one")
            return Single, (self.number,)

    total, error = run(tmp_path, items([1]), lambda item: {"out": Single(), "processed": {item}})
    assert error == 0
    assert total["out"].number == CHUNKS
    assert len(total["processed"]) == CHUNKS
    assert caplog.text.count("the ledger cannot be written") == 1


def test_what_cannot_be_written_is_no_reason_to_stop(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    directory = tmp_path / "ledger"
    directory.write_text("a file")
    total, error = run(directory, items([1]), Counting())
    assert error == 0
    assert len(total["processed"]) == CHUNKS
    assert "the ledger cannot be written" in caplog.text


def test_what_a_full_disk_has_refused_is_written_when_there_is_room_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    work = items([1, 2, 3, 4])
    counting = Counting()

    def full_at_first(*args: Any) -> Any:
        if len(counting.calls) < 2 * CHUNKS + 2:
            raise OutputDirectoryError("the disk is full")
        return write_segment(*args)

    monkeypatch.setattr(module, "write_segment", full_at_first)
    run(tmp_path, work, counting)
    again = Counting()
    total, error = run(tmp_path, work, again)
    assert (error, again.calls) == (0, [])
    assert total == expected(work)


def test_an_interrupt_during_a_write_loses_nothing_of_what_was_to_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ctrl-C in a notebook comes as an exception, wherever the process is."""
    counting = Counting()

    def interrupted(*args: Any) -> Any:
        monkeypatch.setattr(module, "write_segment", write_segment)
        raise KeyboardInterrupt

    def function(item: WorkItem) -> Any:
        if len(counting.calls) == 4 * CHUNKS + 2:
            monkeypatch.setattr(module, "FIRST_FLUSH_S", 0.0)
            monkeypatch.setattr(module, "write_segment", interrupted)
        return counting(item)

    monkeypatch.setattr(module, "FIRST_FLUSH_S", 1e9)
    work, again = items(list(range(8))), Counting()
    _, error = run(tmp_path, work, function)
    assert isinstance(error, KeyboardInterrupt)
    total, _ = run(tmp_path, work, again)
    assert counting.calls + again.calls == work
    assert total == expected(work)


def test_many_results_are_written_anew_one_by_one_and_a_few_times_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "SEGMENTS", 3)
    written: list[int] = []

    def watched(path: Path, entries: Any, packed: Any) -> Any:
        written.append(len(entries))
        return write_segment(path, entries, packed)

    monkeypatch.setattr(module, "write_segment", watched)
    work, again = [item for n in range(81) for item in items([1], f"D{n}", chunks=1)], Counting()
    keys = {f"D{n}": f"D{n}" for n in range(81)}
    PocketExecutor(ledger=FileLedger(tmp_path, keys))(work, Counting(), None)
    assert sum(written) <= 81 * 6
    PocketExecutor(ledger=FileLedger(tmp_path, keys))(work, again, None)
    assert again.calls == []


def test_a_file_that_everybody_may_write_to_is_not_unpickled(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    run(tmp_path, items([1]), Counting(3))
    for path in tmp_path.iterdir():
        path.chmod(0o666)
    again = Counting()
    run(tmp_path, items([1]), again)
    assert again.calls == items([1])
    assert "everybody may write to it" in caplog.text


def test_a_damaged_block_of_other_code_does_not_end_the_ledger(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    run(tmp_path, items([1]), Counting(), code="1")
    for path in tmp_path.iterdir():
        path.write_bytes(path.read_bytes()[:-1] + b"?")
    monkeypatch.setattr(module, "SEGMENTS", 1)
    again = Counting()
    run(tmp_path, items([1, 2]), Counting(), code="2")
    run(tmp_path, items([1, 2]), again, code="2")
    assert again.calls == []
    assert "is left out" in caplog.text
    assert "cannot be written" not in caplog.text


def test_blocks_of_other_code_are_kept_within_bounds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for code in range(6):
        run(tmp_path, items([1, 2]), Counting(), code=str(code))
    before = {entry.key for path in tmp_path.iterdir() for entry in read_segment(path).entries}
    monkeypatch.setattr(module, "ROOM", 1)
    again = Counting()
    run(tmp_path, items([1, 2, 3]), again, code="5")
    assert again.calls == items([3])
    after = {entry.key for path in tmp_path.iterdir() for entry in read_segment(path).entries}
    assert len(before) > 6
    assert len(after & before) <= 2 + CHUNKS


def test_a_ledger_that_was_cleared_is_not_read_even_where_nothing_can_be_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(path: Path, missing_ok: bool = False) -> None:
        raise PermissionError

    run(tmp_path, items([1]), Counting())
    monkeypatch.setattr(Path, "unlink", refused)
    ledger, again = FileLedger(tmp_path, {"DY": "DY 1"}), Counting()
    ledger.clear()
    PocketExecutor(ledger=ledger)(items([1]), again, None)
    assert again.calls == items([1])


def test_a_directory_that_others_may_write_to_is_let_alone(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    run(tmp_path, items([1]), Counting())
    tmp_path.chmod(0o777)
    before, again = list(tmp_path.iterdir()), Counting()
    run(tmp_path, items([1, 2]), again)
    assert again.calls == items([1, 2])
    assert "others than you may write to it" in caplog.text
    assert list(tmp_path.iterdir()) == before


def test_a_link_is_neither_read_nor_written_nor_cleared(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    real, link = tmp_path / "somewhere", tmp_path / "ledger"
    real.mkdir()
    run(real, items([1]), Counting())
    link.symlink_to(real)
    before, again = list(real.iterdir()), Counting()
    ledger = FileLedger(link, {"DY": "DY 1"})
    ledger.clear()
    PocketExecutor(ledger=ledger)(items([1, 2]), again, None)
    assert again.calls == items([1, 2])
    assert "it is a link" in caplog.text
    assert list(real.iterdir()) == before
