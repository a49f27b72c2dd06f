"""A constant of a module beside the script that is changed there: each executor sees it, each run its value of then."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

CUTS = """\
from coffea.processor.executor import WorkItem

PT = 10


def count(item):
    return {"out": {"pt": [PT]}, "processed": {item}}


ITEMS = [WorkItem("DY", "a.root", "Events", 10 * c, 10 * c + 10, b"") for c in range(4)]
"""
SCRIPT = """\
import json, sys
import cuts
import pocket_exec

if __name__ == "__main__":
    seen = []
    options = {} if sys.argv[1] == "iterative" else {"scaleout": 2}
    with pocket_exec.open_executor(sys.argv[1], module_dirs=["."], **options) as executor:
        for value in (10, 20, 5, 10):
            cuts.PT = value
            total, error = executor(cuts.ITEMS, cuts.count, None)
            seen.append(sorted(set(total["out"]["pt"])))
    print(json.dumps(seen))
"""


@pytest.mark.parametrize("executor", ["iterative", "futures", "dask"])
def test_workers_see_a_constant_as_the_script_has_set_it(executor: str, tmp_path: Path) -> None:
    (tmp_path / "cuts.py").write_text(CUTS)
    (tmp_path / "script.py").write_text(SCRIPT)
    words = [sys.executable, "script.py", executor]
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1]) == [[10], [20], [5], [10]]
