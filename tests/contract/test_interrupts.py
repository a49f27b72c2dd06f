"""A signal is answered wherever it comes: in code that swallows it, while the executor is closed, before a result."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from coffea.util import load

from pocket_exec.interrupts import interrupts_raised
from tests.contract.command_line import COUNT, cfg_of

SWALLOWS = """\
import time
from pathlib import Path

from coffea.nanoevents import BaseSchema


def process(events):
    start = events.metadata["entrystart"]
    if start == 50:
        try:
            Path("now").touch()
            time.sleep(60)
        except:
            pass
    return {"starts": [start]}


schema = BaseSchema
processor = process
"""

CLOSES_SLOWLY = """\
import time
from pathlib import Path

from pocket_exec.executors import IterativeExecutorFactory


class Mine(IterativeExecutorFactory):
    def close(self):
        Path("now").touch()
        end = time.monotonic() + 60
        while not Path("signalled").exists() and time.monotonic() < end:
            time.sleep(0.02)
        Path("closed").touch()


def get_executor_factory(name, run_options, outputdir):
    return Mine(run_options, outputdir)
"""


SLEEPS = """\
import time
from pathlib import Path

from coffea.nanoevents import BaseSchema


def process(events):
    start = events.metadata["entrystart"]
    if start == 50:
        Path("now").touch()
        time.sleep(60)
    return {"starts": [start]}


schema = BaseSchema
processor = process
"""

OF_NO_EFFECT = """\
import dask_jobqueue
from pocket_exec.executors import IterativeExecutorFactory


def get_executor_factory(name, run_options, outputdir):
    return IterativeExecutorFactory(run_options, outputdir)
