"""Files stay open from chunk to chunk: few, closed in order, one's own in each thread, and never another's content."""

from __future__ import annotations

import gc
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import awkward as ak
import cloudpickle
import pytest
import uproot

from pocket_exec.engine.chunk import attempt
from pocket_exec.engine.identity import OtherContent
from pocket_exec.engine.outcome import FaultKind
from pocket_exec.engine.reading import ReadChunk, Reading, cheap
from pocket_exec.engine.reading.files import KeptFiles
from tests.contract.reading.given import handed_over, items_of, sums, write


@pytest.fixture
def paths(tmp_path: Path) -> list[Path]:
    return [write(tmp_path / f"{number}.root", 300, seed=number) for number in range(4)]


def item(path: Path) -> Any:
    return items_of(path, 300)[0]


def kept(options: Reading | None = None) -> KeptFiles:
    return KeptFiles(options or Reading(kept_files=2), 60, {})


def test_the_one_that_was_used_least_lately_is_closed(paths: list[Path]) -> None:
    files = kept()
    a, b = files.get(item(paths[0])), files.get(item(paths[1]))
    assert files.get(item(paths[0])) is a
    c = files.get(item(paths[2]))
    assert [each.directory.closed for each in (a, b, c)] == [False, True, False]
    files.close()
    assert [each.directory.closed for each in (a, c)] == [True, True]


def test_all_are_closed_when_nobody_has_them_any_more(paths: list[Path]) -> None:
    files = kept()
    open_files = [files.get(item(path)) for path in paths[:2]]
    del files
    gc.collect()
    assert all(each.directory.closed for each in open_files)


def test_a_thread_closes_its_files_at_its_end(paths: list[Path]) -> None:
    reader = cheap(handed_over(sums), Reading()).args[2]  # type: ignore[attr-defined]  # a partial
    found: list[Any] = []

    def work() -> None:
        reader(item(paths[0]))
        found.extend(reader._work._thread().files._files.values())

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    gc.collect()
    assert [each.directory.closed for each in found] == [True]


def test_a_file_that_was_replaced_is_opened_anew(paths: list[Path]) -> None:
    files = kept()
    before = files.get(item(paths[0]))
    paths[1].replace(paths[0])
    after = files.get(item(paths[0]))
    assert before.directory.closed
    assert before.uuid != after.uuid


def test_a_file_of_another_uuid_is_named_and_not_processed(paths: list[Path]) -> None:
    function = cheap(handed_over(sums), Reading())
    of_first = item(paths[0])
    function(of_first)
    os.replace(paths[1], paths[0])
    with pytest.raises(OtherContent, match="is not the file whose metadata were read"):
        function(of_first)


def test_a_file_is_opened_anew_after_a_failure(paths: list[Path]) -> None:
    calls: list[int] = []

    def fails_once(events: Any) -> dict[str, int]:
        calls.append(1)
        if len(calls) == 1:
            raise ValueError("once")
        return {"n": len(events)}

    reader = cheap(handed_over(fails_once, processor_compression=None), Reading()).args[2]  # type: ignore[attr-defined]
    with pytest.raises(ValueError, match="once"):
        reader(item(paths[0]))
    assert len(reader._work._thread().files) == 0
    assert reader(item(paths[0]))["out"] == {"n": 300}


def test_threads_give_what_one_gives(paths: list[Path]) -> None:
    function = handed_over(lambda events: {"pt": ak.to_list(events.Muon.pt), "jets": ak.to_list(events.Jet.pt)})
    items = [each for path in paths for each in items_of(path, 50)] * 2
    expected = [function(each) for each in items]
    ours = cheap(function, Reading(kept_files=1))
    with ThreadPoolExecutor(4) as threads:
        assert list(threads.map(ours, items)) == expected


def test_it_travels_as_what_it_was_made_of(paths: list[Path]) -> None:
    function = cheap(handed_over(sums), Reading(kept_files=1))
    function(item(paths[0]))
    again = cloudpickle.loads(cloudpickle.dumps(function))
    assert isinstance(again.args[2], ReadChunk)
    assert again(item(paths[0])) == function(item(paths[0]))
    assert len(cloudpickle.dumps(function)) < 10_000


def missing(path: Path) -> Any:
    return replace(item(path), filename="/no/such/file.root")


def no_tree(path: Path) -> Any:
    return replace(item(path), treename="NoSuchTree")


@pytest.mark.parametrize("broken", [missing, no_tree])
def test_what_cannot_be_read_is_the_files_fault_as_before(broken: Any, paths: list[Path]) -> None:
    plain = handed_over(sums)
    bad = broken(paths[0])
    theirs, mine = attempt(plain, bad).trouble, attempt(cheap(plain, Reading()), bad).trouble
    assert theirs is not None
    assert mine is not None
    assert (mine.kind, mine.passing, mine.error) == (theirs.kind, theirs.passing, theirs.error)
    assert mine.kind is FaultKind.BAD_FILE


def raises(events: Any) -> Any:
    raise KeyError("no such thing")


def test_what_the_processor_raises_is_the_users_with_the_traceback_of_their_code(paths: list[Path]) -> None:
    mine = attempt(cheap(handed_over(raises), Reading()), item(paths[0])).trouble
    assert mine is not None
    assert (mine.kind, mine.error) == (FaultKind.USER, "KeyError")
    assert "in raises" in mine.traceback
    assert "pocket_exec" not in mine.traceback


def test_a_processor_that_returns_nothing_is_a_bad_result(paths: list[Path]) -> None:
    mine = attempt(cheap(handed_over(lambda events: None), Reading()), item(paths[0])).trouble
    assert mine is not None
    assert mine.kind is FaultKind.RESULT


def test_a_damaged_basket_fails_the_chunks_that_it_belongs_to_and_no_others(tmp_path: Path) -> None:
    path = write(tmp_path / "a.root", 400, basket=100)
    with uproot.open(path) as file:
        seek = int(file["Events"]["MET_pt"].member("fBasketSeek")[2])
    content = bytearray(path.read_bytes())
    content[seek : seek + 400] = b"\0" * 400
    path.write_bytes(content)
    items = items_of(path, 50)
    plain = handed_over(sums)
    theirs = [attempt(plain, each).trouble is None for each in items]
    ours = cheap(plain, Reading())
    assert [attempt(ours, each).trouble is None for each in items] == theirs
    assert theirs.count(False) == 2
