"""The other examples: the fileset on CMS Open Data has the right form, its processor works, the notebook is one."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

from coffea.nanoevents import NanoAODSchema

from pocket_exec.analysis.cfg import load_cfg
from tests.examples.conftest import EXAMPLES, run_with_coffea

Load = Callable[[str], ModuleType]


def test_the_open_data_cfg_loads_without_the_network_and_names_files_of_the_portal() -> None:
    fileset = load_cfg(EXAMPLES / "open_data" / "cfg.py").fileset
    assert {dataset.name: len(dataset.files) for dataset in fileset} == {"DoubleMuon_Run2016H": 6, "DYJetsToLL_M-50": 1}


def test_open_data_files_are_nanoaod_of_2016_behind_the_public_door(load: Load) -> None:
    fileset = load("open_data/cfg.py").fileset
    form = re.compile(
        r"root://eospublic\.cern\.ch//eos/opendata/cms/(?P<kind>mc/RunIISummer20UL16NanoAODv9|Run2016H)/[\w-]+/"
        r"NANOAOD(SIM)?/[\w-]+/\d+/[0-9A-F]{8}(-[0-9A-F]{4}){3}-[0-9A-F]{12}\.root"
    )
    for dataset in fileset.values():
        matches = [form.fullmatch(name) for name in dataset["files"]]
        assert all(matches)
        assert set(dataset["files"].values()) == {"Events"}
        assert all((match["kind"] != "Run2016H") == dataset["metadata"]["is_mc"] for match in matches if match)


def test_the_open_data_processor_finds_the_z_in_generated_files(load: Load, cfg: ModuleType) -> None:
    processor = load("open_data/cfg.py").processor
    output: dict[str, Any] = run_with_coffea(
        {name: cfg.fileset[name] for name in ("DYToMuMu_M50", "SingleMuon")}, processor, cfg.schema
    )
    for dataset in ("DYToMuMu_M50", "SingleMuon"):
        mass = output["mass"][{"dataset": dataset}]
        assert 86 < mass.axes[0].centers[mass.values().argmax()] < 95


def test_the_open_data_processor_keeps_certified_luminosity_blocks(load: Load, tmp_path: Path, cfg: ModuleType) -> None:
    golden = tmp_path / "golden.json"
    golden.write_text(json.dumps({"281613": [[1, 2]]}))
    dimuon = load("open_data/dimuon.py")
    fileset = {"SingleMuon": cfg.fileset["SingleMuon"]}
    triggers = ("IsoMu24",)
    every, certified = (
        run_with_coffea(fileset, dimuon.DimuonProcessor(triggers, path), cfg.schema)["mass"].sum().value
        for path in (None, golden)
    )
    assert 0 < certified < every


def test_the_open_data_processor_reads_nanoaod_of_cms(load: Load, nanoaod_dir: Path) -> None:
    processor = load("open_data/cfg.py").processor
    output = run_with_coffea(
        {"dimuon": {"files": {str(nanoaod_dir / "nano_dimuon.root"): "Events"}}}, processor, NanoAODSchema
    )
    assert output["events"] == {"dimuon": 40}


def test_the_notebook_is_valid_and_its_cells_are_python() -> None:
    notebook = json.loads((EXAMPLES / "python_api" / "notebook.ipynb").read_text())
    assert (notebook["nbformat"], notebook["nbformat_minor"]) == (4, 5)
    cells = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    for cell in notebook["cells"]:
        assert re.fullmatch(r"[\w-]{1,64}", cell["id"])
    for cell in cells:
        assert cell["outputs"] == []
        assert cell["execution_count"] is None
        compile("".join(cell["source"]), cell["id"], "exec")
