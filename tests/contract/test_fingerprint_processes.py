"""The key of a processor is the same in every process that builds the same processor."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from pocket_exec.engine import fingerprint

CFG = """\
import functools
from pathlib import Path

import awkward as ak
import correctionlib.schemav2 as cs
import hist
import numpy as np
from coffea import processor
from coffea.lookup_tools.dense_lookup import dense_lookup

import my_cuts
from my_cuts import select

TRIGGERS = {"IsoMu24", "Mu50", "IsoMu27", "TkMu50"}


class Z(processor.ProcessorABC):
    years = frozenset({"2016", "2017", "2018"})

    def __init__(self, pt_cut=25.0):
        self.pt_cut = pt_cut
        self.masses = hist.Hist.new.StrCat([], growth=True, name="dataset").Reg(60, 60, 120, name="mass").Weight()
        self.table = dense_lookup(np.arange(12.0).reshape(3, 4), (np.arange(4.0), np.arange(5.0)))
        self.channels = {"mm": {"mu", "mu_bar"}, "ee": frozenset("abcdefgh")}
        self.cut = lambda events: events.pt > pt_cut
        self.selection = functools.partial(select, eta=2.4)
        self.golden = Path(__file__).parent / "golden.json"
        self.runs = ak.Array([[1, 2], [3]])
        self.correction = cs.Correction(
            name="sf",
            version=1,
            inputs=[cs.Variable(name="x", type="real")],
            output=cs.Variable(name="weight", type="real"),
            data=1.5,
        ).to_evaluator()
        self.itself = self

    def process(self, events):
        return {"n": my_cuts.count(self.selection(events)), "t": {t for t in TRIGGERS if t in events.HLT.fields}}

    def postprocess(self, accumulator):
        return accumulator


instance = Z()
"""

CUTS = """\
REGIONS = {"signal", "control", "sideband"}
def select(events, eta): return events[abs(events.eta) < eta]
def count(events): return {region: len(events) for region in REGIONS}
"""

MAIN = """\
import dataclasses, importlib.util, json, sys, uuid
from pathlib import Path
padding = [object() for _ in range(int(sys.argv[2]))]
path = Path(sys.argv[1])
sys.path.insert(0, str(path.parent))
name = "cfg_" + uuid.uuid4().hex
spec = importlib.util.spec_from_file_location(name, path)
module = sys.modules[name] = importlib.util.module_from_spec(spec)
spec.loader.exec_module(module)
from pocket_exec.engine.fingerprint import processor_key
key = processor_key(module.instance)
print(json.dumps(dataclasses.asdict(key)))
"""


def key_in_a_process(directory: Path, cwd: Path, seed: str) -> dict[str, Any]:
    package = Path(fingerprint.__file__).parents[2]
    environment = {**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": str(package)}
    command = [sys.executable, "-c", MAIN, str(directory / "cfg.py"), seed]
    done = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


@pytest.fixture
def analysis(tmp_path: Path, hostile: str) -> Path:
    directory = tmp_path / hostile.replace("/", "_")
    directory.mkdir()
    (directory / "cfg.py").write_text(CFG)
    (directory / "my_cuts.py").write_text(CUTS)
    return directory


@pytest.mark.parametrize("hostile", ["plain", "a'; echo x"], indirect=True)
def test_hash_seed_address_and_directory_do_not_count(analysis: Path, tmp_path: Path) -> None:
    key = key_in_a_process(analysis, tmp_path, "0")
    assert key["caveat"] == ""
    assert set(key["modules"]) == {"cfg.py", "my_cuts.py"}
    elsewhere = tmp_path / "elsewhere" / "deeper"
    shutil.copytree(analysis, elsewhere, ignore=shutil.ignore_patterns("__pycache__"))
    assert key_in_a_process(analysis, elsewhere, "1") == key
    assert key_in_a_process(elsewhere, analysis, "4711") == key
