"""The detector: what is left of a collision after acceptance, efficiency, resolution, trigger and pile-up.

Numbers are of the size that CMS has published (muons: arXiv:1804.04528); none is fitted to any data.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import erf
from truth import M_MUON, Array, Table, Truth

HALF_ACCEPTANCE = 2.4
"""Muons are seen up to this pseudorapidity, on either side."""


@dataclass
class Event:
    """``size`` events as the experiment records them; each table is sorted by event, then falling pT."""

    size: int
    scalars: Table
    collections: dict[str, Table]

    def take(self, keep: NDArray[np.bool_]) -> Event:
        """Return the events of the mask ``keep``."""
        new_index = np.cumsum(keep) - 1
        collections = {}
        for name, table in self.collections.items():
            rows = keep[table["event"]]
            collections[name] = {column: values[rows] for column, values in table.items()}
            collections[name]["event"] = new_index[collections[name]["event"]]
        return Event(int(keep.sum()), {name: values[keep] for name, values in self.scalars.items()}, collections)


def reconstruct(rng: np.random.Generator, truth: Truth) -> Event:
    """Return what the detector makes of ``truth``."""
    pile_up = rng.gamma(6.0, 23 / 6.0, truth.size).clip(1, 75)
    muons, fires = _muons(rng, truth.muons, pile_up)
    jets = _by_event_and_pt(_join_jets(_jets(rng, truth.jets), _jets_of_muons(rng, muons)))
    scalars = _scalars(rng, truth, pile_up) | _trigger(truth.size, muons, fires)
    del muons["prompt"]
    return Event(truth.size, scalars, {"Muon": muons, "Jet": jets, "GenPart": _generated(truth)})


def pt_resolution(pt: Array, eta: Array) -> Array:
    """Return sigma(pT)/pT of a muon track: 1 % in the barrel to 3 % at the end of the tracker, more at high pT."""
    return 0.010 + 0.0035 * eta**2 + 5e-5 * pt


def muon_efficiency(pt: Array, eta: Array) -> Array:
    """Return the probability to reconstruct a muon: less below 5 GeV and in the gap between barrel wheels."""
    gap = 0.06 * np.exp(-(((np.abs(eta) - 0.25) / 0.07) ** 2))
    return np.where(np.abs(eta) < HALF_ACCEPTANCE, 0.99 - gap, 0.0) * turn_on(pt, 3.5, 1.0, 1.0)


def turn_on(pt: Array, threshold: float, width: float, plateau: float) -> Array:
    """Return the efficiency of a cut at ``threshold`` on a pT measured less well than the one at hand."""
    return np.asarray(plateau / 2 * (1 + erf((pt - threshold) / (np.sqrt(2) * width))))


def _muons(rng: np.random.Generator, true: Table, pile_up: Array) -> tuple[Table, Table]:
    """Return reconstructed muons, and for each whether it fires a trigger leg."""
    seen = rng.random(true["pt"].size) < muon_efficiency(true["pt"], true["eta"])
    true = {name: values[seen] for name, values in true.items()}
    size, prompt, true_pt = true["pt"].size, true["prompt"], true["pt"]
    # A tracker measures curvature, so it is 1/pT that is Gaussian.
    pt = true_pt / rng.normal(1, pt_resolution(true_pt, true["eta"])).clip(0.5, 2)
    flips = rng.random(size) < 1e-5
    activity = np.where(prompt, 0.45 + 0.025 * pile_up[true["event"]], 9.0)  # GeV around the muon
    isolation = rng.exponential(activity) / pt
    displaced = np.where(prompt, 0.0015, 0.012)
    medium = rng.random(size) < np.where(prompt, 0.985, 0.80)
    muons = {
        "event": true["event"],
        "pt": pt,
        "eta": true["eta"] + rng.normal(0, 3e-4, size),
        "phi": (true["phi"] + rng.normal(0, 2e-4, size) + np.pi) % (2 * np.pi) - np.pi,
        "mass": np.full(size, M_MUON),
        "charge": np.where(flips, -true["charge"], true["charge"]),
        "pdgId": np.where(flips, 13, -13) * true["charge"],
        "dxy": rng.laplace(0, displaced),
        "dz": rng.laplace(0, 3 * displaced),
        "pfRelIso04_all": isolation,
        "isGlobal": rng.random(size) < 0.99,
        "looseId": np.ones(size, dtype=bool),
        "mediumId": medium,
        "tightId": medium & (rng.random(size) < np.where(prompt, 0.985, 0.75)),
        "genPartIdx": true["genPartIdx"],
        "genPartFlav": np.where(prompt, 1, 5).astype(np.uint8),
        "prompt": prompt,
    }
    order = np.lexsort((-pt, muons["event"]))
    muons = {name: values[order] for name, values in muons.items()}
    good = muons["isGlobal"] & (muons["pfRelIso04_all"] < 0.2)
    legs = {"iso24": (24.0, 0.9, 0.92), "iso27": (27.0, 0.9, 0.92), "mu17": (17.0, 0.7, 0.96), "mu8": (8.0, 0.5, 0.97)}
    return muons, {name: good & (rng.random(size) < turn_on(muons["pt"], *curve)) for name, curve in legs.items()}


def _trigger(size: int, muons: Table, fires: Table) -> Table:
    def count(leg: str) -> Array:
        return np.bincount(muons["event"][fires[leg]], minlength=size)

    either = np.bincount(muons["event"][fires["mu17"] | fires["mu8"]], minlength=size)
    return {
        "HLT_IsoMu24": count("iso24") > 0,
        "HLT_IsoMu27": count("iso27") > 0,
        "HLT_Mu17_TrkIsoVVL_Mu8_TrkIsoVVL_DZ": (count("mu17") > 0) & (either > 1),
    }


def _jets(rng: np.random.Generator, true: Table) -> Table:
    """Smear jets (15 % at 40 GeV), tag their flavour and keep those above 15 GeV."""
    size, flavour = true["pt"].size, true["flavour"]
    resolution = np.sqrt((5.0 / true["pt"]) ** 2 + 0.65**2 / true["pt"] + 0.04**2)
    pt = true["pt"] * rng.normal(1, resolution).clip(0.1, 3)
    # Higher for heavier quarks: of b jets 77 % pass 0.25, of light ones a few percent.
    heavy, light = np.select([flavour == 5, flavour == 4], [2.2, 1.0], 0.35), np.select([flavour == 5], [0.9], 3.5)
    jets = {
        "event": true["event"],
        "pt": pt,
        "eta": true["eta"],
        "phi": true["phi"],
        "mass": pt * rng.gamma(12, 0.011, size),
        "btagDeepFlavB": rng.beta(heavy, light),
        "jetId": np.full(size, 6),
        "hadronFlavour": flavour,
    }
    return _kept(jets)


def _jets_of_muons(rng: np.random.Generator, muons: Table) -> Table:
    """Return the jets that a particle-flow algorithm makes of the muons themselves; an analysis takes them out."""
    size = muons["pt"].size
    jets = {
        "event": muons["event"],
        "pt": muons["pt"] * (1 + muons["pfRelIso04_all"]) * rng.normal(1, 0.02, size),
        "eta": muons["eta"] + rng.normal(0, 0.005, size),
        "phi": muons["phi"] + rng.normal(0, 0.005, size),
        "mass": muons["pt"] * 0.05 * rng.random(size),
        "btagDeepFlavB": rng.beta(0.35, 3.5, size),
        "jetId": np.full(size, 2),
        "hadronFlavour": np.zeros(size, dtype=int),
    }
    return _kept(jets)


def _kept(jets: Table) -> Table:
    rows = (jets["pt"] > 15) & (np.abs(jets["eta"]) < 4.7)
    return {name: values[rows] for name, values in jets.items()}


def _join_jets(first: Table, second: Table) -> Table:
    return {name: np.concatenate([first[name], second[name]]) for name in first}


def _by_event_and_pt(table: Table) -> Table:
    order = np.lexsort((-table["pt"], table["event"]))
    return {name: values[order] for name, values in table.items()}


def _generated(truth: Truth) -> Table:
    """Return the muons of the hard process as the generator left them."""
    muons = {name: values[truth.muons["genPartIdx"] >= 0] for name, values in truth.muons.items()}
    order = np.lexsort((muons["genPartIdx"], muons["event"]))
    muons = {name: values[order] for name, values in muons.items()}
    size = muons["pt"].size
    return {name: muons[name] for name in ("event", "pt", "eta", "phi")} | {
        "mass": np.full(size, M_MUON),
        "pdgId": -13 * muons["charge"],
        # Bits 0 isPrompt, 8 fromHardProcess, 13 isLastCopy of NanoAOD's documentation.
        "statusFlags": np.full(size, 1 << 0 | 1 << 8 | 1 << 13),
        "genPartIdxMother": np.full(size, -1),
    }


def _scalars(rng: np.random.Generator, truth: Truth, pile_up: Array) -> Table:
    """Return what there is once per event: missing momentum, vertices, filters, generator."""
    spread = np.sqrt(12.0**2 + 2.5**2 * pile_up)
    px, py = (p + rng.normal(0, spread) for p in (truth.neutrino_px, truth.neutrino_py))
    vertices = 1 + rng.poisson(0.7 * pile_up)
    fine = rng.random(truth.size) < 0.9995
    return truth.generator | {
        "MET_pt": np.hypot(px, py),
        "MET_phi": np.arctan2(py, px),
        "MET_sumEt": rng.gamma(20, (200 + 40 * pile_up) / 20),
        "PV_npvs": vertices,
        "PV_npvsGood": np.maximum(rng.binomial(vertices, 0.85), 1),
        "Pileup_nTrueInt": pile_up,
        "Pileup_nPU": rng.poisson(pile_up),
        "fixedGridRhoFastjetAll": rng.gamma(25, (2 + 0.8 * pile_up) / 25),
        "Flag_goodVertices": np.ones(truth.size, dtype=bool),
        "Flag_globalSuperTightHalo2016Filter": fine,
        "Flag_METFilters": fine,
    }
