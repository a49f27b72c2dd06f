"""What a processor may return or do that it should not: clear words, and nothing that was computed is lost."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import uproot
from coffea.util import load

from tests.contract.command_line import Ended, record, results, runner
from tests.contract.test_output_directory import ROOT_OF_A_NAMESPACE, can_mount

EXECUTORS: dict[str, tuple[str, ...]] = {
    "iterative": (),
    "futures": ("-s", "2"),
    "dask": ("-s", "2", "--worker-timeout", "120"),
}
CFG = """
import os, threading, time
import hist
import numpy as np
from coffea.nanoevents import BaseSchema
from coffea.processor import ProcessorABC

class Thing:
    pass

class Bad(ProcessorABC):
    def __init__(self):
        self.seen = 0

    def process(self, events):
        start, dataset = events.metadata["entrystart"], events.metadata["dataset"]
        file = os.path.basename(events.metadata["filename"])
        {body}

fileset = {fileset!r}
schema = BaseSchema
processor = Bad()
run_options = {{"chunksize": 100, "retries": 0}}
"""
"""Eight chunks of DY in two files, and four of TT."""


@pytest.fixture(scope="module")
def fileset(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[str]]:
    directory = tmp_path_factory.mktemp("data")
    for name in "abc":
        with uproot.recreate(directory / f"{name}.root") as out:
            out.mktree("Events", {"x": "float64"})
            out["Events"].extend({"x": np.arange(400.0)})
    return {"DY": [str(directory / "a.root"), str(directory / "b.root")], "TT": [str(directory / "c.root")]}


Run = Callable[..., Ended]


@pytest.fixture
def run(fileset: dict[str, list[str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run a processor of these lines with an executor, as a user does, and see that no traceback is this project's."""
    monkeypatch.chdir(tmp_path)

    def ended(lines: str, name: str = "iterative", *words: str, out: str = "out") -> Ended:
        write_cfg(lines, fileset)
        end = runner("--cfg", "cfg.py", "-o", out, "-e", name, *EXECUTORS[name], *words)
        assert "bug in pocket-exec" not in end.err
        assert not re.search(r'File "[^"]*/pocket_exec/', end.err), end.err
        return end

    return ended


def write_cfg(lines: str, fileset: dict[str, list[str]]) -> None:
    body = lines.strip().replace("\n", "\n        ")
    Path("cfg.py").write_text(CFG.format(body=body, fileset=fileset))


def failures(out: str = "out") -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = record(out)["failures"]
    return rows


@pytest.mark.parametrize("name", EXECUTORS)
def test_a_processor_that_returns_none_everywhere_ends_the_run_with_what_to_do(name: str, run: Run) -> None:
    ended = run("return None", name)
    assert ended.status == 5
    assert "no chunk succeeded" in ended.err
    assert "Output of process() should not be None. Make sure your processor's process() function returns" in ended.err
    assert results("out") == []


def test_a_processor_that_forgets_to_return_in_one_chunk_loses_that_chunk(run: Run) -> None:
    ended = run("if (start, file) != (200, 'a.root'):\n    return {'n': len(events)}")
    assert ended.status == 6
    assert results("out") == ["output_DY.partial.coffea", "output_TT.coffea", "output_all.partial.coffea"]
    assert load("out/output_all.partial.coffea") == {"n": 1100}
    (row,) = failures()
    assert (row["dataset"], row["entrystart"], row["entrystop"], row["kind"]) == ("DY", 200, 300, "result")
    assert "Output of process() should not be None" in row["message"]


@pytest.mark.parametrize("name", EXECUTORS)
def test_results_that_cannot_be_added_are_told_by_the_part_that_cannot(name: str, run: Run) -> None:
    ended = run("return {'n': len(events), 'more': {'thing': Thing()}}", name)
    assert ended.status == 6
    # What is left of each dataset is one chunk: nothing else adds to it.
    assert load("out/output_DY.partial.coffea")["n"] == 100
    assert {row["dataset"] for row in failures()} == {"DY", "TT"}
    for row in failures():
        assert row["kind"] == "result"
        assert "does not add to the others at ['more']['thing']" in row["message"]
        assert "Thing" in row["message"]
    assert "at ['more']['thing']" in ended.out + ended.err


def test_another_structure_in_a_chunk_is_told_by_its_part_and_the_others_are_kept(run: Run) -> None:
    ended = run("return {'n': len(events), 'x': [1] if (start, file) == (200, 'a.root') else {'a': 1}}")
    assert ended.status == 6
    assert "output_TT.coffea" in results("out")
    # The chunk itself, and at most the one beside it, which had to choose.
    assert len(failures()) <= 2
    assert 200 in {row["entrystart"] for row in failures()}
    assert all("does not add to the others at ['x']" in row["message"] for row in failures())
    assert load("out/output_all.partial.coffea")["n"] == 1200 - 100 * len(failures())


def test_a_bare_number_is_a_result(run: Run) -> None:
    assert run("return len(events)").status == 0
    assert load("out/output_all.coffea") == 1200


