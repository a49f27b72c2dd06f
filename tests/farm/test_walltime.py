"""A worker leaves before its walltime is over, another takes its place, and nothing of its work is lost."""

from __future__ import annotations

import json
import math
import os
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import uproot
from coffea.util import load

from tests.farm.zmumu_runs import LXPLUS, NO_KERBEROS, RUNNER, USUAL
from tests.farm_build.farm import Farm

pytestmark = [pytest.mark.farm, pytest.mark.timeout(500)]

SLOW = """
import time
from pathlib import Path

from coffea.processor import ProcessorABC


class Slow(ProcessorABC):
    def process(self, events):
        time.sleep(2)
        return {"events": len(events), "sum": int(events.event.to_numpy().astype("int64").sum())}

    def postprocess(self, accumulator):
        return accumulator


HERE = Path(__file__).parent
fileset = {path.stem: {str(path): "Events"} for path in sorted(HERE.glob("*.root"))}
processor = Slow()
"""


class Runs:
    """Runs of the slow analysis, some at once: most of their time is waiting for walltimes to end."""

    def __init__(self, farm: Farm, path: Path, directory: Path) -> None:
        self._farm = farm
        self._directory = directory
        shutil.copy(path, directory)
        with uproot.open(path) as file:
            # Longer than a worker of two minutes' walltime lives, which is one.
            self._chunk = math.ceil(file["Events"].num_entries / 45)
        (directory / "cfg.py").write_text(SLOW)
        for each in directory.iterdir():
            os.chown(each, farm.uid, farm.uid)

    def __call__(self, out: str, *flags: str, host: str | None = None) -> str:
        """Run to the end, and return what is told."""
        words: list[str | Path] = [self._farm.python, *RUNNER, "--cfg", self._directory / "cfg.py", "-o", self.out(out)]
        words += [f"--chunksize={self._chunk}", *flags]
        env = {"XDG_CACHE_HOME": str(self._directory / "cache" / out)}
        done = self._farm.run(words, cwd=self._directory, hostname=host, env=env, check=False, timeout_s=450)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout + done.stderr

    def out(self, name: str) -> Path:
        """Return an output directory."""
        return self._directory / name


def test_workers_leave_before_their_walltime_and_are_replaced(
    farm: Farm, zmumu_files: dict[str, list[Path]], shared_dir: Path
) -> None:
    run = Runs(farm, next(iter(zmumu_files.values()))[0], shared_dir)
    usual = [*USUAL, "--scaleout=1", "--walltime=2m"]
    with ThreadPoolExecutor() as pool:
        runs = {
            "htcondor": pool.submit(run, "htcondor", "-e", "dask@lxplus", *usual, NO_KERBEROS, host=LXPLUS),
            "slurm": pool.submit(run, "slurm", "-e", "dask@slurm", *usual),
        }
    run("here", "-e", "futures", "-s", "4")
    expected = load(run.out("here") / "output_all.coffea")
    for name, ended in runs.items():
        said, out = ended.result(), run.out(name)
        record = json.loads((out / "run.json").read_text())
        texts = {path.stem: path.read_text() for path in (out / "log" / record["jobs_tag"]).glob("*.err")}
        assert [worker for worker, text in texts.items() if "lifetime" in text.lower()], said
        assert said.count("submitted to ") > 1
        assert len(texts) > 1
        assert "wall time" not in said
        assert load(out / "output_all.coffea") == expected
        assert record["failures"] == []
