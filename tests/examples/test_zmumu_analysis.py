"""The analysis of examples/zmumu: normalisation, selection, data against simulation, the plot, real NanoAOD."""

from __future__ import annotations

import itertools
import runpy
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from coffea.nanoevents import NanoAODSchema
from coffea.util import save

from tests.examples.conftest import EVENTS, EXAMPLES, LUMINOSITY_PB, run_with_coffea

Load = Callable[[str], ModuleType]


def count(output: dict[str, Any], dataset: str, charge: str = "opposite") -> float:
    return float(output["mass"][{"dataset": dataset, "charge": charge}].sum().value)


def test_every_event_is_seen_once(output: dict[str, Any]) -> None:
    assert output["events"]["DYToMuMu_M50"] + output["events"]["TTTo2Mu2Nu"] == EVENTS
    assert output["events"]["SingleMuon"] == output["cutflow"]["SingleMuon"]["all"]


def test_simulation_is_normalised_to_cross_section_times_luminosity(output: dict[str, Any], cfg: ModuleType) -> None:
    for dataset in ("DYToMuMu_M50", "TTTo2Mu2Nu"):
        expected = cfg.fileset[dataset]["metadata"]["xsec"] * LUMINOSITY_PB
        assert output["cutflow"][dataset]["all"] == pytest.approx(expected)
    assert output["luminosity_pb"] == LUMINOSITY_PB


def test_the_cutflow_falls_and_ends_at_the_histogram(output: dict[str, Any]) -> None:
    for dataset, cutflow in output["cutflow"].items():
        steps = list(cutflow.values())
        assert all(later <= earlier for earlier, later in itertools.pairwise(steps))
        assert cutflow["mass window"] == pytest.approx(count(output, dataset) + count(output, dataset, "same"))


def test_data_agree_with_simulation_and_the_same_sign_estimate(output: dict[str, Any]) -> None:
    expected = count(output, "DYToMuMu_M50") + count(output, "TTTo2Mu2Nu") + count(output, "SingleMuon", "same")
    variance = output["mass"][{"dataset": "DYToMuMu_M50", "charge": "opposite"}].sum().variance + expected
    assert abs(count(output, "SingleMuon") - expected) < 4 * np.sqrt(variance)


def test_top_quarks_have_jets_and_drell_yan_has_few(output: dict[str, Any]) -> None:
    fraction = {}
    for dataset in ("DYToMuMu_M50", "TTTo2Mu2Nu"):
        njets = output["njets"][{"dataset": dataset, "charge": "opposite"}].values(flow=True)
        fraction[dataset] = njets[1:].sum() / njets.sum()
    assert fraction["DYToMuMu_M50"] < 0.3
    assert fraction["TTTo2Mu2Nu"] > 0.8


def test_two_halves_add_up_to_the_whole(output: dict[str, Any], cfg: ModuleType) -> None:
    alone = {
        dataset: run_with_coffea({dataset: cfg.fileset[dataset]}, cfg.processor, cfg.schema) for dataset in cfg.fileset
    }
    for dataset, part in alone.items():
        here = {"dataset": dataset, "charge": "opposite"}
        assert np.array_equal(part["mass"][here].values(), output["mass"][here].values())


def test_missing_input_is_said_with_the_command_that_makes_it(
    load: Load, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("POCKET_EXEC_ZMUMU_DATA", str(tmp_path))
    with pytest.raises(FileNotFoundError, match=r"python .*generate\.py"):
        load("zmumu/cfg.py")


@pytest.mark.filterwarnings("ignore::DeprecationWarning:pyparsing", "ignore::DeprecationWarning:matplotlib")
def test_the_plot_is_drawn_and_its_path_printed(
    output: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("mplhep", reason="needs pocket-exec[plot]")
    save(output, str(tmp_path / "output_all.coffea"))
    monkeypatch.setattr(sys, "argv", ["plot.py", str(tmp_path)])
    runpy.run_path(str(EXAMPLES / "zmumu" / "plot.py"), run_name="__main__")
    picture = tmp_path / "dimuon_mass.png"
    assert capsys.readouterr().out.strip() == str(picture)
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert picture.stat().st_size > 20_000


def test_the_plot_says_what_it_misses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("mplhep", reason="needs pocket-exec[plot]")
    monkeypatch.setattr(sys, "argv", ["plot.py", str(tmp_path)])
    with pytest.raises(SystemExit, match=r"output_all\.coffea"):
        runpy.run_path(str(EXAMPLES / "zmumu" / "plot.py"), run_name="__main__")


def test_the_processor_reads_nanoaod_of_cms(load: Load, nanoaod_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POCKET_EXEC_NANOAOD", str(nanoaod_dir))
    cfg = load("zmumu/cfg_nanoaod.py")
    output = run_with_coffea(cfg.fileset, cfg.processor, NanoAODSchema)
    assert set(output["events"]) == {path.stem for path in nanoaod_dir.glob("*.root")}
    for dataset in output["sumw"]:
        assert output["cutflow"][dataset]["all"] == pytest.approx(1)


def test_a_directory_without_nanoaod_is_said(load: Load, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POCKET_EXEC_NANOAOD", str(tmp_path))
    with pytest.raises(FileNotFoundError, match=r"no \.root file"):
        load("zmumu/cfg_nanoaod.py")