@pytest.mark.parametrize("name", EXECUTORS)
def test_a_processor_that_changes_itself_is_told_so_and_gives_the_same_everywhere(name: str, run: Run) -> None:
    ended = run("self.seen += 1\nreturn {'n': len(events), 'seen': [self.seen]}", name)
    assert ended.status == 0
    told = "process() changes the processor itself (seen); each chunk gets it as it was given"
    assert ended.err.count(told) == 1
    assert load("out/output_all.coffea") == {"n": 1200, "seen": [1] * 12}


def test_a_processor_that_only_looks_at_itself_is_not_told_anything(run: Run) -> None:
    ended = run("return {'n': len(events), 'seen': self.seen}")
    assert ended.status == 0
    assert "changes the processor" not in ended.err


AXES = """
h = hist.Hist.new.Reg(10 if dataset == "DY" else 20, 0, 400, name="x").Double()
h.fill(events.x)
return {"n": len(events), "mass": h}
"""


@pytest.mark.parametrize("name", EXECUTORS)
def test_axes_that_differ_by_dataset_leave_each_dataset_whole(name: str, run: Run) -> None:
    ended = run(AXES, name)
    assert ended.status == 6
    assert results("out") == ["output_DY.coffea", "output_TT.coffea", "output_all.partial.coffea"]
    assert [load(f"out/output_{dataset}.coffea")["mass"].sum() for dataset in ("DY", "TT")] == [800, 400]
    assert load("out/output_all.partial.coffea")["n"] == 800
    assert "TT: its sum does not add to that of the other datasets at ['mass']" in ended.err
    assert "--process-separately" in ended.err


def test_axes_that_differ_by_dataset_are_fine_in_separate_files(run: Run) -> None:
    assert run(AXES, "iterative", "--process-separately").status == 0
    assert results("out") == ["output_DY.coffea", "output_TT.coffea"]


@pytest.mark.parametrize("name", EXECUTORS)
def test_a_result_that_cannot_be_pickled_is_named_the_same_by_every_executor(name: str, run: Run) -> None:
    ended = run("return {'n': len(events), 'tools': {'lock': threading.Lock()}}", name)
    assert ended.status == 5
    assert "result['tools']['lock'] cannot be pickled (TypeError: cannot pickle '_thread.lock' object)" in ended.err
    assert {row["kind"] for row in failures()} == {"result"}
    assert results("out") == []


@pytest.mark.parametrize("name", EXECUTORS)
def test_one_chunk_whose_result_cannot_be_pickled_is_left_out(name: str, run: Run) -> None:
    lock = "{'lock': threading.Lock()} if (start, file) == (300, 'b.root') else {}"
    ended = run(f"return {{'n': len(events), 'tools': {lock}}}", name)
    assert ended.status == 6
    assert load("out/output_all.partial.coffea") == {"n": 1100, "tools": {}}
    (row,) = failures()
    assert (row["entrystart"], row["kind"]) == (300, "result")
    assert "['tools']" in row["message"]
    assert "cannot pickle '_thread.lock' object" in row["message"]


def test_a_chunk_that_is_larger_than_the_workers_memory_is_named(run: Run) -> None:
    body = (
        "held = []\nwhile (start, file) == (200, 'b.root'):\n    held += [np.ones(2 * 10**6)]\n    time.sleep(0.05)\n"
    )
    words = ("--mem-per-worker=700MB", "--memory-terminate=0.95", "--memory-pause=0", "--allowed-failures=1")
    ended = run(body + "return {'n': len(events)}", "dask", *words)
    assert ended.status == 6
    assert load("out/output_all.partial.coffea") == {"n": 1100}
    (row,) = failures()
    assert (row["dataset"], row["entrystart"], row["kind"]) == ("DY", 200, "lost worker")
    assert row["file"].endswith("b.root")
    assert "needs more memory than there is (give a smaller chunksize, or a larger mem-per-worker)" in row["message"]


FILLS = """
if start == 200:
    filler = os.open("out/filler", os.O_WRONLY | os.O_CREAT)
    try:
        while True:
            os.write(filler, bytes(4096))
    except OSError:
        os.close(filler)
return {"n": len(events), "starts": np.array([start], dtype=float)}
"""


def test_a_disk_that_fills_in_the_middle_costs_no_result(
    fileset: dict[str, list[str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "out").mkdir()
    (tmp_path / "elsewhere").mkdir()
    can_mount(tmp_path / "out")
    one = {"DY": fileset["DY"][:1]}
    write_cfg(FILLS.replace("out/filler", f"{tmp_path}/out/filler"), one)
    python = [sys.executable, "-c", "from pocket_exec.cli import runner; runner()"]
    script = 'mount -t tmpfs -o size=3m none out && TMPDIR=elsewhere exec "$@"'
    words = [*ROOT_OF_A_NAMESPACE, script, "sh", *python, "--cfg", "cfg.py", "-o", "out"]
    done = subprocess.run(words, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 6, done.stderr
    assert "Traceback" not in done.stderr
    assert "Logging error" not in done.stderr
    (kept,) = re.findall(r"output_DY\.coffea: no space left .* it is kept as (\S+/output_DY\.coffea)\n", done.stderr)[
        :1
    ]
    assert Path(kept).is_relative_to(Path("elsewhere").absolute()) or kept.startswith("elsewhere/")
    assert load(kept)["n"] == 400
    assert load(kept)["starts"].tolist() == [600.0]
