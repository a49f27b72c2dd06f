"""What an interrupted run had computed is not computed again, however it ended; the result is the same to the bit."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import uproot
from coffea.util import load

from tests.contract.analyses.everything import exact
from tests.contract.dying import KILLED

RUN = "import sys; from pocket_exec.cli import runner; sys.exit(runner())"
AT_EVERY_CHANCE = "from pocket_exec.runs import ledger; ledger.FIRST_FLUSH_S = 0.0; ledger.SHARE = 1e9\n"
"""The ledger is written after each task, however much of the time that takes: what is lost does not depend on time."""
ONE_BY_ONE = "from pocket_exec.executors.processes import ProcessPool; ProcessPool.batch_s = 0.0\n"
"""Each chunk is a task: what is in flight can be counted."""
IN_FLIGHT = 4
"""Tasks that two processes have, at work or waiting."""
DYING = "from tests.contract.dying import die_at_the_call_that_the_environment_says as install; install()\n"
ROOT = Path(__file__).parents[2]
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
        given = {"FILES": ":".join(map(str, self.files)), "SEEN": str(self._seen), "PYTHONPATH": str(ROOT)}
        words = [sys.executable, "-c", before + RUN, "--cfg", "cfg.py", "-o", out, *flags]
        return subprocess.Popen(
            words,
            cwd=self.directory,
            env={**os.environ, **given, **environment},
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

    def run_and_kill(self, out: str, *flags: str, before: str = "") -> None:
        """Run until some chunks are in the ledger, and no further."""
        process = self.popen(out, *flags, before=before + AT_EVERY_CHANCE, SLOW="0.1")
        while len(self.seen) < 3 and process.poll() is None:
            time.sleep(0.01)
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()

    @property
    def seen(self) -> list[str]:
        """The chunks that have been computed since the last run was started."""
        return self._seen.read_text().splitlines()

    def result(self, out: str) -> Any:
        return exact(load(self.directory / out / "output_all.coffea"))


@pytest.fixture
def analysis(tmp_path: Path, zmumu_files: dict[str, list[Path]]) -> Analysis:
    return Analysis(tmp_path, [path for paths in zmumu_files.values() for path in paths][:3])


def test_a_ledger_goes_on_after_a_death_at_any_write_fsync_rename_or_removal(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tests.contract.dying", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    calls, *instants = map(json.loads, done.stdout.splitlines())
    assert set(calls) == {"write", "fsync", "rename", "removal"}
    assert len(instants) == len(calls) > 50
    for number, (kind, instant) in enumerate(zip(calls, instants, strict=True), start=1):
        assert instant["status"] == KILLED, (number, kind)
        assert instant["right"], (number, kind)
        # One chunk was in flight: computed, and not yet in the ledger.
        assert instant["twice"] <= 1, (number, kind)


def test_a_client_that_dies_while_it_writes_leaves_what_the_next_one_goes_on_with(
    analysis: Analysis, tmp_path: Path
) -> None:
    """Of some hundred instants, the first and last of each kind and four by lot: each costs two runs."""
    calls = tmp_path / "calls"
    analysis.run("whole", before=DYING + AT_EVERY_CHANCE, DIES_AT="0", CALLS=str(calls))
    chunks, kinds = analysis.seen, json.loads(calls.read_text())
    firsts = {kinds.index(kind) for kind in kinds}
    lasts = {len(kinds) - 1 - kinds[::-1].index(kind) for kind in kinds}
    assert len(firsts) == 4
    for number in sorted(firsts | lasts | set(random.Random(1).sample(range(len(kinds)), 4))):
        out = f"died{number}"
        before = DYING + AT_EVERY_CHANCE
        analysis.run(out, status=KILLED, before=before, DIES_AT=str(number + 1), CALLS=str(calls))
        first = analysis.seen
        analysis.run(out)
        assert analysis.result(out) == analysis.result("whole")
        twice = len(first) + len(analysis.seen) - len(chunks)
        assert twice <= 1, f"{number}: {twice} chunks computed twice"


@pytest.mark.parametrize(
    ("how", "kills", "most_twice"),
    [(AT_EVERY_CHANCE + ONE_BY_ONE, 5, IN_FLIGHT), ("", 2, None)],
    ids=["what is in flight can be counted", "as it is"],
)
def test_a_client_that_is_killed_computes_no_more_twice_than_was_in_flight(
    analysis: Analysis, tmp_path: Path, how: str, kills: int, most_twice: int | None
) -> None:
    analysis.run("whole")
    chunks = len(analysis.seen)
    # Killed with all its workers, nobody is left to tidy up.
    (tmp_path / "untidy").mkdir()
    instants = random.Random(2)
    for number in range(kills):
        out, untidy = f"killed{number}", str(tmp_path / "untidy")
        process = analysis.popen(out, "-e", "futures", "-s", "2", before=how, SLOW="0.1", TMPDIR=untidy)
        wanted = instants.randint(1, chunks - 8)
        end = time.monotonic() + 60
        while len(analysis.seen) < wanted and process.poll() is None and time.monotonic() < end:
            time.sleep(0.01)
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        first = len(analysis.seen)
        assert wanted <= first < chunks
        analysis.run(out, "-e", "futures", "-s", "2")
        assert analysis.result(out) == analysis.result("whole")
        twice = first + len(analysis.seen) - chunks
        assert 0 <= twice <= (first if most_twice is None else most_twice)


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
    assert "results are overwritten: processor code changed: cfg.py" in said
    assert "holds nothing of this one: processor code changed: cfg.py" in said
    assert sorted(analysis.seen) == sorted(chunks)


def test_code_that_was_changed_after_a_kill_is_named(analysis: Analysis) -> None:
    analysis.run_and_kill("out")
    cfg = analysis.directory / "cfg.py"
    cfg.write_text(cfg.read_text().replace("/ 3.0", "/ 7.0"))
    assert "holds nothing of this one: processor code changed: cfg.py" in analysis.run("out")


def test_auto_resumes_with_the_chunks_of_the_run_before_though_its_rule_has_changed(analysis: Analysis) -> None:
    other = "from pocket_exec.engine import auto_chunks; auto_chunks.MOST_EVENTS = 70\n"
    analysis.run("whole", "-c", "auto", before=other)
    chunks = analysis.seen
    analysis.run_and_kill("out", "-c", "auto", before=other)
    first = analysis.seen
    assert "resuming" in analysis.run("out", "-c", "auto")
    assert set(first + analysis.seen) == set(chunks)
    assert len(first) + len(analysis.seen) - len(chunks) <= 1
    assert analysis.result("out") == analysis.result("whole")
    analysis.run("out", "-c", "auto", "--fresh", "--force")
    assert len(analysis.seen) < len(chunks)


def test_what_differs_is_named_where_some_of_it_is_resumed(analysis: Analysis) -> None:
    analysis.run_and_kill("out")
    del analysis.files[2]
    said = analysis.run("out")
    assert "resuming: " in said
    assert "what differs from the last run: dataset 'DY' has other files; dataset 'DY' has other chunks" in said


def test_one_more_file_costs_that_file_only(analysis: Analysis) -> None:
    everything = analysis.files
    analysis.files = everything[:2]
    analysis.run("out")
    analysis.files = everything
    analysis.run("out", "--force")
    assert {line.rpartition(":")[0] for line in analysis.seen} == {str(everything[2])}
    analysis.run("whole")
    assert analysis.result("out") == analysis.result("whole")


def test_a_file_that_was_updated_is_computed_anew_though_it_keeps_its_uuid(analysis: Analysis) -> None:
    updated = analysis.directory / "updated.root"
    with uproot.recreate(updated) as file:
        file.mktree("Events", {"event": "i8"}).extend({"event": range(60)})
    analysis.files = [updated, analysis.directory / "other.root"]
    shutil.copy(updated, analysis.files[1])
    (analysis.directory / "cfg.py").write_text(f"{CFG}\nfrom coffea.nanoevents import BaseSchema as schema\n")
    analysis.run("out")
    with uproot.open(updated) as file:
        before = file.file.uuid
    with uproot.update(updated) as file:
        file.mktree("Events", {"event": "i8"}).extend({"event": range(60, 120)})
    with uproot.open(updated) as file:
        assert file.file.uuid == before
    analysis.run("out", "--force")
    assert {line.rpartition(":")[0] for line in analysis.seen} == {str(updated)}
    assert len(analysis.seen) == 1


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
    (first, *_) = sorted((analysis.directory / "out" / "ledger").glob("*.blocks"))
    first.write_bytes(first.read_bytes()[:-3])
    done = subprocess.run(listing, cwd=analysis.directory, capture_output=True, text=True, timeout=60, check=False)
    assert "it is cut short" in done.stdout
    listing[-1] = "nowhere"
    done = subprocess.run(listing, cwd=analysis.directory, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr.strip()) == (
        3,
        "nowhere: no ledger there; it is in the output directory of a run",
    )
