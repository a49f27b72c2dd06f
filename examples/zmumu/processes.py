"""The three processes of the example, event by event: who decays to what, and in which direction."""

from __future__ import annotations

from typing import Any

import numpy as np
import vector
from samples import SQRT_S_GEV
from truth import (
    GAMMA_W,
    M_BOTTOM,
    M_MUON,
    M_TOP,
    M_W,
    NEGATIVE_FRACTION,
    Array,
    Table,
    Truth,
    boson_pt,
    direction,
    draw,
    drell_yan_mass,
    jet_table,
    join,
    light_flavour,
    momentum_fractions,
    muon_table,
    one_plus_cos2,
    other_jets,
    radiate,
    recoil_jets,
    two_body,
)

_MASS = np.concatenate([np.linspace(50, 80, 301), np.linspace(80.01, 102, 2200), np.geomspace(102.1, 3000, 600)])
_COS = np.linspace(-1, 1, 401)
_F_LONGITUDINAL, _F_LEFT = 0.687, 0.311  # W helicity in top decay, NNLO QCD (arXiv:1005.2625)


def drell_yan(rng: np.random.Generator, size: int) -> Truth:
    """Make Z/gamma* -> mu mu above 50 GeV.

    The muons follow 1 + cos^2(theta) about the axis of the Collins-Soper frame: that frame is reached from the
    laboratory by one boost along the beam and one across it, so the way back is two boosts and a rotation.
    """
    mass = draw(rng, _MASS, drell_yan_mass(_MASS), size)
    rapidity, x1, x2 = momentum_fractions(rng, mass)
    pt, phi = boson_pt(rng, size), rng.uniform(-np.pi, np.pi, size)
    boson = vector.array({"px": 0 * pt, "py": 0 * pt, "pz": 0 * pt, "mass": mass})
    axis = direction(one_plus_cos2(rng, size), rng.uniform(-np.pi, np.pi, size))
    muons = [
        radiate(rng, p.boostX(beta=pt / np.hypot(mass, pt)).boostZ(beta=np.tanh(rapidity)).rotateZ(phi))
        for p in two_body(boson, M_MUON, M_MUON, axis)
    ]
    jets = join(recoil_jets(rng, pt, phi, rapidity), other_jets(rng, size, 0.8))
    sign = np.where(rng.random(size) < NEGATIVE_FRACTION, -1.0, 1.0)
    # What a generator writes: the cross section, in a unit of its own, with the sign of the event.
    generator = _generator(rng, sign * 2.0e4, mass, x1, x2) | {"LHE_Vpt": pt, "LHE_Njets": _hard_jets(jets, size)}
    both = join(muon_table(muons[0], -1, generated=0), muon_table(muons[1], +1, generated=1))
    return Truth(size, both, jets, np.zeros(size), np.zeros(size), generator)


def ttbar(rng: np.random.Generator, size: int) -> Truth:
    """Make top quark pairs: t -> W b, W -> mu nu on both sides, each W with the helicities that top quarks give it."""
    pt = draw(rng, grid := np.linspace(0, 1000, 2001), grid * np.exp(-grid / 55), size)
    phi = rng.uniform(-np.pi, np.pi, size)
    middle, half_gap = rng.normal(0, 0.9, size), rng.normal(0, 0.55, size)
    tops = []
    muons, jets, neutrinos = [], [], []
    for side, charge in ((0, +1), (1, -1)):
        rapidity = middle + (half_gap if side == 0 else -half_gap)
        pz = np.hypot(M_TOP, pt) * np.sinh(rapidity)
        azimuth = phi + np.pi * side
        top = vector.array(
            {"px": pt * np.cos(azimuth), "py": pt * np.sin(azimuth), "pz": pz, "mass": np.full(size, M_TOP)}
        )
        muon, neutrino, bottom = _top_decay(rng, top)
        muons.append(muon_table(radiate(rng, muon), charge, generated=side))
        jets.append(jet_table(np.arange(size), bottom.pt, bottom.eta, np.asarray(bottom.phi), 5))
        neutrinos.append(neutrino)
        tops.append(top)
    total = tops[0] + tops[1]
    root, y = np.asarray(total.mass) / SQRT_S_GEV, np.asarray(total.rapidity)
    x1, x2 = np.minimum(root * np.exp(y), 1), np.minimum(root * np.exp(-y), 1)
    gluons = np.full(size, 21)
    generator = _generator(rng, np.full(size, 72.0), np.hypot(M_TOP, pt), x1, x2)
    generator |= {"Generator_id1": gluons, "Generator_id2": gluons}
    return Truth(
        size,
        join(*muons),
        join(*jets, other_jets(rng, size, 1.4)),
        np.asarray(neutrinos[0].px + neutrinos[1].px),
        np.asarray(neutrinos[0].py + neutrinos[1].py),
        generator,
    )


