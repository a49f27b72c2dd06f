"""Writes events as a NanoAOD file: trees Events, LuminosityBlocks and Runs, baskets and precision as CMS has them."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np
import uproot
from detector import Event
from truth import Array, Table

BASKET_EVENTS = 20_000
"""Events per basket of a branch: 30 to 150 kB before compression, as in files of CMS."""

MANTISSA_BITS = {"Muon_pt": 23, "genWeight": 23, "Generator_weight": 23, "eta": 12, "phi": 12}
"""Bits of a real number's mantissa that are kept, by branch or by column of a collection, as NanoAOD does: what is
below the resolution of the detector would only cost disk space. All others: DEFAULT_MANTISSA_BITS."""
DEFAULT_MANTISSA_BITS = 10


def write(path: Path, blocks: Iterable[Event], *, is_mc: bool) -> int:
    """Write blocks of events to ``path``, a basket per block and branch; return the number of events."""
    total = 0
    lumis: list[Array] = []
    weights: list[Array] = []
    with uproot.recreate(path, compression=uproot.ZSTD(5)) as file:
        tree = None
        for block in blocks:
            branches = _branches(block, is_mc=is_mc)
            if tree is None:
                tree = file.mktree("Events", {name: _type(values) for name, values in branches.items()})
            tree.extend(branches)
            total += block.size
            lumis.append(np.stack([block.scalars["run"], block.scalars["luminosityBlock"]]))
            weights.append(block.scalars["genWeight"])
        run, lumi = np.unique(np.concatenate(lumis, axis=1), axis=1)
        _tree(file, "LuminosityBlocks", {"run": run.astype(np.uint32), "luminosityBlock": lumi.astype(np.uint32)})
        _tree(file, "Runs", _runs(np.unique(run), np.concatenate(weights), is_mc=is_mc))
    return total


def _branches(block: Event, *, is_mc: bool) -> dict[str, Any]:
    """Return the branches of a block; data have none of the generator's."""
    branches: dict[str, Any] = {
        name: _stored(name, values) for name, values in block.scalars.items() if is_mc or not _is_truth(name)
    }
    for collection, table in block.collections.items():
        if not is_mc and _is_truth(collection):
            continue
        columns = {
            name: _stored(f"{collection}_{name}", values)
            for name, values in table.items()
            if name != "event" and (is_mc or not _is_truth(name))
        }
        counts = np.bincount(table["event"], minlength=block.size)
        branches[collection] = ak.unflatten(ak.zip(columns), counts)
    return branches


def _is_truth(name: str) -> bool:
    return name.lower().startswith(("gen", "lhe", "pileup", "hadronflavour"))


def _stored(name: str, values: Array) -> Array:
    """Return ``values`` in the type, and with the precision, that NanoAOD stores them with."""
    if values.dtype == bool or values.dtype in (np.uint8, np.uint32, np.uint64):
        return values
    if np.issubdtype(values.dtype, np.integer):
        return values.astype(np.int32)
    kept = MANTISSA_BITS.get(name) or MANTISSA_BITS.get(name.partition("_")[2], DEFAULT_MANTISSA_BITS)
    return _rounded(values.astype(np.float32), kept)


def _rounded(values: Array, mantissa_bits: int) -> Array:
    """Round the mantissa of 32-bit numbers."""
    dropped = 23 - mantissa_bits
    if not dropped:
        return values
    bits = values.view(np.uint32) + np.uint32(1 << (dropped - 1))
    return (bits & np.uint32(0xFFFFFFFF << dropped & 0xFFFFFFFF)).view(np.float32)


def _type(values: Any) -> Any:
    return values.dtype if isinstance(values, np.ndarray) else ak.type(values).content


def _tree(file: Any, name: str, branches: Table) -> None:
    file.mktree(name, {branch: values.dtype for branch, values in branches.items()}).extend(branches)


def _runs(run: Array, weights: Array, *, is_mc: bool) -> Table:
    branches: Table = {"run": run.astype(np.uint32)}
    if is_mc:
        branches["genEventCount"] = np.array([weights.size], dtype=np.int64)
        branches["genEventSumw"] = np.array([weights.sum()])
        branches["genEventSumw2"] = np.array([(weights**2).sum()])
    return branches
