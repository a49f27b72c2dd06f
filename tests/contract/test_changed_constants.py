"""A constant of a module beside the script that is changed there: each executor sees it, each run its value of then."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

CUTS = """\
import numpy as np

PT = 10
LOW, HIGH = 70, 110
BINS = np.linspace(0, 100, 5)
CUTS = {"pt": 10}
_ready, _table = False, None


class Muon:
    pt = 10


def table():
    global _ready, _table
    if not _ready:
        _table, _ready = object(), True
    assert _table is not None
    return 1
"""
EARLIER = """\
import cuts


def lowest(pt=cuts.PT):
    return pt
"""
SELECTION = """\
import cuts
import earlier
from coffea.processor.executor import WorkItem
from cuts import CUTS, PT as LOWEST


def count(item):
    seen = [cuts.PT, LOWEST, cuts.LOW, cuts.BINS[-1], CUTS["pt"], cuts.Muon.pt, cuts.table(), earlier.lowest()]
    return {"out": {"seen": [tuple(map(float, seen))]}, "processed": {item}}


ITEMS = [WorkItem("DY", "a.root", "Events", 10 * c, 10 * c + 10, b"") for c in range(4)]
"""
SCRIPT = """\
import json, sys
import numpy as np
import cuts
import earlier
cuts.PT = 5
import selection
import pocket_exec

if __name__ == "__main__":
    cuts.table()
    seen = []
    options = {} if sys.argv[1] == "iterative" else {"scaleout": 2}
    with pocket_exec.open_executor(sys.argv[1], module_dirs=["."], **options) as executor:
        for value in (10, *np.arange(20, 31, 10), 5, 10):
            cuts.PT = cuts.LOW = cuts.Muon.pt = cuts.CUTS["pt"] = value
            cuts.BINS = np.linspace(0, value, 3)
            if value == 30:
                selection.LOWEST = value
            total, error = executor(selection.ITEMS, selection.count, None)
            seen.append(sorted(set(total["out"]["seen"])))
    print(json.dumps(seen))
"""
FILES = {"cuts.py": CUTS, "earlier.py": EARLIER, "selection.py": SELECTION, "script.py": SCRIPT}


@pytest.mark.parametrize("executor", ["iterative", "futures", "dask"])
def test_workers_see_a_constant_as_the_script_has_set_it(executor: str, tmp_path: Path) -> None:
    for name, content in {
        "cuts.py": CUTS,
        "earlier.py": EARLIER,
        "selection.py": SELECTION,
        "script.py": SCRIPT,
    }.items():
        (tmp_path / name).write_text(content)
    words = [sys.executable, "script.py", executor]
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, timeout=180, check=False)
    assert done.returncode == 0, done.stderr
    # What a module has taken over is what it was by then, and the default of an argument as well.
    expected = [(10, 5), (20, 5), (30, 30), (5, 30), (10, 30)]
    values = [[[pt, lowest, pt, pt, pt, pt, 1, 10]] for pt, lowest in expected]
    assert json.loads(done.stdout.splitlines()[-1]) == values


WORKING_POINTS = """\
import os

POINT = os.environ.get("POINT", "medium")
UNUSED = os.environ.get("POINT", "medium")
WHERE = os.environ.get("POINT", "/medium")
"""
CFG = """\
import os
import points
from coffea.processor import ProcessorABC

points.POINT = points.UNUSED = "tight"
points.WHERE = "/tight"

class Selecting(ProcessorABC):
    def process(self, events):
        return {points.POINT: len(events), "where": points.WHERE != ""}

fileset = {"DY": os.environ["FILES"].split(":")}
processor = Selecting()
"""


def run_with(executor: str, directory: Path, files: list[Path]) -> str:
    (directory / "points.py").write_text(WORKING_POINTS)
    (directory / "cfg.py").write_text(CFG)
    code = "import sys; from pocket_exec.cli import runner; sys.exit(runner())"
    words = [sys.executable, "-c", code, "--cfg", "cfg.py", "-o", executor, "-e", executor]
    env = {**os.environ, "FILES": ":".join(map(str, files)), "PYTHONPATH": str(Path(__file__).parents[2])}
    done = subprocess.run(
        words,
        cwd=directory,
        env=env,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


def test_what_workers_compute_otherwise_than_the_client_is_told_where_the_processor_reads_it(
    tmp_path: Path, zmumu_files: dict[str, list[Path]]
) -> None:
    """Its file asks the environment, so the value of then does not travel."""
    files = next(iter(zmumu_files.values()))[:1]
    words = "points.POINT is another one on a worker than here, and the results go by that"
    told = run_with("futures", tmp_path, files)
    assert words in told
    # It may be a secret.
    assert "tight" not in told
    assert "medium" not in told
    for executor in ("futures", "iterative"):
        said = run_with(executor, tmp_path, files).replace(words, "")
        assert "on a worker" not in said
