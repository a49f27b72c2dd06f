"""Files become the work items that coffea would make, limited as asked, with the user's metadata as they are now."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from types import MappingProxyType
from typing import Any

import pytest
from coffea.processor.executor import WorkItem
from hypothesis import given
from hypothesis import strategies as st

from pocket_exec.analysis.fileset import DataFile, Dataset
from pocket_exec.engine.chunks import Cut, auto_cuts, needed, read_metadata, work_items
from pocket_exec.engine.metadata import FileInfo
from pocket_exec.engine.metadata_cache import Key
from pocket_exec.engine.outcome import FaultKind
from pocket_exec.engine.policy import Policy
from pocket_exec.engine.pool import SerialPool
from pocket_exec.errors import CfgError

UUID = bytes(range(16))


def cut(chunksize: int = 100, *, align: bool = False, limit: int | None = None) -> Cut:
    return Cut(chunksize, align, limit)


def info(entries: int, clusters: Sequence[int] | None = None) -> FileInfo:
    return FileInfo(entries, UUID, None if clusters is None else tuple(clusters), "stamp")


def dataset(name: str, *files: str | DataFile, **more: Any) -> Dataset:
    given = tuple(file if isinstance(file, DataFile) else DataFile(file, "Events") for file in files)
    return Dataset(name, given, **more)


def infos(fileset: Sequence[Dataset], found: FileInfo) -> dict[Key, FileInfo]:
    return {(file.name, file.treename): found for each in fileset for file in each.files}


def ranges(items: Sequence[Any]) -> list[tuple[str, int, int]]:
    return [(item.filename, item.entrystart, item.entrystop) for item in items]


def test_a_file_is_cut_into_equal_chunks_near_the_chunksize() -> None:
    fileset = (dataset("DY", "/a"),)
    assert ranges(work_items(fileset, infos(fileset, info(260)), cut(100))) == [
        ("/a", 0, 87),
        ("/a", 87, 174),
        ("/a", 174, 260),
    ]


def auto(kept: Sequence[int] = ()) -> Cut:
    return Cut("auto", align_clusters=False, limit_chunks=None, kept={(UUID.hex(), "Events"): kept})


def test_auto_cuts_a_file_where_it_did_before_whatever_its_rule_has_become() -> None:
    fileset = (dataset("DY", "/a"),)
    found = infos(fileset, info(260))
    assert ranges(work_items(fileset, found, auto([100, 260]))) == [("/a", 0, 100), ("/a", 100, 260)]
    assert auto_cuts(fileset, found, auto([100, 260])) == {(UUID.hex(), "Events"): [100, 260]}
    assert auto_cuts(fileset, found, auto()) == {(UUID.hex(), "Events"): [260]}


@pytest.mark.parametrize("kept", [[100], [100, 270], [100, 50, 260], [0, 260], [-5, 260], [100, 100, 260]])
def test_ends_that_do_not_cover_the_file_are_not_taken(kept: Sequence[int]) -> None:
    fileset = (dataset("DY", "/a"),)
    assert ranges(work_items(fileset, infos(fileset, info(260)), auto(kept))) == [("/a", 0, 260)]


def test_what_auto_has_not_cut_is_not_kept() -> None:
    fileset = (dataset("DY", DataFile("/a", "Events", steps=((0, 100), (100, 260)))),)
    assert auto_cuts(fileset, infos(fileset, info(260)), auto()) == {}
    assert auto_cuts((dataset("DY", "/a"),), infos(fileset, info(260)), cut(100)) == {}


@given(st.integers(0, 5000), st.integers(1, 500))
def test_chunks_cover_each_entry_once_in_order(entries: int, chunksize: int) -> None:
    fileset = (dataset("DY", "/a"),)
    found = ranges(work_items(fileset, infos(fileset, info(entries)), cut(chunksize)))
    assert [start for _, start, _ in found] == [0, *[stop for _, _, stop in found[:-1]]]
    assert found[-1][2] == entries


@given(st.lists(st.integers(1, 300), min_size=1, max_size=30), st.integers(1, 500))
def test_aligned_chunks_end_at_cluster_boundaries(sizes: list[int], chunksize: int) -> None:
    boundaries = [0]
    for size in sizes:
        boundaries.append(boundaries[-1] + size)
    fileset = (dataset("DY", "/a"),)
    found = ranges(work_items(fileset, infos(fileset, info(boundaries[-1], boundaries)), cut(chunksize, align=True)))
    assert {edge for _, start, stop in found for edge in (start, stop)} <= set(boundaries)
    assert sum(stop - start for _, start, stop in found) == boundaries[-1]


def test_an_empty_file_is_one_empty_chunk() -> None:
    fileset = (dataset("DY", "/a"),)
    assert ranges(work_items(fileset, infos(fileset, info(0)), cut())) == [("/a", 0, 0)]


def test_a_work_item_says_all_that_coffea_wants_to_know() -> None:
    given = dataset("DY", "/a", metadata=MappingProxyType({"year": "2018"}), preload=frozenset({"nMuon"}))
    (item,) = work_items((given,), infos((given,), info(50)), cut())
    assert item == WorkItem("DY", "/a", "Events", 0, 50, UUID)
    assert (item.usermeta, item.preload, len(item)) == ({"year": "2018"}, frozenset({"nMuon"}), 50)


def test_datasets_and_files_stay_in_the_order_of_the_fileset() -> None:
    fileset = (dataset("z", "/b", "/a"), dataset("a", "/c"))
    found = work_items(fileset, infos(fileset, info(150)), cut(100))
    assert [item.filename for item in found] == ["/b", "/b", "/a", "/a", "/c", "/c"]


def test_a_file_whose_metadata_are_not_known_is_left_out() -> None:
    fileset = (dataset("DY", "/a", "/b"),)
    assert ranges(work_items(fileset, {("/b", "Events"): info(10)}, cut())) == [("/b", 0, 10)]


def test_limit_chunks_counts_for_each_dataset() -> None:
    fileset = (dataset("DY", "/a", "/b"), dataset("TT", "/c"))
    assert ranges(work_items(fileset, infos(fileset, info(200)), cut(100, limit=3))) == [
        ("/a", 0, 100),
        ("/a", 100, 200),
        ("/b", 0, 100),
        ("/c", 0, 100),
        ("/c", 100, 200),
    ]


def test_no_more_files_are_opened_than_chunks_are_wanted() -> None:
    fileset = (dataset("DY", "/a", "/b", "/c"), dataset("TT", "/d"))
    assert [name for name, _ in needed(fileset, cut(limit=2))] == ["/a", "/b", "/d"]
    assert len(needed(fileset, cut())) == 4


def test_a_file_in_two_datasets_is_opened_once_and_cut_for_both() -> None:
    fileset = (dataset("DY", "/a"), dataset("TT", "/a"))
    assert len(needed(fileset, cut())) == 1
    assert [item.dataset for item in work_items(fileset, infos(fileset, info(10)), cut())] == ["DY", "TT"]


def test_two_trees_of_one_file_are_two_inputs() -> None:
    fileset = (dataset("DY", DataFile("/a", "Events"), DataFile("/a", "Runs")),)
    known = {("/a", "Events"): info(10), ("/a", "Runs"): info(2)}
    found = work_items(fileset, known, cut())
    assert [(item.treename, item.entrystop) for item in found] == [("Events", 10), ("Runs", 2)]


def test_steps_are_taken_as_they_are_whatever_the_chunksize() -> None:
    fileset = (dataset("DY", DataFile("/a", "Events", steps=((0, 7), (40, 100)))),)
    for each in (cut(10), cut(10, align=True)):
        assert ranges(work_items(fileset, infos(fileset, info(100, [0, 50, 100])), each)) == [
            ("/a", 0, 7),
            ("/a", 40, 100),
        ]


def test_steps_beyond_the_file_are_a_fault_that_names_each_file() -> None:
    fileset = (
        dataset("DY", DataFile("/a", "Events", steps=((0, 100),)), DataFile("/b", "Events", steps=((0, 101),))),
        dataset("TT", DataFile("/c", "Events", steps=((50, 120), (0, 50)))),
    )
    with pytest.raises(CfgError) as caught:
        work_items(fileset, infos(fileset, info(100)), cut())
    assert str(caught.value).splitlines()[1:] == [
        "  dataset 'DY': /b has 100 entries, its steps go to 101",
        "  dataset 'TT': /c has 100 entries, its steps go to 120",
    ]


def test_metadata_are_those_of_now_although_the_numbers_are_known() -> None:
    fileset = (dataset("DY", "/a", metadata=MappingProxyType({"xsec": 1.0})),)
    known = infos(fileset, info(10))
    assert work_items(fileset, known, cut())[0].usermeta == {"xsec": 1.0}
    changed = (dataclasses.replace(fileset[0], metadata=MappingProxyType({"xsec": 2.0, "new": True})),)
    assert work_items(changed, known, cut())[0].usermeta == {"xsec": 2.0, "new": True}


def test_reading_goes_on_after_a_file_that_cannot_be_read() -> None:
    fileset = (dataset("DY", "/a", "/bad", "/c"),)

    def read(item: Any) -> FileInfo:
        if item.filename == "/bad":
            raise ValueError("not a ROOT file")
        return info(len(item.filename))

    told: list[tuple[int, int]] = []
    found, failures = read_metadata(
        needed(fileset, cut()),
        read,  # type: ignore[arg-type]  # any function of a FileMeta
        SerialPool(),
        Policy(),
        lambda done, total: told.append((done, total)),
    )
    assert found == {("/a", "Events"): info(2), ("/c", "Events"): info(2)}
    (failure,) = failures
    assert (failure.dataset, failure.file, failure.entries, failure.kind) == ("DY", "/bad", "all", FaultKind.USER)
    assert told == [(1, 3), (2, 3), (3, 3)]


def test_metadata_are_read_from_a_replica_under_the_files_own_name() -> None:
    fileset = (dataset("DY", DataFile("/one", "Events", ("/two",))),)
    asked: list[str] = []

    def read(item: Any) -> FileInfo:
        asked.append(item.filename)
        if item.filename == "/one":
            raise OSError("busy")
        return info(10)

    found, failures = read_metadata(
        needed(fileset, cut()),
        read,  # type: ignore[arg-type]  # any function of a FileMeta
        SerialPool(),
        Policy(retries=1),
        lambda done, total: None,
    )
    assert asked == ["/one", "/two"]
    assert (found, failures) == ({("/one", "Events"): info(10)}, [])
