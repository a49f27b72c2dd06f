"""A signal ends a run in order: what is there is saved, what was started is ended, the status says which signal."""

from __future__ import annotations

import json
import os
import pty
import select
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import psutil
import pytest
from coffea.util import load

from tests.contract.conftest import Named

CFG = Path(__file__).parent / "analyses" / "slow.py"


def started(named: Named, directory: Path, file: Path) -> subprocess.Popen[bytes]:
    """Start a run and wait until it has a chunk and is at one that is slow."""
    sign = directory / "slow now"
    environment = {**os.environ, "SLOW_FILE": str(file), "SLOW_SIGN": str(sign)}
    command = [sys.executable, "-c", "from pocket_exec.cli import runner; runner()"]
    command += ["--cfg", str(CFG), "-o", str(directory / "out"), *named.arguments]
    with (directory / "stderr").open("wb") as err:
        process = subprocess.Popen(
            command, env=environment, stderr=err, stdout=subprocess.DEVNULL, cwd=directory, start_new_session=True
        )
    end = time.monotonic() + 180
    while not half_way(directory):
        assert process.poll() is None, (directory / "stderr").read_text()
        assert time.monotonic() < end, (directory / "stderr").read_text()
        time.sleep(0.05)
    return process


def half_way(directory: Path) -> bool:
    """Whether the client has a chunk, and the run is at one that is slow."""
    return (directory / "slow now").exists() and any((directory / "out" / "ledger").glob("*.blocks"))


@pytest.fixture
def file(zmumu_files: dict[str, list[Path]]) -> Path:
    """A file with a few hundred events."""
    return next(iter(zmumu_files.values()))[0]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_saves_what_is_there(named: Named, number: signal.Signals, tmp_path: Path, file: Path) -> None:
    process = started(named, tmp_path, file)
    family = psutil.Process(process.pid).children(recursive=True)
    process.send_signal(number)
    status = process.wait(120)
    # A scheduler of somebody else's goes on with the chunk that it was at: nobody else's work is killed.
    (tmp_path / "slow now").unlink()
    assert status == 128 + number, (tmp_path / "stderr").read_text()
    _, alive = psutil.wait_procs(family, 20)
    assert [child for child in alive if "resource_tracker" not in " ".join(child.cmdline())] == []
    out = tmp_path / "out"
    names = sorted(path.name for path in out.iterdir() if path.name != "dask-report.html")
    assert names == ["ledger", "log", "output_DY.partial.coffea", "output_all.partial.coffea", "run.json"]
    events = load(out / "output_DY.partial.coffea")["events"]
    record = json.loads((out / "run.json").read_text())
    assert record["status"] == {"code": 128 + number, "word": "interrupted"}
    assert record["interrupted"] == number.name
    assert record["datasets"][0]["events_done"] == events > 0
    assert "run the same command again" in (tmp_path / "stderr").read_text()
    assert f"interrupted (status {128 + number})" in (out / "log" / "runner.log").read_text().splitlines()[-1]


def test_ctrl_c_in_a_terminal_is_answered_by_the_run_alone(named: Named, tmp_path: Path, file: Path) -> None:
    process = started(named, tmp_path, file)
    # As a terminal does: to every process of the foreground.
    os.killpg(process.pid, signal.SIGINT)
    (tmp_path / "slow now").unlink()
    status = process.wait(120)
    told = (tmp_path / "stderr").read_text()
    assert status == 128 + signal.SIGINT, told
    assert "Traceback" not in told
    assert "KeyboardInterrupt" not in told


def test_a_closed_terminal_saves_what_is_there(tmp_path: Path, file: Path) -> None:
    master, terminal = pty.openpty()
    sign = tmp_path / "slow now"
    environment = {**os.environ, "SLOW_FILE": str(file), "SLOW_SIGN": str(sign), "TERM": "xterm"}
    process = subprocess.Popen(
        [
            sys.executable,
            "-c",
            TAKES_TERMINAL,
            "--cfg",
            str(CFG),
            "-o",
            str(tmp_path / "out"),
            "-e",
            "futures",
            "-s",
            "2",
        ],
        env=environment,
        stdin=terminal,
        stdout=terminal,
        stderr=terminal,
        start_new_session=True,
    )
    os.close(terminal)
    reader = threading.Thread(target=swallow, args=(master, tmp_path), daemon=True)
    reader.start()
    try:
        end = time.monotonic() + 120
        while not half_way(tmp_path):
            assert process.poll() is None
            assert time.monotonic() < end
            time.sleep(0.05)
        reader.join(60)
        os.close(master)
        # An interactive shell passes on what the terminal has sent already.
        time.sleep(0.1)
        process.send_signal(signal.SIGHUP)
        assert process.wait(60) == 128 + signal.SIGHUP
    finally:
        process.kill()
        sign.unlink(missing_ok=True)
    record = json.loads((tmp_path / "out" / "run.json").read_text())
    assert record["status"] == {"code": 128 + signal.SIGHUP, "word": "interrupted"}
    assert (tmp_path / "out" / "output_all.partial.coffea").exists()


TAKES_TERMINAL = """
import fcntl, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
from pocket_exec.cli import runner
runner()
"""


def swallow(master: int, directory: Path) -> None:
    """Read what a terminal shows, until the run is in its slow part."""
    while not half_way(directory):
        if select.select([master], [], [], 0.1)[0]:
            os.read(master, 65536)


INTERRUPTED_AT = """
import importlib, os, pathlib, signal, sys, time
if __name__ == "__main__":
    module, kind, name = sys.argv.pop(1).split(":")
    kind = getattr(importlib.import_module(module), kind)
    before = getattr(kind, name)

    async def interrupted(self, *args, **kwargs):
        setattr(kind, name, before)
        pathlib.Path(__file__).with_suffix(".at").write_text(f"{time.monotonic()}")
        os.kill(os.getpid(), signal.SIGINT)
        return await before(self, *args, **kwargs)

    setattr(kind, name, interrupted)
    from pocket_exec.cli import runner
    sys.exit(runner())
"""
"""The command line; the first time that a method of Dask's is called, there is a Ctrl-C."""


@pytest.mark.parametrize(
    ("named", "moment"),
    [
        *(
            (executor, moment)
            for executor in ("dask", "dask@slurm")
            for moment in (
                "distributed.scheduler:Scheduler:start_unsafe",
                "distributed.deploy.spec:SpecCluster:_correct_state_internal",
                "distributed.client:Client:_start",
                "distributed.client:Client:_ensure_connected",
            )
        ),
        ("dask", "distributed.nanny:Nanny:instantiate"),
        ("dask@tcp", "distributed.client:Client:_ensure_connected"),
    ],
    indirect=["named"],
)
def test_ctrl_c_while_the_workers_are_started_leaves_nothing_and_takes_no_minute(
    named: Named, moment: str, tmp_path: Path, file: Path
) -> None:
    program = tmp_path / "interrupted_at.py"
    program.write_text(INTERRUPTED_AT)
    words = [sys.executable, str(program), moment, "--cfg", str(CFG), "-o", str(tmp_path / "out"), *named.arguments]
    environment = {**os.environ, "SLOW_FILE": str(file), "SLOW_SIGN": str(tmp_path / "slow now")}
    done = subprocess.run(
        words, env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=150, check=False
    )
    ended = time.monotonic()
    assert done.returncode == 128 + signal.SIGINT, done.stderr
    # Without what it takes to get there.
    assert ended - float(program.with_suffix(".at").read_text()) < 45
    assert done.stderr.splitlines()[-1].startswith("interrupted; ")
    assert "Traceback" not in done.stderr
