"""The samples of the example: what they are, their cross sections, and the luminosity of the pseudo-data."""

from __future__ import annotations

from dataclasses import dataclass

SQRT_S_GEV = 13_000.0
YEAR = "2016"

LUMINOSITY_PB = 40.0
"""Integrated luminosity of the pseudo-data in 1/pb: about an hour of the LHC at 10^34 per cm^2 and second."""

W_TO_MU_NU = 0.1086
"""Branching fraction of W to mu nu, lepton universality assumed (PDG 2024)."""


@dataclass(frozen=True)
class Sample:
    """One simulated process, or the data."""

    name: str
    """Name of the dataset, and of its files: ``<name>_<i>.root``."""
    sample: str
    """What the dataset belongs to (``metadata.sample``)."""
    is_mc: bool
    xsec_pb: float | None
    """Cross section times branching fraction in pb; None for data."""
    files_share: float
    """Fraction of all files."""
    events_share: float = 0.0
    """Fraction of the simulated events; the data have as many as the luminosity gives."""


DRELL_YAN = Sample("DYToMuMu_M50", "DYToMuMu", True, 6077.22 / 3, files_share=0.5, events_share=0.85)
"""Z/gamma* to mu mu with a mass above 50 GeV: NNLO, FEWZ 3.1, one of three lepton flavours; the value that CMS analyses
of Run 2 use. Measured by CMS for 60-120 GeV: 1952 +- 49 pb (arXiv:2408.03744)."""

TTBAR = Sample("TTTo2Mu2Nu", "TTTo2Mu2Nu", True, 831.76 * W_TO_MU_NU**2, files_share=0.25, events_share=0.15)
"""Top quark pairs where both W decay to mu nu: NNLO+NNLL, Top++ 2.0, m_t = 172.5 GeV (LHC Top Working Group)."""

DATA = Sample("SingleMuon", "SingleMuon", False, None, files_share=0.25)
"""Pseudo-data: a Poisson draw of all processes at LUMINOSITY_PB, of which the single-muon trigger keeps its part."""

SAMPLES = (DRELL_YAN, TTBAR, DATA)

NONPROMPT_PB = 120.0
"""Effective cross section in pb of a W with a second muon out of a jet, either charge: a choice, not a measurement.
It is in the data only; an analysis estimates it from its same-sign events."""
