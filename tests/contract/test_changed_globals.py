"""A script or notebook that runs twice gets what its code and its globals say now, and has the same key."""

from __future__ import annotations

import json
import subprocess
import sys
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from types import ModuleType
from typing import Any

import cloudpickle
import pytest

from pocket_exec.engine.unpickling import loads

SCRIPT = """\
import json, sys
import pocket_exec
from coffea.processor import ProcessorABC

CUT = 0

class Part:
    def __init__(self, number):
        self.number = number

    def __add__(self, other):
        return Part(self.number + other.number)

    def scaled(self):
        return self.number * CUT

class Cuts(ProcessorABC):
    def process(self, events):
        return {"cuts": {CUT}, "chunks": 1, "part": Part(1)}

    def postprocess(self, accumulator):
        accumulator["post"] = CUT

if __name__ == "__main__":
    executor, file, out = sys.argv[1:]
    given = {"scaleout": 2} if executor == "futures" else {}
    seen = []
    for CUT in (1, 2, 3):
        total = pocket_exec.run({"DY": [file]}, Cuts(), executor=executor, chunksize=100, **given).output
        seen.append([sorted(total["cuts"]), total["post"], total["part"].scaled() / total["chunks"]])
    processor = Cuts()
    already_done = [
        bool(pocket_exec.run({"DY": [file]}, processor, executor=executor, outputdir=out, **given).already_done)
        for _ in range(3)
    ]
    print(json.dumps({"seen": seen, "already done": already_done}))
"""


@pytest.mark.parametrize("executor", ["iterative", "futures"])
def test_a_script_that_runs_several_times_sees_its_globals_as_they_are_and_knows_its_results(
    executor: str, tmp_path: Path, zmumu_files: dict[str, list[Path]]
) -> None:
    script = tmp_path / "nb.py"
    script.write_text(SCRIPT)
    file = str(next(iter(zmumu_files.values()))[0])
    command = [sys.executable, str(script), executor, file, str(tmp_path / "out")]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout.splitlines()[-1])
    assert told["seen"] == [[[cut], cut, cut] for cut in (1, 2, 3)]
    assert told["already done"] == [False, True, True]


CLASS = """\
CUT = 1

class Cuts:
    def cut(self):
        return CUT
"""


@pytest.fixture
def script() -> Any:
    """Give a module whose class travels by value."""
    module = sys.modules["a_script"] = ModuleType("a_script")
    exec(CLASS, vars(module))
    cloudpickle.register_pickle_by_value(module)
    yield module
    cloudpickle.unregister_pickle_by_value(module)
    del sys.modules["a_script"]


def cut(packed: bytes) -> Any:
    return loads(packed).cut()


@pytest.mark.parametrize("way", ["spawn", "fork"])
def test_a_process_that_a_class_has_come_to_follows_what_comes_after_it(way: str, script: Any) -> None:
    with ProcessPoolExecutor(1, get_context(way)) as worker:
        # A process that was forked has the class as it was before.
        seen = [worker.submit(cut, cloudpickle.dumps(script.Cuts())).result()]
        script.CUT = 2
        seen.append(worker.submit(cut, cloudpickle.dumps(script.Cuts())).result())
    assert seen == [1, 2]
