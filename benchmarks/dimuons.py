"""One small analysis in all the ways that are compared: by hand in two loops, and through coffea's Runner.

All do the same arithmetic and fill the same histogram.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from coffea.nanoevents import NanoAODSchema
from coffea.processor import IterativeExecutor, ProcessorABC, Runner
from coffea.processor.executor import WorkItem
from nanoaod_like import BASKET, copies, files

from pocket_exec.engine.executor import PocketExecutor

BRANCHES = ("Muon_pt", "Muon_eta", "Muon_phi", "Muon_charge", "MET_pt")

NanoAODSchema.warn_missing_crossrefs = False

iterative = partial(IterativeExecutor, status=False)
"""coffea's executor on one core."""
ours = partial(PocketExecutor, status=False)
"""This project's executor on one core."""


@dataclass(frozen=True)
class Case:
    """One kind of file and of chunk."""

    branches: int
    files: int
    events: int
    """Of each file."""
    chunksize: int
    goal: float
    copied: bool = False
    """Whether all files are copies of one."""

    @property
    def name(self) -> str:
        """What the table calls it."""
        if self.chunksize == self.events:
            return f"{self.files} small files, {self.branches} branches"
        return f"{self.branches} branches, {self.chunksize / 1000:g}k"

    @property
    def chunks(self) -> list[tuple[int, int]]:
        """Entry ranges of the chunks of a file."""
        return [(start, min(start + self.chunksize, self.events)) for start in range(0, self.events, self.chunksize)]

    def paths(self) -> list[Path]:
        """Return its files; they are made once, and in the disk cache."""
        return (copies if self.copied else files)(self.branches, self.files, self.events)

    def sized(self, *, quick: bool) -> Case:
        """Return the case itself, or with ``quick`` one as small as shows that all of it works."""
        if not quick:
            return self
        events = min(self.events, 8_000)
        chunksize = events // min(len(self.chunks), 4)
        return replace(
            self, branches=min(self.branches, 60), files=min(self.files, 2), events=events, chunksize=chunksize
        )


def fill(histogram: Any, pt: Any, eta: Any, phi: Any, charge: Any, met: Any) -> None:
    """Fill the mass of pairs of muons of opposite charge: the same calls on arrays of any origin."""
    import awkward as ak
    import numpy as np

    two = ak.num(pt) == 2
    pt, eta, phi, charge, met = pt[two], eta[two], phi[two], charge[two], met[two]
    opposite = charge[:, 0] != charge[:, 1]
    pt, eta, phi, met = pt[opposite], eta[opposite], phi[opposite], met[opposite]
    mass2 = 2 * pt[:, 0] * pt[:, 1] * (np.cosh(eta[:, 0] - eta[:, 1]) - np.cos(phi[:, 0] - phi[:, 1]))
    histogram.fill(mass=ak.to_numpy(np.sqrt(mass2)), met=ak.to_numpy(met))


def empty() -> Any:
    """Return the histogram that all sides fill."""
    import hist

    return hist.Hist(hist.axis.Regular(100, 0, 200, name="mass"), hist.axis.Regular(10, 0, 200, name="met"))


class Dimuons(ProcessorABC):  # type: ignore[misc]  # coffea is not typed
    """The processor."""

    def __init__(self, run: int = 0) -> None:
        """Be the same processor under another number: a worker that knows one of them knows nothing of the other."""
        self.run = run

    def process(self, events: Any) -> Any:
        """Fill the histogram with a chunk."""
        histogram = empty()
        muons = events.Muon
        fill(histogram, muons.pt, muons.eta, muons.phi, muons.charge, events.MET.pt)
        return histogram

    def postprocess(self, accumulator: Any) -> Any:
        """Return the sum as it is."""
        return accumulator


def by_hand(case: Case, paths: Sequence[Path | str], *, at_once: bool = False) -> Any:
    """Be the loop: each file opened once; with ``at_once``, chunks that share baskets are read together."""
    import uproot

    total = empty()
    step = max(case.chunksize, BASKET) if at_once else case.chunksize
    for path in paths:
        with uproot.open(path) as file:
            tree = file["Events"]
            for start in range(0, case.events, step):
                arrays = tree.arrays(list(BRANCHES), entry_start=start, entry_stop=start + step, how=dict)
                for first in range(0, min(step, case.events - start), case.chunksize):
                    fill(total, *(arrays[name][first : first + case.chunksize] for name in BRANCHES))
    return total


def by_runner(
    executor: Callable[[], Any], case: Case, paths: Sequence[Path | str], *, run: int = 0, datasets: int = 1
) -> Any:
    """Be the user's script with coffea's Runner; what must be known of the files is known already, as to the loop.

    With ``datasets`` the same files are processed so many times.
    """
    items = [
        WorkItem(f"bench {dataset}", str(path), "Events", start, stop, b"")
        for dataset in range(datasets)
        for path in paths
        for start, stop in case.chunks
    ]
    return Runner(executor=executor(), schema=NanoAODSchema)(items, Dimuons(run))
