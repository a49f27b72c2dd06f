"""Collisions as nature makes them: Drell-Yan, top quark pairs and W + jet, before any detector."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import vector
from numpy.typing import NDArray
from samples import SQRT_S_GEV

Array = NDArray[Any]
Table = dict[str, Array]
"""Particles of many events: columns of one length, one of them ``event``, the index of the event they are in."""

# Particle Data Group 2024, masses and widths in GeV.
M_Z, GAMMA_Z = 91.1880, 2.4955
M_W, GAMMA_W = 80.3692, 2.085
M_TOP, M_BOTTOM, M_MUON = 172.57, 4.78, 0.1056583755
SIN2_THETA = 0.23155  # effective leptonic weak mixing angle
ALPHA_EM = 1 / 137.036

NEGATIVE_FRACTION = 0.07
"""Events of negative weight in NLO Drell-Yan, as MC@NLO-type generators have them (arXiv:2002.12716: some percent)."""


@dataclass
class Truth:
    """``size`` events of one process: the muons, jets and neutrinos that leave the collision."""

    size: int
    muons: Table
    jets: Table
    neutrino_px: Array
    neutrino_py: Array
    generator: Table
    """Branches of the generator, one value per event."""


def draw(rng: np.random.Generator, x: Array, density: Array, size: int) -> Array:
    """Draw ``size`` numbers from a density given at the points ``x``, by inverting its integral."""
    integral = np.concatenate([[0.0], np.cumsum(np.diff(x) * (density[1:] + density[:-1]) / 2)])
    return np.interp(rng.random(size) * integral[-1], integral, x)


def drell_yan_mass(mass: Array) -> Array:
    """Return d(sigma)/dm of q qbar -> Z/gamma* -> mu mu at leading order, in arbitrary units; ``mass`` in GeV.

    A relativistic Breit-Wigner with running width for the Z, 1/m^2 for the photon, and their interference (PDG, review
    "Electroweak model and constraints on new physics"), equally often from up- and down-type quarks, times a
    luminosity of partons that falls as m^-1.4. So 96.4 % of what is above 50 GeV is in 60-120 GeV, as measured over
    calculated (1952 pb, arXiv:2408.03744, over 2026 pb).
    """
    s = mass**2
    z = s / (s - M_Z**2 + 1j * s * GAMMA_Z / M_Z) / (4 * SIN2_THETA * (1 - SIN2_THETA))
    vector_mu, axial_mu = -0.5 + 2 * SIN2_THETA, -0.5
    total = np.zeros_like(mass)
    for charge, isospin in ((2 / 3, 0.5), (-1 / 3, -0.5)):
        vector_q, axial_q = isospin - 2 * charge * SIN2_THETA, isospin
        interference = -2 * charge * vector_q * vector_mu * z.real
        total += charge**2 + interference + (vector_q**2 + axial_q**2) * (vector_mu**2 + axial_mu**2) * np.abs(z) ** 2
    return np.asarray(total / s * mass**-1.4)


def boson_pt(rng: np.random.Generator, size: int) -> Array:
    """Draw transverse momenta of a W or Z in GeV: most probable 5, median 11, 7 % above 50, as the LHC sees them.

    Soft gluons make the peak and a power law the tail (shape as in CMS, arXiv:1909.04133; the parametrisation is ours).
    """
    pt = np.geomspace(0.01, 2000, 4000)
    return draw(rng, pt, pt * (1 + (pt / 7) ** 2) ** -1.5 / (1 + (pt / 100) ** 2), size)


def momentum_fractions(rng: np.random.Generator, mass: Array) -> tuple[Array, Array, Array]:
    """Draw rapidity, x1 and x2 of the partons that make ``mass``, with quark densities that fall as (1-x)^4."""
    rapidity = np.empty_like(mass)
    todo = np.arange(mass.size)
    while todo.size:
        root = mass[todo] / SQRT_S_GEV
        trial = rng.uniform(-1, 1, todo.size) * -np.log(root)
        accept = ((1 - root * np.exp(trial)) * (1 - root * np.exp(-trial)) / (1 - root) ** 2) ** 4
        passed = rng.random(todo.size) < accept
        rapidity[todo[passed]] = trial[passed]
        todo = todo[~passed]
    root = mass / SQRT_S_GEV
    return rapidity, root * np.exp(rapidity), root * np.exp(-rapidity)


def one_plus_cos2(rng: np.random.Generator, size: int) -> Array:
    """Draw cos(theta) from 1 + cos^2(theta): the decay of a spin-1 boson made by quark and antiquark."""
    q = 4 * rng.random(size) - 2
    root = np.sqrt(q**2 + 1)
    return np.cbrt(q + root) + np.cbrt(q - root)


def direction(cos: Array, phi: Array) -> tuple[Array, Array, Array]:
    """Return the unit vectors with polar angle acos(``cos``) and azimuth ``phi``."""
    sin = np.sqrt(1 - cos**2)
    return sin * np.cos(phi), sin * np.sin(phi), cos


def two_body(parent: Any, mass1: Any, mass2: Any, axis: tuple[Array, Array, Array]) -> tuple[Any, Any]:
    """Decay ``parent`` into two masses back to back along ``axis`` of its rest frame; return them in its frame."""
    energy1 = (parent.mass**2 + mass1**2 - mass2**2) / (2 * parent.mass)
    momentum = np.sqrt(np.maximum(energy1**2 - mass1**2, 0))
    first, second = (
        vector.array(
            {
                "px": sign * momentum * axis[0],
                "py": sign * momentum * axis[1],
                "pz": sign * momentum * axis[2],
                "mass": np.broadcast_to(np.asarray(mass, dtype=float), momentum.shape),
            }
        )
        for sign, mass in ((1, mass1), (-1, mass2))
    )
    return first.boost_p4(parent), second.boost_p4(parent)


def radiate(rng: np.random.Generator, muons: Any) -> Any:
    """Let muons lose energy to collinear photons: the tail of the Z below its peak.

    Leading logarithm, at most one photon: it takes the fraction x > 0.1 % of the energy with the probability
    alpha/(2 pi) (ln(M_Z^2/m^2) - 1) (1 + (1-x)^2) dx/x.
    """
    softest = 1e-3
    rate = ALPHA_EM / np.pi * (np.log(M_Z**2 / M_MUON**2) - 1) * -np.log(softest)
    taken = softest ** rng.random(len(muons))
    radiates = rng.random(len(muons)) < rate * (1 + (1 - taken) ** 2) / 2
    kept = np.where(radiates, np.maximum(1 - taken, 0.01), 1.0)
    return vector.array({"pt": muons.pt * kept, "eta": muons.eta, "phi": muons.phi, "mass": np.full(kept.size, M_MUON)})


def muon_table(muons: Any, charge: Array | int, *, prompt: bool = True, generated: int = -1) -> Table:
    """Return one muon per event as a table; ``generated``: its index in GenPart."""
    size = len(muons)
    return {
        "event": np.arange(size),
        "pt": np.asarray(muons.pt),
        "eta": np.asarray(muons.eta),
        "phi": np.asarray(muons.phi),
        "charge": np.broadcast_to(np.asarray(charge), size),
        "prompt": np.full(size, prompt),
        "genPartIdx": np.full(size, generated),
    }


def jet_table(event: Array, pt: Array, eta: Array, phi: Array, flavour: Array | int) -> Table:
    """Return jets as a table; ``flavour`` is 5 for a bottom quark, 4 charm, 0 light."""
    phi = (phi + np.pi) % (2 * np.pi) - np.pi
    return {"event": event, "pt": pt, "eta": eta, "phi": phi, "flavour": np.broadcast_to(np.asarray(flavour), pt.shape)}


def join(*tables: Table) -> Table:
    """Put tables of the same columns one below the other."""
    return {name: np.concatenate([table[name] for table in tables]) for name in tables[0]}


def recoil_jets(rng: np.random.Generator, pt: Array, phi: Array, rapidity: Array) -> Table:
    """Give most bosons of high pT a jet that balances them."""
    event = np.flatnonzero(rng.random(pt.size) < 1 - np.exp(-pt / 25))
    balance = rng.normal(0.95, 0.12, event.size).clip(0.3, 1.5)
    eta = rapidity[event] + rng.normal(0, 1.3, event.size)
    away = phi[event] + np.pi + rng.normal(0, 0.25, event.size)
    return jet_table(event, pt[event] * balance, eta, away, light_flavour(rng, event.size))


def other_jets(rng: np.random.Generator, size: int, mean: float) -> Table:
    """Add ``mean`` jets per event from radiation and pile-up: a falling spectrum, wide in pseudorapidity."""
    event = np.repeat(np.arange(size), rng.poisson(mean, size))
    pt = 12 * (1 - rng.random(event.size)) ** (-1 / 2.0)
    phi = rng.uniform(-np.pi, np.pi, event.size)
    return jet_table(event, pt, rng.normal(0, 2.2, event.size), phi, light_flavour(rng, event.size))


def light_flavour(rng: np.random.Generator, size: int) -> Array:
    """Draw flavours of jets that come with a boson: few have heavy quarks."""
    return rng.choice([0, 4, 5], size=size, p=[0.89, 0.07, 0.04])
