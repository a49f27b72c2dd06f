"""What the tests of reading give: files, WorkItems, and the very function that coffea's Runner hands over."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np
import uproot
from coffea.nanoevents import NanoAODSchema
from coffea.processor import Runner
from coffea.processor.executor import ExecutorBase, WorkItem


@dataclass
class Keep(ExecutorBase):  # type: ignore[misc]  # coffea is not typed
    """An executor that runs nothing and keeps what it is given."""

    kept: list[Any] = field(default_factory=list)

    def __call__(self, items: Any, function: Any, accumulator: Any) -> Any:
        self.kept.append(function)
        return {"out": {}, "processed": set()}, 0


def handed_over(process: Any, *, schema: Any = NanoAODSchema, **options: Any) -> Callable[[Any], Any]:
    """Return the function that Runner makes of a processor, retries and all."""
    executor = Keep()
    of_run = {name: options.pop(name) for name in ("uproot_options", "iteritems_options") if name in options}
    runner = Runner(executor=executor, schema=schema, **options)
    runner.run([WorkItem("none", "none", "none", 0, 1, b"")], process, **of_run)
    function: Callable[[Any], Any] = executor.kept[0]
    return function


def items_of(path: Path, size: int, dataset: str = "data", treename: str = "Events", **usermeta: Any) -> list[WorkItem]:
    """Return the chunks of a file."""
    with uproot.open(path) as file:
        entries, uuid = file[treename].num_entries, file.file.fUUID
    return [
        WorkItem(dataset, str(path), treename, start, min(start + size, entries), uuid, usermeta)
        for start in range(0, entries, size)
    ]


def write(path: Path, events: int = 1000, *, seed: int = 0, basket: int = 300, more: Sequence[str] = ()) -> Path:
    """Write a file in the layout of NanoAOD: muons that point to jets, and ``more`` flat branches."""
    random = np.random.default_rng(seed)

    def collection(counts: Any, **columns: Any) -> Any:
        floats = {name: random.random(counts.sum()).astype(np.float32) for name in ("pt", "eta", "phi", "mass")}
        return ak.zip({name: ak.unflatten(values, counts) for name, values in {**floats, **columns}.items()})

    def some(n: int) -> dict[str, Any]:
        jets, muons = random.integers(0, 5, n), random.integers(0, 4, n)
        first_jet = np.repeat(np.where(jets > 0, 0, -1).astype(np.int32), muons)
        charge = random.choice([-1, 1], muons.sum()).astype(np.int32)
        return {
            "run": np.full(n, 1, np.uint32),
            "luminosityBlock": np.full(n, 1, np.uint32),
            "event": np.arange(n, dtype=np.uint64),
            "Muon": collection(muons, charge=charge, jetIdx=first_jet),
            "Jet": collection(jets),
            "MET_pt": random.random(n).astype(np.float32),
            "MET_phi": random.random(n).astype(np.float32),
            **{name: random.random(n).astype(np.float32) for name in more},
        }

    with uproot.recreate(path) as file:
        first = some(min(events, basket))
        types = {name: getattr(value, "dtype", None) or value.type for name, value in first.items()}
        tree = file.mktree("Events", types)
        tree.extend(first)
        for start in range(basket, events, basket):
            tree.extend(some(min(basket, events - start)))
    return path


def everything(events: Any) -> dict[str, Any]:
    """Be a processor that returns all that is in the events, buffer by buffer."""
    form, length, buffers = ak.to_buffers(ak.materialize(events))
    return {
        "form": form.to_json(),
        "length": length,
        "buffers": {name: (str(buffer.dtype), buffer.shape, buffer.tobytes()) for name, buffer in buffers.items()},
        "metadata": dict(events.metadata),
        "fields": events.fields,
    }


def sums(events: Any) -> dict[str, float]:
    """Be a small processor."""
    return {"n": len(events), "pt": float(ak.sum(events.Muon.pt)), "met": float(ak.sum(events.MET.pt))}
