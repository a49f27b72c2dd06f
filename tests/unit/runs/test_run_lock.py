"""One run at a time in a directory."""

from __future__ import annotations

import fcntl
import logging
import os
from pathlib import Path

import pytest

from pocket_exec.errors import OutputDirectoryError
from pocket_exec.runs import lock as lock_module
from pocket_exec.runs.holder import Holder, Life, life_of, this_process
from pocket_exec.runs.lock import check_lock, held_lock

DEAD_PID = 2**22 + 1
"""Above the largest pid that Linux gives."""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "run.lock"


@pytest.fixture(autouse=True)
def short_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lock_module, "_BEING_WRITTEN_S", 0.1)


def me(**changes: object) -> Holder:
    return this_process("runner.py --cfg cfg.py").model_copy(update=changes)


def put(path: Path, holder: Holder) -> None:
    path.write_text(holder.model_dump_json())


elsewhere = {"host": "lxplus801", "boot_id": "another", "pid": 4242}


def test_the_lock_says_who_holds_it_and_is_gone_afterwards(path: Path) -> None:
    with held_lock(path, "runner.py -o 'a b'") as holder:
        assert Holder.model_validate_json(path.read_text()) == holder
        assert (holder.pid, holder.command) == (os.getpid(), "runner.py -o 'a b'")
    assert not path.exists()


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit])
def test_the_lock_is_released_after_an_exception(path: Path, error: type[BaseException]) -> None:
    with pytest.raises(error), held_lock(path):
        raise error
    assert not path.exists()


def test_a_second_run_in_the_same_process_is_refused(path: Path) -> None:
    with held_lock(path, "first"):
        with (
            pytest.raises(OutputDirectoryError, match=f"this very process.*process {os.getpid()} .*first"),
            held_lock(path),
        ):
            pass
        assert path.exists()


def test_a_live_process_of_this_host_is_told_with_how_to_stop_it(path: Path) -> None:
    put(path, me(pid=1, process_start=""))
    with pytest.raises(
        OutputDirectoryError, match=r"on this host.*runner.py --cfg cfg.py; wait for it, stop it \(kill 1\)"
    ):
        check_lock(path)


def test_a_run_on_another_host_is_told_with_how_to_look_and_what_to_remove(path: Path) -> None:
    put(path, me(**elsewhere))
    with pytest.raises(OutputDirectoryError, match=f"ssh lxplus801 ps -fp 4242.*remove {path} and start again"):
        check_lock(path)
    with pytest.raises(OutputDirectoryError), held_lock(path):
        pass
    assert Holder.model_validate_json(path.read_text()).pid == 4242


def test_a_lock_whose_process_is_gone_is_taken_over_and_said_so(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    put(path, me(pid=DEAD_PID))
    check_lock(path)
    with held_lock(path) as holder:
        assert Holder.model_validate_json(path.read_text()) == holder
    assert f"process {DEAD_PID}" in caplog.text
    assert not path.exists()


def test_a_pid_that_another_process_has_now_counts_as_gone() -> None:
    assert life_of(me(pid=1, process_start="17"), me()) is Life.GONE


def test_a_holder_before_the_last_boot_of_this_host_is_gone() -> None:
    assert life_of(me(boot_id="before"), me()) is Life.GONE


def test_a_rebooted_localhost_may_be_another_machine() -> None:
    assert life_of(me(boot_id="before", host="localhost"), me(host="localhost")) is Life.UNKNOWN


def test_a_pid_of_another_container_cannot_be_judged() -> None:
    assert life_of(me(pid=DEAD_PID, pid_namespace="pid:[7]"), me()) is Life.UNKNOWN


def test_without_proc_the_pid_alone_tells(monkeypatch: pytest.MonkeyPatch) -> None:
    mac = {"boot_id": "", "pid_namespace": "", "process_start": ""}
    monkeypatch.setattr("pocket_exec.runs.holder._process", lambda _: ("", ""))
    assert life_of(me(**mac, pid=os.getppid()), me(**mac)) is Life.ALIVE
    assert life_of(me(**mac, pid=DEAD_PID), me(**mac)) is Life.GONE
    assert life_of(me(**mac, host="other"), me(**mac)) is Life.UNKNOWN


@pytest.mark.parametrize("text", ["", "{", "\0\0\0", '{"host": 1}', '{"pid": 0}'])
def test_a_torn_lock_is_nobodys_to_remove(path: Path, text: str) -> None:
    path.write_text(text)
    with pytest.raises(OutputDirectoryError, match=f"does not say whose it is; .*remove {path}"), held_lock(path):
        pass
    assert path.read_text() == text


def test_somebody_elses_lock_is_never_removed(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with held_lock(path):
        put(path, me(**elsewhere))
    assert Holder.model_validate_json(path.read_text()).host == "lxplus801"
    assert "no longer this run's lock" in caplog.text


def test_a_later_lock_of_the_same_process_is_not_removed_by_an_earlier_one(path: Path) -> None:
    with held_lock(path):
        put(path, me(token="another"))
    assert path.exists()


def test_a_lock_that_was_removed_by_hand_costs_a_warning_only(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with held_lock(path):
        path.unlink()
    assert "was removed while this run went on" in caplog.text


def test_a_forked_child_leaves_its_parents_lock(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch, held_lock(path):
        patch.setattr(os, "getpid", lambda: DEAD_PID)
    assert path.exists()


def test_a_stale_lock_that_another_start_is_removing_is_left_to_it(path: Path) -> None:
    put(path, me(pid=DEAD_PID))
    with path.open("r+") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        with pytest.raises(OutputDirectoryError, match="in use"), held_lock(path):
            pass


def test_the_lock_names_no_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["runner.py", "--tokenpassword", "hunter2", "-e", "dask@tls://me:hunter2@host"])
    assert this_process().command == "runner.py --tokenpassword '***' -e 'dask@tls://***@host'"


def test_a_lock_in_a_missing_directory_is_told(tmp_path: Path) -> None:
    with pytest.raises(OutputDirectoryError, match="cannot write"), held_lock(tmp_path / "gone" / "run.lock"):
        pass


def test_check_says_nothing_where_there_is_no_lock(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        check_lock(path)
    assert not caplog.records
