"""A worker leaves before its walltime is over, another takes its place, and nothing of its work is lost."""

from __future__ import annotations

import json
import math
import os
import shutil
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


@pytest.mark.parametrize(
    ("executor", "host"), [("dask@lxplus", LXPLUS), ("dask@slurm", None)], ids=["htcondor", "slurm"]
)
def test_workers_leave_before_their_walltime_and_are_replaced(
    farm: Farm, executor: str, host: str | None, zmumu_files: dict[str, list[Path]], shared_dir: Path
) -> None:
    path = next(iter(zmumu_files.values()))[0]
    shutil.copy(path, shared_dir)
    with uproot.open(path) as file:
        # Longer than a worker of two minutes' walltime lives, which is one.
        chunk = math.ceil(file["Events"].num_entries / 45)
    (shared_dir / "cfg.py").write_text(SLOW)
    for path in shared_dir.iterdir():
        os.chown(path, farm.uid, farm.uid)

    def results(out: str, *flags: str) -> tuple[object, str]:
        words: list[str | Path] = [farm.python, *RUNNER, "--cfg", shared_dir / "cfg.py", "-o", shared_dir / out]
        words += [f"--chunksize={chunk}", *flags]
        env = {"XDG_CACHE_HOME": str(shared_dir / "cache")}
        done = farm.run(words, cwd=shared_dir, hostname=host, env=env, check=False, timeout_s=450)
        assert done.returncode == 0, done.stdout + done.stderr
        return load(shared_dir / out / "output_all.coffea"), done.stdout + done.stderr

    kerberos = [NO_KERBEROS] if executor == "dask@lxplus" else []
    found, said = results("out", "-e", executor, *USUAL, "--scaleout=1", "--walltime=2m", *kerberos)
    record = json.loads((shared_dir / "out" / "run.json").read_text())
    logs = shared_dir / "out" / "log" / record["jobs_tag"]
    texts = {path.stem: path.read_text() for path in logs.glob("*.err")}
    left = [name for name, text in texts.items() if "lifetime" in text.lower()]
    assert left, said
    assert said.count("submitted to ") > 1
    assert len(texts) > 1
    assert "wall time" not in said
    expected, _ = results("here", "-e", "futures", "-s", "16")
    assert found == expected
    assert record["failures"] == []
