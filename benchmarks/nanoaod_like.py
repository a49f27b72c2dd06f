"""Files in the layout of NanoAOD, as wide as asked, for the measurements of what a chunk costs."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import Any

from data import CACHE

BASKET = 50_000
"""Events of a basket, as in files that central productions make."""
OWN_BRANCHES = 17


def files(branches: int, files: int, events: int) -> list[Path]:
    """Return ``files`` files of ``events`` events and ``branches`` branches; written once, and in the disk cache."""
    directory = CACHE / f"nanoaod-like-{branches}-{files}x{events}"
    if not directory.exists():
        CACHE.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=CACHE) as made:
            # Whoever finds the directory finds it whole.
            unfinished = Path(made) / "data"
            unfinished.mkdir()
            for number in range(files):
                _write(unfinished / f"{number}.root", branches, events, seed=number)
            unfinished.rename(directory)
    paths = sorted(directory.iterdir())
    for path in paths:
        path.read_bytes()
    return paths


def copies(branches: int, copies: int, events: int) -> list[Path]:
    """Return copies of one small file: writing many branches takes long."""
    (original,) = files(branches, 1, events)
    directory = CACHE / f"nanoaod-like-{branches}-copies-{copies}x{events}"
    directory.mkdir(exist_ok=True)
    paths = [directory / f"{number}.root" for number in range(copies)]
    for path in paths:
        if not path.exists():
            shutil.copy(original, path)
        path.read_bytes()
    return paths


def _write(path: Path, branches: int, events: int, seed: int) -> None:
    import numpy as np
    import uproot

    random = np.random.default_rng(seed)
    with uproot.recreate(path, compression=uproot.ZLIB(1)) as file:
        first = _events(random, min(events, BASKET), branches - OWN_BRANCHES)
        types = {name: getattr(value, "dtype", None) or value.type for name, value in first.items()}
        tree = file.mktree("Events", types, title="Events")
        tree.extend(first)
        for start in range(BASKET, events, BASKET):
            tree.extend(_events(random, min(events - start, BASKET), branches - OWN_BRANCHES))


def _events(random: Any, n: int, triggers: int) -> dict[str, Any]:
    import awkward as ak
    import numpy as np

    def collection(most: int, **columns: Any) -> Any:
        counts = random.integers(0, most + 1, n)
        return ak.zip({name: ak.unflatten(make(counts.sum()), counts) for name, make in columns.items()})

    def flat(low: float, high: float) -> Any:
        return lambda size: random.uniform(low, high, size).astype(np.float32)

    kinematics = {"pt": flat(5, 100), "eta": flat(-2.4, 2.4), "phi": flat(-3.14, 3.14), "mass": flat(0.1, 0.11)}
    return {
        "run": np.full(n, 1, np.uint32),
        "luminosityBlock": np.full(n, 1, np.uint32),
        "event": np.arange(n, dtype=np.uint64),
        "Muon": collection(4, **kinematics, charge=lambda size: random.choice([-1, 1], size).astype(np.int32)),
        "Jet": collection(6, **kinematics),
        "MET_pt": flat(0, 200)(n),
        "MET_phi": flat(-3.14, 3.14)(n),
        "HLT_IsoMu24": random.random(n) < 0.3,
        **{f"HLT_Path{number}": random.random(n) < 0.01 for number in range(triggers)},
    }