def nonprompt(rng: np.random.Generator, size: int) -> Truth:
    """Make W -> mu nu with a second muon from the decays in a jet: of either charge, soft, seldom isolated."""
    mass = _w_mass(rng, size)
    rapidity, x1, x2 = momentum_fractions(rng, mass)
    pt, phi = boson_pt(rng, size), rng.uniform(-np.pi, np.pi, size)
    w = vector.array(
        {"px": pt * np.cos(phi), "py": pt * np.sin(phi), "pz": np.hypot(mass, pt) * np.sinh(rapidity), "mass": mass}
    )
    axis = direction(one_plus_cos2(rng, size), rng.uniform(-np.pi, np.pi, size))
    muon, neutrino = two_body(w, M_MUON, 0.0, axis)
    from_jet = {
        "event": np.arange(size),
        "pt": 5 + rng.exponential(12, size),
        "eta": rng.uniform(-2.4, 2.4, size),
        "phi": rng.uniform(-np.pi, np.pi, size),
    }
    second = from_jet | {
        "charge": rng.choice([-1, 1], size),
        "prompt": np.full(size, False),
        "genPartIdx": np.full(size, -1),
    }
    around = jet_table(
        from_jet["event"], 1.6 * from_jet["pt"], from_jet["eta"], from_jet["phi"], light_flavour(rng, size)
    )
    jets = join(around, recoil_jets(rng, pt, phi, rapidity), other_jets(rng, size, 0.8))
    first = muon_table(muon, rng.choice([-1, 1], size))
    generator = _generator(rng, np.ones(size), mass, x1, x2)
    return Truth(size, join(first, second), jets, np.asarray(neutrino.px), np.asarray(neutrino.py), generator)


def _top_decay(rng: np.random.Generator, top: Any) -> tuple[Any, Any, Any]:
    """Decay top quarks; return muon, neutrino and bottom quark."""
    size = len(top)
    at_rest = vector.array({"px": np.zeros(size), "py": np.zeros(size), "pz": np.zeros(size), "mass": top.mass})
    cos, phi = rng.uniform(-1, 1, size), rng.uniform(-np.pi, np.pi, size)
    w, bottom = two_body(at_rest, _w_mass(rng, size), M_BOTTOM, direction(cos, phi))
    helicity = _F_LONGITUDINAL * 3 / 4 * (1 - _COS**2) + _F_LEFT * 3 / 8 * (1 - _COS) ** 2
    muon, neutrino = two_body(w, M_MUON, 0.0, _about(cos, phi, draw(rng, _COS, helicity, size), rng))
    return muon.boost_p4(top), neutrino.boost_p4(top), bottom.boost_p4(top)


def _about(cos: Array, phi: Array, cos_to_axis: Array, rng: np.random.Generator) -> tuple[Array, Array, Array]:
    """Return unit vectors at a given angle to the direction (``cos``, ``phi``), at a random azimuth about it."""
    sin = np.sqrt(1 - cos**2)
    along, across, turn = direction(cos_to_axis, rng.uniform(-np.pi, np.pi, cos.size))[::-1]
    # Components along the direction, the unit vector of growing azimuth, and that of growing polar angle.
    x = along * sin * np.cos(phi) - across * np.sin(phi) + turn * cos * np.cos(phi)
    y = along * sin * np.sin(phi) + across * np.cos(phi) + turn * cos * np.sin(phi)
    return x, y, along * cos - turn * sin


def _w_mass(rng: np.random.Generator, size: int) -> Array:
    mass = np.linspace(60, 100, 1001)
    return draw(rng, mass, mass**3 / ((mass**2 - M_W**2) ** 2 + (mass**2 * GAMMA_W / M_W) ** 2), size)


def _generator(rng: np.random.Generator, weight: Array, scale: Array, x1: Array, x2: Array) -> Table:
    quark = rng.choice([1, 2, 3, 4], size=scale.size, p=[0.36, 0.42, 0.14, 0.08]) * rng.choice([-1, 1], scale.size)
    return {
        "genWeight": weight,
        "Generator_weight": weight,
        "Generator_scalePDF": scale,
        "Generator_x1": x1,
        "Generator_x2": x2,
        "Generator_id1": quark,
        "Generator_id2": -quark,
        "LHE_Vpt": np.zeros(scale.size),
        "LHE_Njets": np.zeros(scale.size, dtype=np.uint8),
    }


def _hard_jets(jets: Table, size: int) -> Array:
    """Count the jets above 20 GeV, at most 2, as a generator at NLO would."""
    return np.bincount(jets["event"][jets["pt"] > 20], minlength=size).clip(max=2).astype(np.uint8)
