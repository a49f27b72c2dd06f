"""The generator of examples/zmumu: the same events for a seed, files as NanoAOD has them, physics that holds."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import awkward as ak
import numpy as np
import pytest
import uproot
import vector
from coffea.nanoevents import NanoEventsFactory

Load = Callable[[str], ModuleType]


def arrays(path: Path) -> Any:
    with uproot.open({path: "Events"}) as tree:
        return tree.arrays()


@pytest.fixture(scope="module")
def truth(load: Load) -> Any:
    return load("zmumu/processes.py").drell_yan(np.random.default_rng(3), 100_000)


def pair(truth: Any) -> Any:
    """Return the sum of the two muons of each event."""
    columns = {name: truth.muons[name].reshape(2, -1) for name in ("pt", "eta", "phi")}
    first, second = (
        vector.array(
            {name: values[i] for name, values in columns.items()} | {"mass": np.full(truth.size, 0.1056583755)}
        )
        for i in (0, 1)
    )
    total: Any = first.add(second)
    return total


@pytest.fixture(scope="module")
def events(cfg: ModuleType, generated: Path) -> Any:
    """Give simulated Drell-Yan events as an analysis sees them."""
    file = {str(generated / "DYToMuMu_M50_0.root"): "Events"}
    return NanoEventsFactory.from_root(file, schemaclass=cfg.schema, mode="eager").events()


def test_the_same_seed_gives_the_same_events_and_another_seed_gives_others(load: Load, tmp_path: Path) -> None:
    generate = load("zmumu/generate.py").generate
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        generate(tmp_path / name, events=400, files=3, seed=seed, luminosity_pb=0.2)
    for file in sorted(path.name for path in (tmp_path / "a").glob("*.root")):
        first, same, other = (arrays(tmp_path / name / file) for name in "abc")
        assert ak.array_equal(first, same, same_content_types=True)
        assert not ak.array_equal(first.Muon_pt, other.Muon_pt)


def test_a_file_does_not_depend_on_how_much_data_there_is_beside_it(load: Load, tmp_path: Path) -> None:
    generate = load("zmumu/generate.py").generate
    for name, luminosity in (("a", 0.1), ("b", 0.2)):
        generate(tmp_path / name, events=400, files=3, seed=1, luminosity_pb=luminosity)
    assert ak.array_equal(arrays(tmp_path / "a/TTTo2Mu2Nu_0.root"), arrays(tmp_path / "b/TTTo2Mu2Nu_0.root"))


def test_the_files_are_shared_out_and_hold_all_events(generated: Path) -> None:
    samples = json.loads((generated / "samples.json").read_text())["samples"]
    entries = {
        name: sum(uproot.open(generated / file)["Events"].num_entries for file in sample["files"])
        for name, sample in samples.items()
    }
    assert [len(sample["files"]) for sample in samples.values()] == [2, 1, 1]
    assert entries["DYToMuMu_M50"] == 34_000
    assert entries["TTTo2Mu2Nu"] == 6_000


def test_simulation_has_what_the_generator_knows_and_data_do_not(generated: Path) -> None:
    with (
        uproot.open(generated / "DYToMuMu_M50_0.root") as simulation,
        uproot.open(generated / "SingleMuon_0.root") as data,
    ):
        only_simulated = set(simulation["Events"].keys()) - set(data["Events"].keys())
        assert {"genWeight", "Generator_x1", "LHE_Vpt", "Pileup_nTrueInt", "GenPart_pt"} <= only_simulated
        assert not set(data["Events"].keys()) - set(simulation["Events"].keys())
        assert simulation["Runs"]["genEventSumw"].array()[0] == pytest.approx(
            ak.sum(simulation["Events"]["genWeight"].array())
        )
        assert data["Runs"].keys() == ["run"]
        assert data["LuminosityBlocks"].num_entries > 1


def test_an_event_is_named_once(generated: Path) -> None:
    for name in ("DYToMuMu_M50", "SingleMuon"):
        tables = [arrays(path) for path in sorted(generated.glob(f"{name}_*.root"))]
        identity = [(run, event) for table in tables for run, event in zip(table.run, table.event, strict=True)]
        assert len(set(identity)) == len(identity)


def test_wide_files_have_further_branches_and_the_same_events(load: Load, tmp_path: Path) -> None:
    generate = load("zmumu/generate.py").generate
    generate(tmp_path / "plain", events=200, files=3, luminosity_pb=0.1)
    generate(tmp_path / "wide", events=200, files=3, luminosity_pb=0.1, wide=30)
    plain, wide = (arrays(tmp_path / name / "TTTo2Mu2Nu_0.root") for name in ("plain", "wide"))
    assert len(wide.fields) == len(plain.fields) + 30
    assert ak.array_equal(plain, wide[plain.fields])


def test_muons_fly_apart_with_opposite_charge_and_the_mass_of_a_muon(events: Any) -> None:
    two = events.Muon[ak.num(events.Muon) == 2]
    assert ak.all(abs(two.mass - 0.1056583755) < 1e-4)
    assert ak.mean(two.charge[:, 0] + two.charge[:, 1] == 0) > 0.999
    assert ak.all(two.pt[:, 0] >= two.pt[:, 1])
    assert ak.all(two.pdgId == -13 * two.charge)
    assert ak.all(abs(events.Muon.eta) < 2.41)


def test_the_reconstructed_peak_is_that_of_the_z_with_the_width_of_the_detector(events: Any) -> None:
    two = events.Muon[(ak.num(events.Muon) == 2)]
    mass = ak.to_numpy((two[:, 0] + two[:, 1]).mass)
    counts, edges = np.histogram(mass, bins=24, range=(85, 97))
    assert 90.5 <= edges[counts.argmax()] + 0.25 <= 91.75
    central = mass[(mass > 81) & (mass < 101)]
    assert np.median(central) == pytest.approx(90.95, abs=0.15)
    assert np.subtract(*np.percentile(central, [75, 25])) == pytest.approx(3.0, abs=0.5)


def test_a_reconstructed_muon_is_found_in_the_generator(events: Any) -> None:
    muons = events.Muon
    matched = muons.matched_gen
    assert ak.all(matched.pdgId == muons.pdgId)
    assert ak.mean(abs(muons.pt / matched.pt - 1)) == pytest.approx(0.013, abs=0.004)
    barrel, endcap = abs(muons.eta) < 0.9, abs(muons.eta) > 1.8
    spread = abs(muons.pt / matched.pt - 1)
    assert ak.mean(spread[barrel]) * 1.4 < ak.mean(spread[endcap])


def test_the_mass_before_the_detector_is_a_breit_wigner_over_a_falling_continuum(truth: Any) -> None:
    mass = truth.generator["Generator_scalePDF"]
    assert mass.min() >= 50
    assert np.mean(abs(mass - 91.188) < 2.4955 / 2) == pytest.approx(0.48, abs=0.01)
    assert 2 < np.mean((mass > 105) & (mass < 120)) / np.mean((mass > 120) & (mass < 135)) < 4
    assert np.mean((mass > 60) & (mass < 120)) == pytest.approx(1952 / 2025.74, abs=0.005)
    assert np.median(mass) == pytest.approx(91.1, abs=0.15)


def test_photons_take_energy_from_the_muons_and_never_give_any(truth: Any) -> None:
    lost = truth.generator["Generator_scalePDF"] - pair(truth).mass
    assert lost.min() > -1e-6
    assert np.mean(lost > 1) == pytest.approx(0.19, abs=0.02)
    assert np.mean(lost > 20) == pytest.approx(0.035, abs=0.01)


def test_what_leaves_the_collision_balances_and_keeps_to_the_kinematic_limit(truth: Any) -> None:
    no_photon = abs(truth.generator["Generator_scalePDF"] - pair(truth).mass) < 1e-6
    boson = pair(truth)[no_photon]
    x1, x2 = (truth.generator[f"Generator_x{i}"][no_photon] for i in (1, 2))
    assert np.allclose(boson.pt, truth.generator["LHE_Vpt"][no_photon], atol=1e-6)
    assert np.allclose(np.sqrt(x1 * x2) * 13_000, boson.mass, rtol=1e-6)
    assert np.allclose(np.log(x1 / x2) / 2, boson.rapidity, atol=1e-6)
    assert max(x1.max(), x2.max()) < 1


def test_muons_follow_one_plus_cos2_in_the_rest_frame_of_the_boson(load: Load) -> None:
    cos = load("zmumu/truth.py").one_plus_cos2(np.random.default_rng(1), 200_000)
    assert np.mean(cos) == pytest.approx(0, abs=0.01)
    assert np.mean(cos**2) == pytest.approx(2 / 5, abs=0.005)


def test_top_quarks_give_muons_neutrinos_and_bottom_jets_of_the_right_masses(load: Load) -> None:
    top = load("zmumu/processes.py").ttbar(np.random.default_rng(1), 20_000)
    assert np.all(np.bincount(top.muons["event"]) == 2)
    assert np.all(np.bincount(top.muons["event"], weights=top.muons["charge"]) == 0)
    assert np.all(np.bincount(top.jets["event"][top.jets["flavour"] == 5], minlength=top.size) >= 2)
    assert np.median(np.hypot(top.neutrino_px, top.neutrino_py)) == pytest.approx(65, abs=15)


def test_two_body_decays_conserve_momentum_and_masses(load: Load) -> None:
    truth = load("zmumu/truth.py")
    parent = vector.array({"px": [30.0, -80.0], "py": [10.0, 5.0], "pz": [200.0, -400.0], "mass": [172.6, 172.6]})
    axis = truth.direction(np.array([0.3, -0.9]), np.array([0.1, 2.0]))
    first, second = truth.two_body(parent, np.array([80.4, 79.0]), 4.78, axis)
    total = first.add(second)
    for component in ("px", "py", "pz", "mass"):
        assert getattr(total, component) == pytest.approx(getattr(parent, component))
    assert first.mass == pytest.approx([80.4, 79.0])
    assert second.mass == pytest.approx([4.78, 4.78], abs=1e-4)


def test_the_trigger_turns_on_at_its_threshold(events: Any) -> None:
    one = events[ak.num(events.Muon) == 1]
    leading = one.Muon.pt[:, 0]
    assert ak.mean(one.HLT.IsoMu24[leading < 21]) < 0.02
    assert ak.mean(one.HLT.IsoMu24[leading > 28]) == pytest.approx(0.88, abs=0.04)
    assert not ak.any(events.HLT.IsoMu27 & ~events.HLT.IsoMu24 & (ak.num(events.Muon) == 0))


def test_the_weights_carry_the_sign_of_an_nlo_generator(events: Any) -> None:
    assert len(np.unique(abs(ak.to_numpy(events.genWeight)))) == 1
    assert ak.mean(events.genWeight < 0) == pytest.approx(0.07, abs=0.01)
