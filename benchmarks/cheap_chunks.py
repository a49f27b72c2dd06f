"""What a chunk costs on one core: this project and coffea's IterativeExecutor, over a loop written by hand.

    python benchmarks/cheap_chunks.py [--quick] [--rounds N] [--only NAME]

All sides do the same arithmetic in one process, in turns. Two loops: one reads chunk by chunk, as one writes it first;
the other reads all chunks of a file's basket at once, which is what an engine that knows the next chunks can do too.
"""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import click
import table
from measure import Row, in_turns
from nanoaod_like import BASKET, copies, files

ROUNDS = 5
BRANCHES = ("Muon_pt", "Muon_eta", "Muon_phi", "Muon_charge", "MET_pt")


@dataclass(frozen=True)
class Case:
    """One kind of file and of chunk."""

    name: str
    make: Callable[[], list[Path]]
    events: int
    """Of each file."""
    chunksize: int
    goal: float

    @property
    def chunks(self) -> list[tuple[int, int]]:
        """Entry ranges of the chunks of a file."""
        return [(start, min(start + self.chunksize, self.events)) for start in range(0, self.events, self.chunksize)]


CASES = [
    Case("17 branches, 10k", partial(files, 17, 8, 200_000), 200_000, 10_000, 1.3),
    Case("17 branches, 100k", partial(files, 17, 8, 200_000), 200_000, 100_000, 1.3),
    Case("617 branches, 10k", partial(files, 617, 2, 200_000), 200_000, 10_000, 1.3),
    Case("617 branches, 100k", partial(files, 617, 2, 200_000), 200_000, 100_000, 1.3),
    Case("30 small files, 1499 branches", partial(copies, 1499, 30, 40), 40, 40, 1.1),
]


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


def process(events: Any) -> Any:
    """Be the processor."""
    histogram = empty()
    muons = events.Muon
    fill(histogram, muons.pt, muons.eta, muons.phi, muons.charge, events.MET.pt)
    return histogram


def by_hand(case: Case, paths: Sequence[Path], *, at_once: bool = False) -> Any:
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


def by_runner(executor: Callable[[], Any], case: Case, paths: Sequence[Path]) -> Any:
    """Be the user's script with coffea's Runner; what must be known of the files is known already, as to the loop."""
    from coffea.nanoevents import NanoAODSchema
    from coffea.processor import Runner
    from coffea.processor.executor import WorkItem

    items = [WorkItem("bench", str(path), "Events", start, stop, b"") for path in paths for start, stop in case.chunks]
    return Runner(executor=executor(), schema=NanoAODSchema)(items, process)


def rows(*, quick: bool, rounds: int | None = None, only: Sequence[str] = ()) -> Iterator[Row]:
    """Yield each case's ratios over the loop, by processor time: the wall's follows where nothing else runs."""
    from coffea.processor import IterativeExecutor

    for case in CASES:
        if only and case.name not in only:
            continue
        paths = case.make()[: (2 if case.events > 1000 else 8) if quick else None]
        sides = {
            "loop": partial(by_hand, case, paths),
            "loop, whole baskets": partial(by_hand, case, paths, at_once=True),
            "coffea": partial(by_runner, partial(IterativeExecutor, status=False), case, paths),
            "pocket-exec": partial(by_runner, ours, case, paths),
        }
        expected = sides["loop"]()
        if any(made() != expected for made in sides.values()):
            raise RuntimeError(f"{case.name}: the sides do not agree")
        print(case.name, flush=True)
        took = in_turns(
            {name: partial(_cpu_ms, side) for name, side in sides.items()}, rounds or (2 if quick else ROUNDS)
        )
        per = len(paths) * len(case.chunks)
        ms = {name: [each / per for each in values] for name, values in took.items()}
        yield Row(f"{case.name}: pocket-exec", ms["pocket-exec"], "loop", ms["loop"], "ms/chunk", case.goal)
        yield Row(
            f"{case.name}: pocket-exec", ms["pocket-exec"], "loop, whole baskets", ms["loop, whole baskets"], "ms/chunk"
        )
        yield Row(f"{case.name}: IterativeExecutor", ms["coffea"], "loop", ms["loop"], "ms/chunk")


def ours() -> Any:
    """Return this project's executor on one core."""
    from pocket_exec.engine.executor import PocketExecutor

    return PocketExecutor(status=False)


def _cpu_ms(side: Callable[[], Any]) -> float:
    gc.collect()
    begin = time.process_time()
    side()
    return (time.process_time() - begin) * 1e3


@click.command()
@click.option("--only", multiple=True, type=click.Choice([case.name for case in CASES]), help="Only this.")
@click.option("--quick", is_flag=True, help="Fewer rounds and files: whether it works, not what it takes.")
@click.option("--rounds", type=int, help="Instead of 5.")
def main(only: tuple[str, ...], quick: bool, rounds: int | None) -> None:
    """Measure, and print the ratios."""
    print(table.machine())
    found = list(rows(quick=quick, rounds=rounds, only=only))
    table.show(found)
    print(f"medians of {statistics.median(len(row.ours) for row in found):.0f} rounds, processor time")


if __name__ == "__main__":
    main()
