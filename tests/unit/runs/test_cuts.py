"""Where files were cut is kept beside the ledger, and what is damaged there costs a cut and no run."""

from __future__ import annotations

from pathlib import Path

import pytest

from pocket_exec.runs.cuts import NAME, read_cuts, write_cuts

FIRST = {("00ff", "Events"): (100, 260)}
SECOND = {("00ff", "Runs"): (1,), ("11aa", "Events"): (0,)}


def test_cuts_of_several_runs_are_kept_together_and_the_newest_counts(tmp_path: Path) -> None:
    assert read_cuts(tmp_path) == {}
    write_cuts(tmp_path, FIRST)
    write_cuts(tmp_path, SECOND)
    assert read_cuts(tmp_path) == {**FIRST, **SECOND}
    write_cuts(tmp_path, {("00ff", "Events"): (260,)})
    assert read_cuts(tmp_path) == {**SECOND, ("00ff", "Events"): (260,)}


def test_what_is_there_already_is_not_written_again(tmp_path: Path) -> None:
    write_cuts(tmp_path, {**FIRST, **SECOND})
    before = (tmp_path / NAME).stat().st_ino
    write_cuts(tmp_path, {file: list(ends) for file, ends in FIRST.items()})
    assert (tmp_path / NAME).stat().st_ino == before


@pytest.mark.parametrize("content", ["", '{"version": 2', "[]", '{"version": 2, "files": [{"uuid": "00ff"}]}', "\x00"])
def test_a_damaged_file_is_named_and_made_anew(content: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / NAME).write_text(content)
    write_cuts(tmp_path, FIRST)
    assert f"{tmp_path / NAME} is not used" in caplog.text
    assert read_cuts(tmp_path) == FIRST


def test_a_digit_that_has_changed_is_found(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    write_cuts(tmp_path, FIRST)
    content = (tmp_path / NAME).read_text()
    (tmp_path / NAME).write_text(content.replace("100", "101"))
    assert read_cuts(tmp_path) == {}
    assert "its checksum is wrong" in caplog.text


def test_a_file_of_another_version_is_not_read(tmp_path: Path) -> None:
    (tmp_path / NAME).write_text('{"version": 9, "files": "elsewhere"}')
    assert read_cuts(tmp_path) == {}
