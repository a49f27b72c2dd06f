"""The input of the measurements: made once by the generator of the Z to mumu example, and kept in a cache folder."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import tempfile
from pathlib import Path

REPOSITORY = Path(__file__).absolute().parent.parent
EXAMPLE = REPOSITORY / "examples" / "zmumu"
CACHE = Path(os.environ.get("POCKET_EXEC_BENCH_CACHE") or REPOSITORY / ".cache" / "bench").absolute()
GENERATOR = ("generate.py", "detector.py", "nanoaod.py", "processes.py", "samples.py", "truth.py")


def zmumu(events: int) -> Path:
    """Return a directory with ``events`` simulated events, in files that are in the disk cache."""
    digest = hashlib.sha256(b"".join((EXAMPLE / name).read_bytes() for name in GENERATOR)).hexdigest()
    directory = CACHE / f"zmumu-{events}-{digest[:8]}"
    if not directory.exists():
        CACHE.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=CACHE) as made:
            # Whoever finds the directory finds it whole.
            unfinished = Path(made) / "data"
            words = [sys.executable, EXAMPLE / "generate.py", "--out", unfinished, "--events", str(events)]
            subprocess.run(words, check=True)
            unfinished.rename(directory)
    for path in directory.iterdir():
        path.read_bytes()
    return directory


def one_branch(events: int) -> Path:
    """Return a file with a single branch: what a chunk of it takes is mostly what any chunk takes."""
    path = CACHE / f"one-branch-{events}.root"
    if not path.exists():
        import numpy as np
        import uproot

        CACHE.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=CACHE) as made:
            unfinished = Path(made) / "data.root"
            with uproot.recreate(unfinished) as file:
                file["Events"] = {"x": np.random.default_rng(1).random(events)}
            unfinished.rename(path)
    return path
