"""What an interrupted run had computed is not computed again, however it ended; the result is the same to the bit."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from coffea.util import load

from tests.contract.analyses.everything import exact

RUN = (
    "import sys; from pocket_exec.runs import ledger; ledger.FIRST_FLUSH_S = 0.0; ledger.SHARE = 1e9;"
    "from pocket_exec.cli import runner; sys.exit(runner())"
)
"""The command line, with a ledger that is written at every chance: a long run writes when it is worth the time."""
DYING = """
import os, sys
left = int(os.environ["DIES_AT"])
def mortal(function):
    def call(*arguments, **named):
        global left
        path = str(arguments[0]) if arguments else ""
        left -= 1
        if left == 0:
            os._exit(9)
        return function(*arguments, **named)
    return call
from pathlib import Path
os.fsync = mortal(os.fsync)
Path.replace = mortal(Path.replace)
Path.unlink = mortal(Path.unlink)
import atexit
atexit.register(lambda: open(os.environ["CALLS"], "w").write(str(int(os.environ["DIES_AT"]) - left)))
"""
"""Ends the process at the n-th fsync, rename or removal: what `kill -9` or a dead node does at that moment."""
CFG = """
import os, time
from coffea.processor import ProcessorABC

class Counting(ProcessorABC):
    def process(self, events):
        time.sleep(float(os.environ.get("SLOW", "0")))
        start = events.metadata["entrystart"]
        with open(os.environ["SEEN"], "a") as seen:
            seen.write(f"{events.metadata['filename']}:{start}\\n")
        assert len(events.event) == len(events)
        weight = ((start * 2654435761) % 1000003) / 3.0 * 10.0 ** (start // 50 % 7 - 3)
        return {"x": weight, "order": [start], "events": len(events)}

fileset = {"DY": {"files": os.environ["FILES"].split(":")}}
processor = Counting()
run_options = {"chunksize": 50}
"""


class Analysis:
    """A small analysis in a directory, whose chunks write down that they ran."""

    def __init__(self, directory: Path, files: list[Path]) -> None:
        self.directory = directory
        self.files = files
        (directory / "cfg.py").write_text(CFG)
        self._seen = directory / "seen"

    def popen(self, out: str, *flags: str, before: str = "", **environment: str) -> subprocess.Popen[str]:
        self._seen.write_text("")
        given = {"FILES": ":".join(map(str, self.files)), "SEEN": str(self._seen), **environment}
        words = [sys.executable, "-c", before + RUN, "--cfg", "cfg.py", "-o", out, *flags]
        return subprocess.Popen(
            words,
            cwd=self.directory,
            env={**os.environ, **given},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def run(self, out: str, *flags: str, status: int = 0, before: str = "", **environment: str) -> str:
        process = self.popen(out, *flags, before=before, **environment)
        said, _ = process.communicate(timeout=120)
        assert process.returncode == status, said
        return said

    @property
    def seen(self) -> list[str]:
        """The chunks that have been computed since the last run was started."""
        return self._seen.read_text().splitlines()

    def result(self, out: str) -> Any:
        return exact(load(self.directory / out / "output_all.coffea"))


@pytest.fixture
def analysis(tmp_path: Path, zmumu_files: dict[str, list[Path]]) -> Analysis:
    return Analysis(tmp_path, [path for paths in zmumu_files.values() for path in paths][:3])


def test_a_client_that_dies_at_any_write_leaves_what_the_next_one_goes_on_with(
    analysis: Analysis, tmp_path: Path
) -> None:
    calls = tmp_path / "calls"
    analysis.run("whole", before=DYING, DIES_AT="1000000", CALLS=str(calls))
    chunks, total = analysis.seen, int(calls.read_text())
    assert total > 10
    chosen = sorted([*random.Random(1).sample(range(1, total), 6), 1, total])
    for number in chosen:
        out = f"died{number}"
        analysis.run(out, status=9, before=DYING, DIES_AT=str(number), CALLS=str(calls))
        first = analysis.seen
        analysis.run(out)
        second = analysis.seen
        assert analysis.result(out) == analysis.result("whole")
        # One chunk was in flight: computed, and not yet in the ledger.
        twice = len(first) + len(second) - len(chunks)
        assert twice <= 1 or not first, f"{number}: {twice} chunks computed twice"


def test_a_client_that_is_killed_computes_little_twice(analysis: Analysis, tmp_path: Path) -> None:
    analysis.run("whole")
    chunks = len(analysis.seen)
    # Killed with all its workers, nobody is left to tidy up.
    (tmp_path / "untidy").mkdir()
    instants = random.Random(2)
    for number in range(5):
        out = f"killed{number}"
        process = analysis.popen(out, "-e", "futures", "-s", "2", SLOW="0.1", TMPDIR=str(tmp_path / "untidy"))
        wanted = instants.randint(1, chunks - 8)
        end = time.monotonic() + 60
        while len(analysis.seen) < wanted and process.poll() is None and time.monotonic() < end:
            time.sleep(0.01)
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        first = analysis.seen
        analysis.run(out, "-e", "futures", "-s", "2")
        assert analysis.result(out) == analysis.result("whole")
        # Four tasks are in flight, of as many chunks as they had come to.
        assert len(analysis.seen) <= chunks - len(first) + 24
        assert len(first) < wanted + 24


def test_a_resumed_run_says_so_and_a_fresh_one_computes_everything(analysis: Analysis) -> None:
    analysis.run("out")
    chunks = analysis.seen
    (analysis.directory / "out" / "output_all.coffea").unlink()
    (analysis.directory / "out" / "output_DY.coffea").unlink()
    assert f"resuming: {len(chunks)} of {len(chunks)} chunks" in analysis.run("out")
    assert analysis.seen == []
    assert "resuming" not in analysis.run("out", "--fresh")
    assert sorted(analysis.seen) == sorted(chunks)


def test_changed_code_computes_everything_anew_and_is_named(analysis: Analysis) -> None:
    analysis.run("out")
    chunks = analysis.seen
    cfg = analysis.directory / "cfg.py"
    cfg.write_text(cfg.read_text().replace("/ 3.0", "/ 7.0"))
    said = analysis.run("out", "--force")
    assert "holds nothing of this one" in said
    assert sorted(analysis.seen) == sorted(chunks)


def test_one_more_file_costs_that_file_only(analysis: Analysis) -> None:
    everything = analysis.files
    analysis.files = everything[:2]
    analysis.run("out")
    analysis.files = everything
    analysis.run("out", "--force")
    assert {line.rpartition(":")[0] for line in analysis.seen} == {str(everything[2])}
    analysis.run("whole")
    assert analysis.result("out") == analysis.result("whole")


def test_what_failed_is_all_that_retry_failed_computes(analysis: Analysis) -> None:
    good = analysis.files[1].read_bytes()
    analysis.files[1] = analysis.directory / "copy.root"
    analysis.files[1].write_bytes(b"not yet copied" * 1000)
    analysis.run("out", status=6)
    analysis.files[1].write_bytes(good)
    analysis.run("out", "--retry-failed")
    assert {line.rpartition(":")[0] for line in analysis.seen} == {str(analysis.files[1])}
    assert (analysis.directory / "out" / "output_all.coffea").exists()
    assert not (analysis.directory / "out" / "output_all.partial.coffea").exists()


def test_the_ledger_can_be_looked_at(analysis: Analysis) -> None:
    analysis.run("out")
    listing = [sys.executable, "-c", "from pocket_exec.cli import main; main()", "ledger", "out"]
    done = subprocess.run(listing, cwd=analysis.directory, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    _, first_row, *_, last = done.stdout.splitlines()
    assert first_row.split()[:3] == ["DY", Path(analysis.files[0]).name, "all"]
    assert last == "51 of 51 chunks were done when the last run ended"
    (first, *_) = sorted((analysis.directory / "out" / "ledger").iterdir())
    first.write_bytes(first.read_bytes()[:-3])
    done = subprocess.run(listing, cwd=analysis.directory, capture_output=True, text=True, timeout=60, check=False)
    assert "it is cut short" in done.stdout
    listing[-1] = "nowhere"
    done = subprocess.run(listing, cwd=analysis.directory, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr.strip()) == (
        3,
        "nowhere: no ledger there; it is in the output directory of a run",
    )
