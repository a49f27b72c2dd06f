"""Where the logs and the private files of a run's jobs lie."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from pocket_exec.errors import ExecutorError
from pocket_exec.executors import run_places as run_places_module
from pocket_exec.executors.run_places import made, run_places
from tests.unit.batch.answers import TAG, htcondor_options


def test_logs_are_in_the_output_directory_and_private_files_below_them(tmp_path: Path) -> None:
    places = run_places(htcondor_options(), tmp_path / "out", TAG)
    assert places.logs == tmp_path / "out" / "log" / TAG
    assert places.private == tmp_path / "out" / "log" / TAG / "private"
    assert places.jobs_file == tmp_path / "out" / "log" / TAG / "jobs.json"


def test_without_an_output_directory_they_are_in_the_current_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    places = run_places(htcondor_options(), None, TAG)
    assert places.logs == tmp_path / "pocket-exec-logs" / TAG
    assert places.private.is_relative_to(places.logs)
    assert places.jobs_file.is_relative_to(places.logs)


def test_a_log_directory_takes_the_logs_alone_for_workers_need_not_see_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("USER", "ana")
    places = run_places(htcondor_options(log_directory="/tmp/$USER"), tmp_path / "out", TAG)
    assert places.logs == Path("/tmp/ana") / TAG
    assert places.private.is_relative_to(tmp_path / "out")


def test_it_takes_the_private_files_too_where_no_job_may_be_submitted_from_the_output_directory(tmp_path: Path) -> None:
    options = htcondor_options(no_submit_from=[str(tmp_path / "eos")], log_directory=str(tmp_path / "afs"))
    places = run_places(options, tmp_path / "eos" / "out", TAG)
    assert places.private.is_relative_to(tmp_path / "afs")


def test_the_private_directory_is_for_the_user_alone_and_goes(tmp_path: Path) -> None:
    places = run_places(htcondor_options(), tmp_path / "out", TAG)
    before = os.umask(0)
    try:
        with made(places):
            assert places.private.stat().st_mode & 0o777 == 0o700
            (places.private / "key.pem").touch()
            (places.logs / "0.err").touch()
    finally:
        os.umask(before)
    assert [path.name for path in places.logs.iterdir()] == ["0.err"]


def test_a_private_directory_in_which_a_job_still_writes_goes_a_little_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    places = run_places(htcondor_options(), tmp_path / "out", TAG)
    calls: list[Path] = []

    def too_early(path: Path, *, ignore_errors: bool) -> None:
        calls.append(path)
        if len(calls) > 2:
            rmtree(path, ignore_errors=ignore_errors)

    rmtree = shutil.rmtree
    monkeypatch.setattr(shutil, "rmtree", too_early)
    with made(places):
        (places.private / "key.pem").touch()
    assert not places.private.exists()


def test_a_private_directory_that_cannot_be_removed_is_told_with_what_it_holds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    places = run_places(htcondor_options(), tmp_path / "out", TAG)
    monkeypatch.setattr(run_places_module, "REMOVED_S", 0.0)
    monkeypatch.setattr(shutil, "rmtree", lambda path, *, ignore_errors: None)
    with made(places):
        (places.private / "key.pem").touch()
    assert caplog.messages == [f"{places.private}: cannot be removed; it still holds key.pem"]


def test_directories_in_which_nothing_was_left_go_and_others_of_the_users_stay(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with made(run_places(htcondor_options(), None, TAG)):
        assert (tmp_path / "pocket-exec-logs").is_dir()
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "logs").mkdir()
    with made(run_places(htcondor_options(log_directory=str(tmp_path / "logs")), None, TAG)):
        pass
    assert list((tmp_path / "logs").iterdir()) == []


def test_the_directory_of_the_list_of_jobs_goes_with_it_though_all_else_is_elsewhere(tmp_path: Path) -> None:
    options = htcondor_options(log_directory=str(tmp_path / "afs"), no_submit_from=[str(tmp_path / "eos")])
    places = run_places(options, tmp_path / "eos" / "out", TAG)
    assert places.jobs_file.parent not in (places.logs, places.private.parent)
    with made(places):
        places.jobs_file.parent.mkdir(parents=True)
    assert not places.jobs_file.parent.exists()


def test_a_place_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    options = htcondor_options(log_directory=str(tmp_path / "file"))
    with (
        pytest.raises(ExecutorError, match=f"log-directory: {tmp_path / 'file'}.*: Not a directory"),
        made(run_places(options, None, TAG)),
    ):
        pass
