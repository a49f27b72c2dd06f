"""Says where the farm's parts lie, and what they were made of."""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import shutil
from contextlib import suppress
from pathlib import Path
from typing import TextIO

ROOT = Path(__file__).parents[2]
"""The checkout."""

CACHE = "POCKET_EXEC_FARM_CACHE"

HOLDER, READY = "holder.json", "ready"
"""Files in the state directory: who holds the farm, and that it takes jobs."""


class FarmFailedError(Exception):
    """The farm cannot be built or started; the message says what failed and what to try."""

    status = 1


class UnsupportedError(FarmFailedError):
    """This machine cannot have a farm at all."""

    status = 69


def cache() -> Path:
    """Return the directory of what takes long to build: packages' tree and image."""
    return Path(os.environ.get(CACHE) or ROOT / ".cache" / "farm").resolve()


def state() -> Path:
    """Return the directory of the running farm: shared folder, logs, spools; its path is the same on both sides.

    Apptainer puts an empty /tmp over what it binds below it, and HTCondor splits its list of binds at blanks.
    """
    inside = ROOT / ".cache" / "farm" / "run"
    if re.match(r"/(var/)?tmp/", f"{inside}") or re.search(r"[\s,:]", f"{inside}"):
        return Path("/var/lib/pocket-exec-farm") / digest(f"{ROOT}")
    return inside


def digest(*parts: str) -> str:
    """Return a name for what ``parts`` make."""
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]


def source(*modules: str) -> str:
    """Return the text of modules of this package: a build is stale when its recipe has changed."""
    return "".join((Path(__file__).parent / f"{module}.py").read_text() for module in modules)


def clear(directory: Path) -> None:
    """Remove a directory if it is there; a process that still ends in it may take files away meanwhile."""
    for _ in range(10):
        with suppress(FileNotFoundError):
            shutil.rmtree(directory)
        if not directory.exists():
            return
    shutil.rmtree(directory)


def hold(build: Path) -> TextIO:
    """Mark a build in the cache as in use, as long as the file returned is open."""
    file = (build / "in-use").open("w")
    fcntl.flock(file, fcntl.LOCK_SH)
    return file


def is_held(build: Path) -> bool:
    """Say whether a running farm uses a build."""
    with (build / "in-use").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        return False
