"""What is known of a file counts as long as the file is the same, and the cache never costs a run."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pocket_exec.engine import metadata_cache
from pocket_exec.engine.metadata import FileInfo, file_stamp
from pocket_exec.engine.metadata_cache import VERSION, Key, MetadataCache, default_path

UUID = bytes(range(16))
KEY = ("/a.root", "Events")


def info(entries: int = 10, stamp: str | None = "1:2", clusters: tuple[int, ...] | None = None) -> FileInfo:
    return FileInfo(entries, UUID, clusters, stamp)


def saved(path: Path, found: dict[Key, FileInfo]) -> None:
    cache = MetadataCache.load(path)
    cache.keep(found)
    cache.save()


def found(path: Path, stamp: str | None = "1:2", key: Key = KEY, *, clusters: bool = False) -> FileInfo | None:
    return MetadataCache.load(path).find(key, stamp, clusters=clusters)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "cache" / "files.json"


def test_what_was_kept_is_found_by_the_next_run(path: Path) -> None:
    saved(path, {KEY: info()})
    assert found(path) == info()


@pytest.mark.parametrize("stamp", ["1:3", "", None])
def test_a_file_that_changed_or_cannot_be_stamped_is_not_known(path: Path, stamp: str | None) -> None:
    saved(path, {KEY: info()})
    assert found(path, stamp) is None


def test_a_file_without_a_stamp_is_not_kept(path: Path) -> None:
    saved(path, {KEY: info(stamp=None)})
    assert not path.exists()


def test_the_tree_is_part_of_the_name(path: Path) -> None:
    saved(path, {KEY: info(10), ("/a.root", "Runs"): info(1)})
    assert found(path, key=("/a.root", "Runs")) == info(1)
    assert found(path, key=("/a.root", "Other")) is None


def test_clusters_are_needed_only_where_they_are_asked_for(path: Path) -> None:
    saved(path, {KEY: info()})
    assert found(path, clusters=True) is None
    saved(path, {KEY: info(clusters=(0, 5, 10))})
    assert found(path, clusters=True) == info(clusters=(0, 5, 10))
    assert found(path, clusters=False) == info()


def test_a_cache_that_is_not_there_is_empty(path: Path) -> None:
    assert not MetadataCache.load(path).known(KEY)


ENTRY = {"file": KEY[0], "tree": KEY[1], "entries": 10, "uuid": UUID.hex(), "clusters": None, "stamp": "1:2"}


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b'{"version": 1, "files": [{"fi',
        b"\xff\xfe\x00",
        b"null",
        b"[]",
        b'{"version": 1}',
        b'{"version": 1, "files": 3}',
        b'{"version": 1, "files": [3]}',
        b'{"version": 1, "files": [{}]}',
        json.dumps({"version": VERSION + 1, "files": [ENTRY]}).encode(),
    ],
)
def test_a_cache_that_is_torn_or_of_another_version_is_made_anew(path: Path, content: bytes) -> None:
    path.parent.mkdir()
    path.write_bytes(content)
    assert found(path) is None
    saved(path, {KEY: info()})
    assert found(path) == info()


@pytest.mark.parametrize("lacking", ["entries", "uuid", "stamp", "clusters"])
def test_an_entry_that_lacks_something_is_not_known(path: Path, lacking: str) -> None:
    path.parent.mkdir()
    entry = {name: value for name, value in ENTRY.items() if name != lacking}
    path.write_text(json.dumps({"version": VERSION, "files": [entry]}))
    assert found(path, clusters=lacking == "clusters") is None


@given(st.sampled_from(sorted(ENTRY)), st.one_of(st.none(), st.integers(), st.text(), st.lists(st.integers())))
def test_an_entry_with_nonsense_in_it_breaks_nothing(field: str, value: Any) -> None:
    cache = MetadataCache(Path("/nowhere"), {KEY: {**ENTRY, field: value}})
    got = cache.find(KEY, "1:2", clusters=True)
    assert got is None or isinstance(got.entries, int)


def test_two_runs_at_the_same_time_keep_what_both_have_read(path: Path) -> None:
    one, two = MetadataCache.load(path), MetadataCache.load(path)
    one.keep({KEY: info()})
    two.keep({("/b.root", "Events"): info(20)})
    one.save()
    two.save()
    assert found(path) == info()
    assert found(path, key=("/b.root", "Events")) == info(20)


def test_a_run_does_not_put_its_older_knowledge_over_the_news_of_another(path: Path) -> None:
    saved(path, {KEY: info(10, "old")})
    slow = MetadataCache.load(path)
    saved(path, {KEY: info(20, "new")})
    slow.keep({("/b.root", "Events"): info()})
    slow.save()
    assert found(path, "new") == info(20, "new")


def test_nothing_is_written_where_nothing_changed(path: Path) -> None:
    saved(path, {KEY: info()})
    before = path.stat().st_ino
    cache = MetadataCache.load(path)
    cache.find(KEY, "1:2", clusters=False)
    cache.save()
    assert path.stat().st_ino == before


def test_the_cache_is_replaced_whole_and_leaves_no_other_file(path: Path) -> None:
    for number in range(3):
        saved(path, {(f"/{number}.root", "Events"): info()})
    assert [each.name for each in path.parent.iterdir()] == ["files.json"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_directory_that_cannot_be_written_costs_nothing_but_the_cache(tmp_path: Path) -> None:
    locked = tmp_path / "locked"
    locked.mkdir(mode=0o500)
    saved(locked / "files.json", {KEY: info()})
    assert list(locked.iterdir()) == []


@pytest.mark.parametrize("below", ["file/files.json", "file/deeper/files.json"])
def test_a_place_that_is_no_directory_costs_nothing_but_the_cache(tmp_path: Path, below: str) -> None:
    (tmp_path / "file").write_text("not a directory")
    saved(tmp_path / below, {KEY: info()})
    assert found(tmp_path / below) is None


def test_entries_that_were_not_used_for_the_longest_time_go_first(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metadata_cache, "LARGEST", 2)
    for day, name in [("2026-01-01", "old"), ("2026-01-02", "older use"), ("2026-01-03", "new")]:
        monkeypatch.setattr(metadata_cache, "_today", lambda day=day: day)
        cache = MetadataCache.load(path)
        cache.find(("old", "Events"), "1:2", clusters=False)
        cache.keep({(name, "Events"): info()})
        cache.save()
    assert [found(path, key=(name, "Events")) for name in ("old", "older use", "new")] == [info(), None, info()]


def test_on_one_day_the_newest_entries_stay(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metadata_cache, "LARGEST", 2)
    for name in ("a", "b", "c"):
        saved(path, {(name, "Events"): info()})
    assert [found(path, key=(name, "Events")) is not None for name in ("a", "b", "c")] == [False, True, True]


def test_hostile_names_are_kept(hostile: str, path: Path) -> None:
    key = (f"/{hostile}/\udcff.root", hostile)
    saved(path, {key: info()})
    assert found(path, key=key) == info()


def test_the_cache_lies_where_the_user_wants_caches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    if default_path().is_relative_to(tmp_path):  # not so on a Mac
        assert default_path() == tmp_path / "pocket-exec" / "files.json"


def test_the_stamp_of_a_file_changes_with_its_size_and_its_time(tmp_path: Path) -> None:
    path = tmp_path / "a.root"
    stamps = set()
    for content, time in [(b"a", 1), (b"ab", 1), (b"ab", 2)]:
        path.write_bytes(content)
        os.utime(path, (time, time))
        stamps.add(file_stamp(str(path)))
    assert len(stamps) == 3
    assert file_stamp(f"file://{path}") is not None


def test_a_file_that_is_not_there_has_no_stamp(tmp_path: Path) -> None:
    assert file_stamp(str(tmp_path / "missing.root")) is None
    assert file_stamp("nonsense://host/a.root") is None


def test_what_turned_out_to_be_wrong_is_forgotten_by_the_next_run_and_nothing_else(path: Path) -> None:
    other = ("/b.root", "Events")
    saved(path, {KEY: info(10), other: info(20)})
    cache = MetadataCache.load(path)
    cache.forget([KEY, ("/unknown.root", "Events")])
    cache.save()
    assert found(path) is None
    assert found(path, key=other) == info(20)


def test_what_was_forgotten_may_be_kept_again(path: Path) -> None:
    saved(path, {KEY: info(10)})
    cache = MetadataCache.load(path)
    cache.forget([KEY])
    cache.keep({KEY: info(11)})
    cache.save()
    assert found(path) == info(11)
