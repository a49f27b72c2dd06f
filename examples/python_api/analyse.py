"""Use pocket_exec from Python: let it run an analysis, or take only its executor.

    python analyse.py [OUT_DIR]

The input is that of the example next door: `python ../zmumu/generate.py` makes it.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import awkward as ak
import hist
from coffea import processor
from coffea.nanoevents import NanoAODSchema

import pocket_exec

DATA = Path(os.environ.get("POCKET_EXEC_ZMUMU_DATA") or Path(__file__).absolute().parent.parent / "zmumu" / "data")


class SlimNanoAODSchema(NanoAODSchema):
    """NanoAOD with few collections, as in the generated files: no warning about those that are not there."""

    warn_missing_crossrefs = False


class DimuonMass(processor.ProcessorABC):
    """Fills the mass of muon pairs of opposite charge."""

    def process(self, events: Any) -> dict[str, Any]:
        """Return the histogram and the number of events of a chunk."""
        muons = events.Muon[(events.Muon.pt > 20) & (abs(events.Muon.eta) < 2.4) & events.Muon.tightId]
        pairs = muons[(ak.num(muons) == 2) & (ak.sum(muons.charge, axis=1) == 0)]
        mass = hist.Hist.new.StrCat([], name="dataset", growth=True).Reg(60, 60, 120, name="mass").Weight()
        mass.fill(dataset=events.metadata["dataset"], mass=(pairs[:, 0] + pairs[:, 1]).mass)
        return {"mass": mass, "events": len(events)}

    def postprocess(self, output: dict[str, Any]) -> dict[str, Any]:
        """Leave the sum as it is."""
        return output


def input_files(*datasets: str) -> dict[str, dict[str, Any]]:
    """Return the fileset of the generated files.

    Raises:
        FileNotFoundError: they have not been made.
    """
    fileset = {
        name: {"files": {str(path): "Events" for path in sorted(DATA.glob(f"{name}_*.root"))}} for name in datasets
    }
    missing = [name for name, dataset in fileset.items() if not dataset["files"]]
    if missing:
        raise FileNotFoundError(f"there is no {', '.join(missing)} in {DATA}: run examples/zmumu/generate.py")
    return fileset


def main() -> None:
    """Run in both ways: they give the same numbers."""
    directory = Path(sys.argv[1] if len(sys.argv) > 1 else "out_python_api")
    fileset = input_files("SingleMuon", "TTTo2Mu2Nu")

    # As `runner.py` does: result files, run record and log are left in the directory.
    result = pocket_exec.run(
        fileset,
        DimuonMass(),
        executor="futures",
        scaleout=2,
        schema=SlimNanoAODSchema,
        chunksize=20_000,
        outputdir=directory,
    )

    # Only the executor, for a Runner of one's own.
    with pocket_exec.open_executor("futures", scaleout=2) as executor:
        run = processor.Runner(executor=executor, schema=SlimNanoAODSchema, chunksize=20_000)
        output = run(fileset, DimuonMass())

    for dataset in output["mass"].axes["dataset"]:
        print(f"{dataset:12} {output['mass'][{'dataset': dataset}].sum().value:8.0f} muon pairs")
    print("both ways give the same histogram:", output["mass"] == result.output["mass"])


if __name__ == "__main__":  # the worker processes import this file
    main()
