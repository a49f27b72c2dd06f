"""The output directory of one run."""

from __future__ import annotations

import os
from pathlib import Path
from types import SimpleNamespace

import pytest

from pocket_exec.errors import OutputDirectoryError
from pocket_exec.runs.directory import OutputDirectory


def listing(path: Path) -> list[str]:
    return sorted(str(p.relative_to(path)) for p in path.rglob("*"))


@pytest.mark.parametrize("word", ["plain", "a b", "a'; echo x", 'q"=0"', "$(id)", "%h", "a::b"])
def test_a_directory_is_made_with_its_parents_and_holds_nothing_but_the_lock(tmp_path: Path, word: str) -> None:
    with OutputDirectory.open(tmp_path / word / "out") as out:
        assert listing(out.path) == ["run.lock"]
        assert out.path == tmp_path / word / "out"
    assert listing(tmp_path) == [word, f"{word}/out"]


def test_what_is_in_a_directory_stays(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with OutputDirectory.open(tmp_path):
        pass
    assert listing(tmp_path) == ["notes.txt"]


def test_a_relative_directory_outlives_a_change_of_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with OutputDirectory.open(Path("out")) as out:
        os.chdir("/")
        assert out.record_path == tmp_path / "out" / "run.json"
    assert listing(tmp_path) == ["out"]


def test_a_link_to_a_directory_is_used(tmp_path: Path) -> None:
    (tmp_path / "eos").mkdir()
    (tmp_path / "out").symlink_to("eos")
    with OutputDirectory.open(tmp_path / "out"):
        assert listing(tmp_path / "eos") == ["run.lock"]


def test_leftovers_of_a_killed_run_are_swept(tmp_path: Path) -> None:
    (tmp_path / ".pocket-exec-0123456789abcdef.tmp").touch()
    with OutputDirectory.open(tmp_path):
        pass
    assert listing(tmp_path) == []


@pytest.mark.parametrize("use", [OutputDirectory.check, lambda path: OutputDirectory.open(path).__enter__()])
class TestFaults:
    """Each is told before a run, by looking and by opening."""

    def test_a_file_is_refused(self, tmp_path: Path, use: object) -> None:
        (tmp_path / "out").write_text("mine")
        self.told(use, tmp_path / "out", "out is a file, not a directory")
        self.told(use, tmp_path / "out" / "below", "out is a file, not a directory")

    def test_a_dangling_link_is_refused(self, tmp_path: Path, use: object) -> None:
        (tmp_path / "out").symlink_to("gone")
        self.told(use, tmp_path / "out", "out is a link to gone, which is not there")

    def test_a_read_only_file_system_is_refused(
        self, tmp_path: Path, use: object, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        answer = SimpleNamespace(f_flag=os.ST_RDONLY, f_bavail=10**9, f_frsize=1, f_blocks=10**9)
        monkeypatch.setattr(os, "statvfs", lambda _: answer)
        self.told(use, tmp_path / "out", f"the file system of {tmp_path} is read-only")

    def test_a_directory_one_may_not_write_to_is_refused(
        self, tmp_path: Path, use: object, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(os, "access", lambda *_: False)
        self.told(use, tmp_path / "out", f"you may not write to {tmp_path}; give another one")

    def test_another_runs_lock_is_refused(self, tmp_path: Path, use: object) -> None:
        with OutputDirectory.open(tmp_path):
            self.told(use, tmp_path, "in use by another run", ["run.lock"])

    def told(self, use: object, path: Path, words: str, left: list[str] | None = None) -> None:
        assert callable(use)
        parent = path if left else path.parent
        before = listing(parent) if parent.is_dir() else []
        with pytest.raises(OutputDirectoryError, match=words):
            use(path)
        assert (listing(parent) if parent.is_dir() else []) == before


def test_a_file_system_without_room_is_refused_before_anything_is_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer = SimpleNamespace(f_flag=0, f_bavail=3, f_frsize=4096, f_blocks=10**6)
    monkeypatch.setattr(os, "statvfs", lambda _: answer)
    for use in (OutputDirectory.check, lambda path: OutputDirectory.open(path).__enter__()):
        with pytest.raises(OutputDirectoryError, match=r"12.3 kB free, 1.0 MB needed; make room"):
            use(tmp_path / "new" / "out")
    assert listing(tmp_path) == []


def test_a_file_system_that_gives_no_numbers_is_not_full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    answer = SimpleNamespace(f_flag=0, f_bavail=0, f_frsize=0, f_blocks=0)
    monkeypatch.setattr(os, "statvfs", lambda _: answer)
    OutputDirectory.check(tmp_path)


def test_check_makes_nothing(tmp_path: Path) -> None:
    out = OutputDirectory.check(tmp_path / "new" / "out")
    assert out.path == tmp_path / "new" / "out"
    assert listing(tmp_path) == []


def test_a_directory_made_for_a_run_that_could_not_begin_is_taken_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OutputDirectoryError("held")

    monkeypatch.setattr("pocket_exec.runs.directory.held_lock", refuse)
    with pytest.raises(OutputDirectoryError, match="held"), OutputDirectory.open(tmp_path / "a" / "b"):
        pass
    assert listing(tmp_path) == []


def test_an_exception_in_the_run_releases_the_lock_and_keeps_what_is_there(tmp_path: Path) -> None:
    def run() -> None:
        with OutputDirectory.open(tmp_path / "out") as out:
            (out.path / "output_DY.coffea").touch()
            raise ValueError("from the run")

    with pytest.raises(ValueError, match="from the run"):
        run()
    assert listing(tmp_path / "out") == ["output_DY.coffea"]


def test_a_name_that_is_too_long_is_refused_and_its_parents_are_taken_away(tmp_path: Path) -> None:
    with (
        pytest.raises(OutputDirectoryError, match="File name too long"),
        OutputDirectory.open(tmp_path / "a" / ("x" * 256)),
    ):
        pass
    assert listing(tmp_path) == []