"""


@pytest.fixture
def file(zmumu_files: dict[str, list[Path]]) -> Path:
    """A file with a few hundred events."""
    return next(iter(zmumu_files.values()))[0]


def signalled(directory: Path, number: signal.Signals, *words: str) -> tuple[int, str]:
    """Run ``runner.py`` with the cfg.py in ``directory``, send the signal ``now``, and return status and stderr.

    Then there is a file ``signalled``, for what is to last until the signal.
    """
    command = [sys.executable, "-c", "from pocket_exec.cli import runner; runner()", "--cfg", "cfg.py", "-o", "out"]
    with (directory / "stderr").open("wb") as err:
        process = subprocess.Popen(
            [*command, *words], cwd=directory, stderr=err, stdout=subprocess.DEVNULL, env=dict(os.environ)
        )
    end = time.monotonic() + 60
    while not (directory / "now").exists():
        assert process.poll() is None, (directory / "stderr").read_text()
        assert time.monotonic() < end
        time.sleep(0.02)
    process.send_signal(number)
    (directory / "signalled").touch()
    return process.wait(50), (directory / "stderr").read_text()


def record(directory: Path) -> Any:
    return json.loads((directory / "out" / "run.json").read_text())


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_that_the_processor_swallows_stops_the_run_after_its_chunk(
    number: signal.Signals, file: Path, tmp_path: Path
) -> None:
    (tmp_path / "cfg.py").write_text(cfg_of({"DY": [file]}, text=SWALLOWS))
    status, told = signalled(tmp_path, number, "-c", "25")
    assert status == 128 + number, told
    assert "run the same command again" in told
    assert load(tmp_path / "out" / "output_DY.partial.coffea") == {"starts": [0, 25, 50]}
    assert record(tmp_path)["interrupted"] == number.name


@pytest.mark.parametrize("where", ["cfg.py", "beside cfg.py", "the processor", "the custom module"])
def test_ctrl_c_saves_what_is_there_when_the_users_code_imports_dask_jobqueue(
    where: str, file: Path, tmp_path: Path
) -> None:
    text = {
        "cfg.py": f"import dask_jobqueue\n{SLEEPS}",
        "beside cfg.py": f"import beside\n{SLEEPS}",
        "the processor": SLEEPS.replace("    start =", "    import dask_jobqueue\n\n    start ="),
        "the custom module": SLEEPS,
    }[where]
    (tmp_path / "cfg.py").write_text(cfg_of({"DY": [file]}, text=text))
    (tmp_path / "beside.py").write_text("import dask_jobqueue\n")
    (tmp_path / "mine.py").write_text(OF_NO_EFFECT)
    words = ["--executor-custom-setup", "mine.py"] if where == "the custom module" else []
    status, told = signalled(tmp_path, signal.SIGINT, "-c", "25", *words)
    assert status == 128 + signal.SIGINT, told
    assert load(tmp_path / "out" / "output_DY.partial.coffea") == {"starts": [0, 25]}
    assert record(tmp_path)["interrupted"] == "SIGINT"


def test_a_handler_of_the_users_own_is_installed_and_dask_jobqueues_is_not() -> None:
    before = signal.getsignal(signal.SIGINT), signal.signal
    with interrupts_raised():
        ours = signal.getsignal(signal.SIGINT)
        signal.signal(signal.SIGINT, _of("dask_jobqueue.runner"))
        assert signal.getsignal(signal.SIGINT) is ours
        signal.signal(signal.SIGINT, theirs := _of("processor"))
        assert signal.getsignal(signal.SIGINT) is theirs
    assert (signal.getsignal(signal.SIGINT), signal.signal) == before


def _of(module: str) -> Callable[[int, Any], None]:
    def handler(*_: object) -> None:
        pass

    handler.__module__ = module
    return handler


def test_a_signal_while_the_executor_is_closed_waits_for_that_and_the_results_are_whole(
    file: Path, tmp_path: Path
) -> None:
    (tmp_path / "cfg.py").write_text(cfg_of({"DY": [file]}, text=COUNT))
    (tmp_path / "mine.py").write_text(CLOSES_SLOWLY)
    words = ("--executor-custom-setup", "mine.py")
    status, told = signalled(tmp_path, signal.SIGTERM, *words)
    assert (tmp_path / "closed").exists()
    assert status == 143, told
    assert "Traceback" not in told
    assert sorted(path.name for path in (tmp_path / "out").glob("*.coffea")) == [
        "output_DY.coffea",
        "output_all.coffea",
    ]
    found = record(tmp_path)
    assert (found["status"]["code"], found["interrupted"]) == (143, "SIGTERM")
    assert sorted(row["file"] for row in found["outputs"]) == ["output_DY.coffea", "output_all.coffea"]
    assert not (tmp_path / "out" / "lock").exists()
    again = subprocess.run(
        [sys.executable, "-c", "from pocket_exec.cli import runner; runner()", "--cfg", "cfg.py", "-o", "out", *words],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (again.returncode, again.stdout.partition("\n")[0]) == (
        0,
        "All results are there already, made from the same content:",
    )


def test_a_signal_while_a_result_is_made_waits_until_it_is_written(file: Path, tmp_path: Path) -> None:
    text = COUNT.replace(
        "processor = Count()",
        "class Slow(Count):\n"
        "    def postprocess(self, accumulator):\n"
        "        import pathlib, time\n"
        "        pathlib.Path('now').touch()\n"
        "        time.sleep(5)\n"
        "        pathlib.Path('waited').touch()\n\n\n"
        "processor = Slow()",
    )
    (tmp_path / "cfg.py").write_text(cfg_of({"DY": [file]}, text=text))
    status, told = signalled(tmp_path, signal.SIGINT, "--process-separately")
    assert (tmp_path / "waited").exists()
    assert status == 130, told
    # It came while the one result was written: that is whole.
    assert [path.name for path in (tmp_path / "out").glob("*.coffea")] == ["output_DY.coffea"]


THREE_TIMES = """\
import os
import pty
import signal
import sys
from contextlib import suppress

from pocket_exec.interrupts import interrupts_raised

sys.stderr.write("\\x1b[?25lbars")
with interrupts_raised():
    for _ in range(3):
        with suppress(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
"""


def test_the_third_ctrl_c_leaves_a_terminal_with_its_cursor() -> None:
    master, terminal = pty.openpty()
    try:
        process = subprocess.Popen([sys.executable, "-c", THREE_TIMES], stderr=terminal, start_new_session=True)
        os.close(terminal)
        assert process.wait(120) == 128 + signal.SIGINT
        shown = ""
        with suppress(OSError):  # nobody has the terminal open any more
            while read := os.read(master, 65536):
                shown += read.decode()
    finally:
        os.close(master)
    assert shown.startswith("\x1b[?25lbars")
    assert shown.endswith("\n\x1b[?25h")
