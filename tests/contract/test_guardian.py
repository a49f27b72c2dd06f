"""The guardian does what it was told once its client has gone, in whatever way, and only then."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from pocket_exec.batch import guardian_process
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


def until(true: Callable[[], bool], seconds: float = 60.0) -> None:
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
    with suppress(psutil.NoSuchProcess):
        guardian.kill()
    until(lambda: gone(guardian))


def gone(process: psutil.Process) -> bool:
    """Whether a process has ended; whose child it is by now may take it off the list at any moment."""
    try:
        return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


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
        with suppress(psutil.NoSuchProcess):
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
    until(lambda: gone(process))


def test_a_log_that_cannot_be_written_stops_no_command(tmp_path: Path) -> None:
    with Guardian(tmp_path / "gone" / "guardian.log") as guardian:
        guardian.protect([["touch", str(tmp_path / "done")]])
        assert guardian.pid is not None
        process = psutil.Process(guardian.pid)
    until((tmp_path / "done").exists)
    until(lambda: gone(process))


def test_one_way_that_succeeds_is_enough_and_all_are_gone(tmp_path: Path) -> None:
    with Guardian() as guardian:
        guardian.protect([["false"]], [["true"], ["touch", str(tmp_path / "done")]])
        assert guardian.pid is not None
        process = psutil.Process(guardian.pid)
    until((tmp_path / "done").exists)
    until(lambda: gone(process))


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


TICKETS = """
import sys, time
from pathlib import Path
from pocket_exec.batch.guardian import Guardian

guardian = Guardian()
guardian.start()
read = 'cd "$1"; file=${KRB5CCNAME#FILE:}; cat "$file" > part; stat -c %a "$file" >> part; mv part seen'
guardian.protect([["sh", "-c", read, "sh", sys.argv[1]]])
print(guardian.pid, flush=True)
time.sleep(600)
"""


def test_the_tickets_that_go_with_the_terminal_are_there_for_the_commands(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tickets = tmp_path / "krb5cc"
    tickets.write_text("a ticket\n")
    monkeypatch.setenv("KRB5CCNAME", f"FILE:{tickets}")
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    process = subprocess.Popen([sys.executable, "-c", TICKETS, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    with process.stdout:
        guardian = psutil.Process(int(process.stdout.readline()))
    time.sleep(2)
    tickets.unlink()
    process.kill()
    process.wait(10)
    until((tmp_path / "seen").exists)
    assert (tmp_path / "seen").read_text() == "a ticket\n600\n"
    until(lambda: gone(guardian))
    assert list(tmp_path.glob("pocket-exec-ticket-*")) == []


def test_it_goes_on_until_the_batch_system_is_there_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guardian_process, "rounds", lambda: iter((0, 0.01, 0.02, 0.03, 0.04, 0.05)))
    log, queue = tmp_path / "log", tmp_path / "tries"
    command = ["sh", "-c", f"echo >> {queue}; test $(wc -l < {queue}) -ge 4"]
    orders: dict[str, object] = {"ways": [[command]], "log": str(log)}
    guardian_process.carry_out(guardian_process.Orders(orders), 1)
    assert queue.read_text().count("\n") == 4
    assert log.read_text().endswith("guardian: done: no job is left\n")
    orders = {"ways": [[["false"]]], "log": str(log)}
    guardian_process.carry_out(guardian_process.Orders(orders), 1)
    assert "there may be jobs left" in log.read_text().splitlines()[-1]


def test_a_submission_that_outlives_its_client_is_looked_for_longer_than_its_command_may_run(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = 1000.0

    def sleep(seconds: float) -> None:
        nonlocal now
        now += seconds

    monkeypatch.setattr(time, "sleep", sleep)
    monkeypatch.setattr(time, "monotonic", lambda: now)
    monkeypatch.setattr(guardian_process, "one_round", lambda commands, orders: commands)
    guardian_process.carry_out(guardian_process.Orders({"ways": [[["true"]]], "submitting": True}), 1)
    # sbatch gives up after two minutes, and the controller may take it some time later.
    assert now - 1000.0 >= 240.0


ONE_JOB_MORE = "echo >> {tries}; case $(wc -l < {tries}) in 1) echo 12 ;; 2) exit 1 ;; esac"


def test_that_there_is_nothing_to_cancel_is_no_fault_once_the_queue_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(guardian_process, "rounds", lambda: iter((0, 0.01, 0.02, 0.03, 0.04, 0.05)))
    log, tries, jobs_file = tmp_path / "log", tmp_path / "tries", tmp_path / "jobs.json"
    jobs_file.touch()
    queries = [["true"], ["sh", "-c", ONE_JOB_MORE.format(tries=tries)]]
    orders: dict[str, object] = {"ways": [[["false"]]], "left": queries, "log": str(log), "jobs_file": str(jobs_file)}
    guardian_process.carry_out(guardian_process.Orders(orders), 1)
    # A job is listed, then the query fails, then there is none.
    assert tries.read_text().count("\n") == 3
    assert log.read_text().endswith("guardian: done: no job is left\n")
    assert not jobs_file.exists()


def test_a_queue_that_cannot_be_asked_is_not_empty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guardian_process, "rounds", lambda: iter((0, 0.01, 0.02, 0.03)))
    log, jobs_file = tmp_path / "log", tmp_path / "jobs.json"
    jobs_file.touch()
    for query in (["no-such-command"], ["false"], ["echo", "12"]):
        orders: dict[str, object] = {"ways": [[["false"]]], "left": [["true"], query], "log": str(log)}
        guardian_process.carry_out(guardian_process.Orders({**orders, "jobs_file": str(jobs_file)}), 1)
        assert "there may be jobs left" in log.read_text().splitlines()[-1]
    assert jobs_file.exists()


def test_commands_get_their_variables_and_nobody_else_sees_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SCANCEL_STATE", "PENDING")
    with Guardian(tmp_path / "log") as guardian:
        command = ["sh", "-c", 'echo "$BEARER_TOKEN, ${SCANCEL_STATE-none}" >"$1.part"; mv "$1.part" "$1"', "sh"]
        variables = {"BEARER_TOKEN": "hunter2", "SCANCEL_STATE": None}
        guardian.protect([[*command, str(tmp_path / "seen")]], environment=variables)
        assert guardian.pid is not None
        process = psutil.Process(guardian.pid)
        assert "hunter2" not in " ".join([*process.cmdline(), *process.environ().values()])
    until((tmp_path / "seen").exists)
    assert (tmp_path / "seen").read_text() == "hunter2, none\n"
    until(lambda: gone(process))
    assert "hunter2" not in (tmp_path / "log").read_text()


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
