"""The guardian does what it was told once its client has gone, in whatever way, and only then."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from pocket_exec.batch.guardian import Guardian
from pocket_exec.errors import FarmError

CLIENT = """
import os, sys, time
from pathlib import Path
from pocket_exec.batch.guardian import Guardian

directory = Path(sys.argv[1])
guardian = Guardian(directory / "guardian.log")
guardian.start()
guardian.remove([directory / "key.pem", directory / "private"])
guardian.protect([["no-such-command"], ["false"], ["touch", str(directory / "cancelled a b")]])
if sys.argv[2] == "forks" and os.fork() == 0:
    os.close(1)
    time.sleep(20)
    os._exit(0)
if sys.argv[2] == "ends":
    guardian.protect()
    guardian.close()
print(guardian.pid, flush=True)
time.sleep(0 if sys.argv[2] == "ends" else 600)
"""


def until(true: Callable[[], bool], seconds: float = 10.0) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end
        time.sleep(0.02)


def client(directory: Path, way: str) -> tuple[subprocess.Popen[str], psutil.Process | None]:
    (directory / "key.pem").touch(mode=0o600)
    (directory / "private" / "deep").mkdir(parents=True)
    process = subprocess.Popen(
        [sys.executable, "-c", CLIENT, str(directory), way], stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    assert process.stdout is not None
    said = process.stdout.readline().strip()
    process.stdout.close()
    return process, psutil.Process(int(said)) if said.isdigit() else None


def stop(guardian: psutil.Process) -> None:
    """End a guardian that would repeat the command that fails."""
    guardian.kill()
    until(lambda: not guardian.is_running() or guardian.status() == psutil.STATUS_ZOMBIE)


@pytest.mark.parametrize("way", ["works", "forks"])
def test_it_acts_within_seconds_of_a_kill_whatever_else_holds_its_pipe(tmp_path: Path, way: str) -> None:
    process, guardian = client(tmp_path, way)
    assert guardian is not None
    children = psutil.Process(process.pid).children()
    assert not (tmp_path / "cancelled a b").exists()
    process.kill()
    process.wait(10)
    until(lambda: (tmp_path / "cancelled a b").exists() and not (tmp_path / "private").exists())
    assert not (tmp_path / "key.pem").exists()
    said = (tmp_path / "guardian.log").read_text()
    assert f"the run's process {process.pid} has gone" in said
    assert "no-such-command" in said
    assert "['false']: exit status 1" in said
    for child in children:
        if child.is_running():
            child.kill()
    stop(guardian)


def test_no_signal_of_a_terminal_or_a_shutdown_ends_it(tmp_path: Path) -> None:
    process, guardian = client(tmp_path, "works")
    assert guardian is not None
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        guardian.send_signal(number)
    time.sleep(0.2)
    assert guardian.is_running()
    assert guardian.cwd() == "/"
    process.kill()
    process.wait(10)
    until((tmp_path / "cancelled a b").exists)
    stop(guardian)


def test_it_does_nothing_and_ends_when_it_is_told_that_all_is_well(tmp_path: Path) -> None:
    process, _ = client(tmp_path, "ends")
    process.wait(10)
    assert not (tmp_path / "cancelled a b").exists()
    assert (tmp_path / "key.pem").exists()
    assert not (tmp_path / "guardian.log").exists()


def test_what_it_was_not_relieved_of_it_does_at_the_close(tmp_path: Path) -> None:
    with Guardian() as guardian:
        guardian.protect([["touch", str(tmp_path / "done")]])
        assert guardian.pid is not None
        process = psutil.Process(guardian.pid)
        time.sleep(0.2)
        assert not (tmp_path / "done").exists()
    until((tmp_path / "done").exists)
    until(lambda: not process.is_running() or process.status() == psutil.STATUS_ZOMBIE)


def test_a_log_that_cannot_be_written_stops_no_command(tmp_path: Path) -> None:
    with Guardian(tmp_path / "gone" / "guardian.log") as guardian:
        guardian.protect([["touch", str(tmp_path / "done")]])
        assert guardian.pid is not None
        process = psutil.Process(guardian.pid)
    until((tmp_path / "done").exists)
    until(lambda: not process.is_running() or process.status() == psutil.STATUS_ZOMBIE)


def test_one_way_that_succeeds_is_enough_and_all_are_gone(tmp_path: Path) -> None:
    with Guardian() as guardian:
        guardian.protect([["false"]], [["true"], ["touch", str(tmp_path / "done")]])
        assert guardian.pid is not None
        process = psutil.Process(guardian.pid)
    until((tmp_path / "done").exists)
    until(lambda: not process.is_running() or process.status() == psutil.STATUS_ZOMBIE)


def test_another_one_is_started_in_place_of_one_that_is_killed(tmp_path: Path) -> None:
    with Guardian() as guardian:
        guardian.remove([tmp_path / "key.pem"])
        first = guardian.pid
        assert first is not None
        psutil.Process(first).kill()
        psutil.Process(first).wait(10)
        guardian.protect()
        assert guardian.pid not in (None, first)


def test_its_death_is_noticed_when_there_is_nothing_to_tell_it(tmp_path: Path) -> None:
    with Guardian() as guardian:
        guardian.protect([["touch", str(tmp_path / "done")]])
        assert guardian.pid is not None
        first = guardian.pid
        psutil.Process(first).kill()

        def another() -> bool:
            guardian.check()
            return guardian.pid != first

        until(another)
    until((tmp_path / "done").exists)


def test_more_ids_than_a_pipe_holds_are_told(tmp_path: Path) -> None:
    with Guardian() as guardian:
        guardian.protect([["true", *(f"{number}.0@some.schedd.example.org" for number in range(20_000))]])
        guardian.protect([["touch", str(tmp_path / "done")]])
    until((tmp_path / "done").exists)


def test_a_python_that_does_not_start_is_told_before_anything_is_submitted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "executable", "/bin/false")
    with pytest.raises(FarmError, match="does not start: /bin/false"):
        Guardian().start()
