"""The supervised cluster on a real HTCondor and a real Slurm: one submission, losses made good, nothing left."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from tests.farm_build.farm import Farm

pytestmark = pytest.mark.farm

CHECKOUT = Path(__file__).parents[2]
WORKERS = 4


@pytest.fixture(params=["htcondor", "slurm"])
def system(request: pytest.FixtureRequest) -> str:
    """Each batch system of the farm in turn."""
    name: str = request.param
    return name


def client(farm: Farm, system: str, way: str, directory: Path) -> subprocess.Popen[str]:
    """Start a client, whose pid is its own."""
    words: list[str | Path] = [farm.python, "-m", "tests.farm.supervised_client", system, f"{WORKERS}", way, directory]
    return farm.popen(words, cwd=CHECKOUT, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def told(farm: Farm, system: str, way: str, directory: Path) -> tuple[dict[str, Any], str]:
    """Run a client to its end, and return all that it has seen, and its messages."""
    with client(farm, system, way, directory) as process:
        out, err = process.communicate(timeout=150)
    assert process.returncode == 0, err
    seen: dict[str, Any] = {}
    for line in out.splitlines():
        seen |= json.loads(line)
    return seen, err


def in_queue(farm: Farm, system: str) -> list[str]:
    """Return the user's jobs."""
    return farm.condor_jobs() if system == "htcondor" else farm.slurm_jobs()


def test_jobs_that_are_removed_or_held_are_replaced_and_the_close_is_quiet(
    farm: Farm, system: str, shared_dir: Path
) -> None:
    seen, messages = told(farm, system, "works", shared_dir)
    assert seen["sum"] == sum(range(1, 301))
    assert seen["close_s"] < 30
    assert "Traceback" not in messages
    assert "distributed" not in messages
    left = {path.name for path in (shared_dir / "log").iterdir()}
    assert not left & {"jobs.json", "guardian.log"}


def test_workers_that_cannot_start_are_told_with_what_their_logs_say(farm: Farm, system: str, shared_dir: Path) -> None:
    seen, _ = told(farm, system, "dies", shared_dir)
    lines = str(seen["trouble"]).splitlines()
    assert re.match(r"no worker can start: \d jobs failed alike: ended with exit status \d+$", lines[0])
    assert lines[1].endswith(": no image")
    assert Path(lines[2].partition(": ")[2]).read_text().startswith("pocket-exec worker")


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_a_client_that_is_killed_leaves_an_empty_queue_within_seconds(
    farm: Farm, system: str, shared_dir: Path, number: signal.Signals
) -> None:
    with client(farm, system, "waits", shared_dir) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if "all_s" in line:
                break
        assert len(in_queue(farm, system)) == WORKERS
        process.send_signal(number)
        process.communicate(timeout=120)
    start = time.monotonic()
    while in_queue(farm, system):
        assert time.monotonic() - start < 30
        time.sleep(0.2)
    # The guardian looks once more, for what was being submitted, and then ends too.
    while farm.processes():
        assert time.monotonic() - start < 30
        time.sleep(0.2)
