"""Builds what is missing of the farm: in a directory of its own, renamed when it is whole; one build at a time."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.farm_build import image, tree
from tests.farm_build.client import client
from tests.farm_build.layout import FarmFailedError, UnsupportedError, cache, clear, digest, is_held, source
from tests.farm_build.steps import Steps

_KEPT = 2
"""Builds of each kind that stay in the cache: checkouts with different Pythons may share it."""


@dataclass(frozen=True)
class Built:
    """The parts of a farm that do not change while it runs."""

    tree: Path
    unpacked: Path
    images: dict[str, str]
    """Paths in the unpacked repository by purpose: ``fits``, ``without-python``, ``other-distributed``, ..."""


def check_machine() -> None:
    """Raise ``UnsupportedError`` where no farm can be."""
    missing = [name for name in ("unshare", "nsenter", "setpriv", "apt-get", "dpkg-deb") if not shutil.which(name)]
    if not sys.platform.startswith("linux"):
        raise UnsupportedError(f"the farm needs Linux namespaces; this is {sys.platform}")
    if os.geteuid() != 0:
        raise UnsupportedError("the farm needs root: mounts, namespaces and an ordinary user of its own")
    if missing:
        raise UnsupportedError(f"the farm needs {', '.join(missing)}: Debian or a relative with util-linux")
    tried = ["unshare", "--mount", "--pid", "--fork", "--uts", "--ipc", "--net", "mount", "-t", "proc", "proc", "/proc"]
    done = subprocess.run(tried, capture_output=True, text=True, check=False)
    if done.returncode:
        raise UnsupportedError(f"the farm needs namespaces and mounts, not to be had here: {done.stderr.strip()}")


def build() -> Built:
    """Return the built parts; build those that are missing or stale."""
    check_machine()
    me = client()
    versions = " ".join(f"{name}=={version}" for name, version in me.versions.items())
    with _lock(cache() / "lock"):
        packages = _built("tree", source("tree", "archive", "steps"), tree.build_tree)
        recipe = f"{packages.name} {me.minor} {me.base_prefix} {versions} {source('image', 'client')}"
        images = _built("image", recipe, lambda to, steps: image.build_images(to, packages, me, steps))
    return Built(packages / "tree", images / "unpacked", image.names(me))


def _built(kind: str, recipe: str, make: Callable[[Path, Steps], None]) -> Path:
    target = cache() / f"{kind}-{digest(recipe)}"
    if not target.exists():
        for left in cache().glob("building-*"):
            clear(left)
        work = cache() / f"building-{kind}"
        work.mkdir()
        steps = Steps(cache() / f"{kind}.log")
        steps.log.write_text("")
        try:
            make(work, steps)
        except (OSError, shutil.Error) as error:
            raise FarmFailedError(f"{error}\nThe whole log: {steps.log}") from error
        work.rename(target)
        print("farm: " + ", ".join(f"{name} {took:.0f} s" for name, took in steps.took.items()), file=sys.stderr)
    os.utime(target)
    for old in sorted(cache().glob(f"{kind}-*/"), key=os.path.getmtime)[:-_KEPT]:
        if not is_held(old):
            clear(old)
    return target


@contextmanager
def _lock(path: Path) -> Iterator[None]:
    """Wait until no other build goes on in this cache."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print(f"farm: wait for the other build in {path.parent}", file=sys.stderr, flush=True)
            fcntl.flock(file, fcntl.LOCK_EX)
        yield
