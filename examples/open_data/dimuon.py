"""The dimuon spectrum: masses of muon pairs of opposite charge, from the Upsilon to beyond the Z."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import awkward as ak
import hist
import numpy as np
from coffea.lumi_tools import LumiMask
from coffea.processor import ProcessorABC


class DimuonProcessor(ProcessorABC):
    """Fills the dimuon mass of NanoAOD, data and simulation.

    Args:
        triggers: Paths of which one must have fired, without ``HLT_``.
        golden_json: File of certified luminosity blocks, read here and now: the workers need not see it.
    """

    def __init__(self, triggers: tuple[str, ...], golden_json: Path | None = None) -> None:
        self.triggers = triggers
        self.certified = LumiMask(str(golden_json)) if golden_json else None

    def process(self, events: Any) -> dict[str, Any]:
        """Return the histogram, the number of events and the sum of generator weights of a chunk."""
        dataset = events.metadata["dataset"]
        is_mc = "genWeight" in events.fields
        keep = np.logical_or.reduce([events.HLT[path] for path in self.triggers if path in events.HLT.fields])
        if self.certified and not is_mc:
            keep = keep & self.certified(events.run, events.luminosityBlock)

        muons = events.Muon
        muons = muons[(muons.pt > 8) & (abs(muons.eta) < 2.4) & muons.mediumId & (muons.pfRelIso04_all < 0.25)]
        keep = keep & (ak.num(muons) == 2) & (ak.sum(muons.charge, axis=1) == 0) & ak.any(muons.pt > 20, axis=1)
        pair = muons[keep]
        mass = (pair[:, 0] + pair[:, 1]).mass
        weight = np.sign(ak.to_numpy(events.genWeight[keep])) if is_mc else np.ones(len(pair))

        histogram = hist.Hist(
            hist.axis.StrCategory([], name="dataset", growth=True),
            hist.axis.Regular(250, 5, 500, transform=hist.axis.transform.log, name="mass", label=r"$m_{\mu\mu}$ [GeV]"),
            storage="weight",
        )
        histogram.fill(dataset=dataset, mass=mass, weight=weight)
        sumw = float(np.sign(ak.to_numpy(events.genWeight)).sum(dtype=float)) if is_mc else 0.0
        return {"mass": histogram, "events": {dataset: len(events)}, "sumw": {dataset: sumw}}

    def postprocess(self, output: dict[str, Any]) -> dict[str, Any]:
        """Leave the sum as it is."""
        return output
