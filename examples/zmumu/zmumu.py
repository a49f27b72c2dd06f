"""Z -> mu mu: select muon pairs, weight simulation to the luminosity of the data, fill histograms."""

from __future__ import annotations

from typing import Any

import awkward as ak
import hist
import numpy as np
from coffea.analysis_tools import PackedSelection, Weights
from coffea.nanoevents import NanoAODSchema
from coffea.processor import ProcessorABC

CUTS = ("trigger", "two muons", "leading muon", "mass window")
"""The selection, in the order of the cutflow; the charges of the two muons split it in two."""


class SlimNanoAODSchema(NanoAODSchema):
    """NanoAOD with few collections: says nothing about indices into those that are not there."""

    warn_missing_crossrefs = False


class ZmumuProcessor(ProcessorABC):
    """Counts Z -> mu mu candidates in NanoAOD.

    Simulation is what has ``genWeight``; its cross section in pb is ``metadata["xsec"]``.

    Args:
        luminosity_pb: Integrated luminosity of the data in 1/pb, which simulation is weighted to.
        triggers: Paths of which one must have fired, without ``HLT_``.
    """

    def __init__(self, luminosity_pb: float, triggers: tuple[str, ...] = ("IsoMu24",)) -> None:
        self.luminosity_pb = luminosity_pb
        self.triggers = triggers

    def process(self, events: Any) -> dict[str, Any]:
        """Return histograms, cutflow and sum of generator weights of a chunk."""
        dataset = events.metadata["dataset"]
        is_mc = "genWeight" in events.fields

        weights = Weights(len(events))
        if is_mc:
            weights.add("generator", events.genWeight)
            weights.add("cross section", np.full(len(events), events.metadata["xsec"] * self.luminosity_pb))

        muons = events.Muon[good_muons(events.Muon)]
        jets = events.Jet[good_jets(events.Jet, muons)]
        pair = ak.pad_none(muons, 2)
        first, second = pair[:, 0], pair[:, 1]
        mass = (first + second).mass

        selection = PackedSelection()
        selection.add("trigger", self.triggered(events))
        selection.add("two muons", ak.num(muons) == 2)
        selection.add("leading muon", first.pt > 26)
        selection.add("mass window", (mass > 60) & (mass < 120))
        selection.add("opposite", first.charge != second.charge)
        selection.add("same", first.charge == second.charge)

        output = empty_output()
        output["events"][dataset] = len(events)
        if is_mc:
            output["sumw"][dataset] = ak.to_numpy(events.genWeight).sum(dtype=float)
        for charge in ("opposite", "same"):
            chosen = selection.all(*CUTS, charge)
            where = {"dataset": dataset, "charge": charge, "weight": weights.weight()[chosen]}
            output["mass"].fill(mass=mass[chosen], **where)
            output["leading_pt"].fill(pt=first.pt[chosen], **where)
            output["njets"].fill(njets=ak.num(jets)[chosen], **where)
        passed = {cut: selection.all(*CUTS[: i + 1]) for i, cut in enumerate(CUTS)}
        output["cutflow"][dataset] = {"all": weights.weight().sum()} | {
            cut: weights.weight()[passing].sum() for cut, passing in passed.items()
        }
        return output

    def postprocess(self, output: dict[str, Any]) -> dict[str, Any]:
        """Divide simulation by its sum of generator weights: what stands there then are expected events."""
        for dataset, sumw in output["sumw"].items():
            for name in ("mass", "leading_pt", "njets"):
                if dataset in output[name].axes["dataset"]:
                    of_dataset = output[name].axes["dataset"].index(dataset)
                    output[name].view(flow=True)[of_dataset] *= 1 / sumw
            output["cutflow"][dataset] = {cut: count / sumw for cut, count in output["cutflow"][dataset].items()}
        output["luminosity_pb"] = self.luminosity_pb
        return output

    def triggered(self, events: Any) -> Any:
        """Return whether one of the paths fired; a path may be unknown to some of the data-taking."""
        known = [path for path in self.triggers if path in events.HLT.fields]
        if not known:
            raise KeyError(f"none of the triggers HLT_{', HLT_'.join(self.triggers)} is in the file")
        return np.logical_or.reduce([ak.to_numpy(events.HLT[path]) for path in known])


def good_muons(muons: Any) -> Any:
    """Select muons: acceptance, tight identification, isolation."""
    return (muons.pt > 15) & (abs(muons.eta) < 2.4) & muons.tightId & (muons.pfRelIso04_all < 0.15)


def good_jets(jets: Any, muons: Any) -> Any:
    """Select jets: acceptance, tight identification (bit 1), and not one of the muons."""
    apart = ak.all(jets.metric_table(muons) > 0.4, axis=2)
    return (jets.pt > 30) & (abs(jets.eta) < 2.4) & ((jets.jetId & 2) != 0) & apart


def empty_output() -> dict[str, Any]:
    """Return what a chunk adds to."""
    dataset = hist.axis.StrCategory([], name="dataset", growth=True)
    charge = hist.axis.StrCategory(["opposite", "same"], name="charge", label="Charges of the two muons")
    variables = {
        "mass": hist.axis.Regular(60, 60, 120, name="mass", label=r"$m_{\mu\mu}$ [GeV]"),
        "leading_pt": hist.axis.Regular(47, 26, 120, name="pt", label=r"Leading muon $p_{T}$ [GeV]"),
        "njets": hist.axis.Integer(0, 7, underflow=False, name="njets", label="Number of jets"),
    }
    histograms = {name: hist.Hist(dataset, charge, axis, storage="weight") for name, axis in variables.items()}
    return {"events": {}, "sumw": {}, "cutflow": {}, **histograms}
