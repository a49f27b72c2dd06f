"""Holds the farm's namespaces open: makes its view of the machine, starts the daemons in it, waits to be told to end.

What a client sees belongs to this process; the daemons have a copy of it and process ids of their own, so that the
kernel ends all of them with the first.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import stat
import subprocess
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import NoReturn

from tests.farm_build import namespaces, pool
from tests.farm_build.image import LIBRARIES
from tests.farm_build.layout import HOLDER, hold

USERS = {"physicist": 64300, **{f"physicist{n}": 64300 + n for n in range(1, 9)}}
"""Ordinary users: one for a person at the keyboard, the others for test sessions, each its own."""


@dataclass(frozen=True)
class Holding:
    """What the holder is told: paths are the same on both sides."""

    tree: str
    unpacked: str
    images: dict[str, str]
    """Paths in ``unpacked`` by purpose."""
    state: str
    venv: str
    """The client's virtual environment."""
    visible: list[str]
    """Seen at their own path, read-only."""
    nanoaod: str | None

    @property
    def shared(self) -> Path:
        """Seen by clients, by jobs and in their images."""
        return Path(self.state) / "shared"

    @property
    def unshared(self) -> Path:
        """Seen by clients and by the schedd, which is on their machine; not by jobs."""
        return Path(self.state) / "unshared"


def main(holding: Holding) -> None:
    """Make the farm and hold it until SIGTERM, as nobody's child; print a line when its namespaces are made."""
    if os.fork():
        os._exit(0)
    (Path(holding.state) / HOLDER).write_text(json.dumps({"pid": os.getpid(), **asdict(holding)}))
    namespaces.unshare(namespaces.NEW_MOUNTS | namespaces.NEW_NETWORK | namespaces.NEW_HOSTNAME | namespaces.NEW_IPC)
    in_use = [hold(Path(path).parent) for path in (holding.tree, holding.unpacked)]
    root = Path(holding.state) / "root"
    _make_root(root, holding)
    namespaces.enter_root(root)
    namespaces.set_hostname(pool.HOST)
    _network()
    _users(holding.shared)
    subprocess.run(["/usr/sbin/ldconfig"], check=True, stdin=subprocess.DEVNULL)
    pool.configure([holding.shared, Path("/cvmfs")], holding.unshared)
    daemons = os.fork()
    if not daemons:
        _daemons(holding)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    print("made", flush=True)
    os.waitpid(daemons, 0)
    del in_use


def _make_root(root: Path, holding: Holding) -> None:
    """Mount the tree and the rest of the farm's view of the machine below ``root``."""
    tree, state = Path(holding.tree), Path(holding.state)
    namespaces.fresh(root, options="mode=755")
    for link in tree.iterdir():
        if link.is_symlink():
            (root / link.name).symlink_to(link.readlink())
    namespaces.bind(tree / "usr", root / "usr", read_only=True)
    copy = ["cp", "--archive", "--target-directory", f"{root}"]
    subprocess.run([*copy, f"{tree}/etc"], check=True)
    shutil.copytree(tree / "var", root / "var", symlinks=True, ignore=shutil.ignore_patterns("cache", "apt", "dpkg"))
    for name in ("home", "mnt", "opt", "root", "srv", "run", "eos/user/p", "var/cache/ldconfig"):
        (root / name).mkdir(parents=True, exist_ok=True)
    for name in ("proc", "dev"):
        namespaces.bind(Path("/") / name, root / name, recursive=True)
    namespaces.bind(Path("/sys"), root / "sys")
    _fuse(state / "fuse", root / "dev/fuse")
    disk = {"tmp": "tmp", "var/tmp": "vartmp", "scratch": "scratch", "var/log": "log"}
    disk |= {"var/lib/condor/execute": "execute", "var/spool/condor": "spool"}
    for inside, outside in disk.items():
        (state / outside).mkdir(exist_ok=True)
        (state / outside).chmod(0o1777 if outside in ("tmp", "vartmp", "scratch") else 0o755)
        namespaces.bind(state / outside, root / inside)
    namespaces.fresh(root / "run", options="mode=755")
    (root / "run/lock").mkdir(mode=0o1777)
    (root / "run/lock").chmod(0o1777)
    namespaces.bind(Path(holding.unpacked), root / "cvmfs/unpacked.cern.ch", read_only=True)
    for path in sorted(holding.visible):
        namespaces.bind(Path(path), root / path.lstrip("/"), read_only=True)
    for directory in (holding.shared, holding.unshared):
        namespaces.bind(directory, root / f"{directory}".lstrip("/"))
    if holding.nanoaod:
        namespaces.bind(Path(holding.nanoaod), root / f"{holding.shared}".lstrip("/") / "nanoaod", read_only=True)
    _libraries(root, Path(holding.unpacked) / holding.images["fits"])


def _fuse(made: Path, seen: Path) -> None:
    """Let ordinary users mount images of one file, as on a usual machine; the machine's own device may be root's."""
    if seen.exists():
        made.unlink(missing_ok=True)
        os.mknod(made, stat.S_IFCHR | 0o666, os.stat(seen).st_rdev)
        made.chmod(0o666)
        namespaces.bind(made, seen)


def _libraries(root: Path, image: Path) -> None:
    """Give the client's Python the libraries that the tree lacks."""
    ours = root / "opt/python-libraries"
    ours.mkdir()
    for library in (image / LIBRARIES).iterdir():
        if not list(root.glob(f"usr/lib/*/{library.name}")):
            shutil.copy2(library, ours)
    (root / "etc/ld.so.conf.d/python.conf").write_text("/opt/python-libraries\n")


def _network() -> None:
    """Bring up a network of one machine, in which an address other than loopback's is found as on a real one."""
    addresses = [f"address add {address}/32 dev lo" for address in pool.HOSTS.values()]
    for words in ("link set lo up", *addresses, f"route add default dev lo src {pool.HOSTS[pool.HOST]}"):
        subprocess.run(["/usr/sbin/ip", *words.split()], check=True, stdin=subprocess.DEVNULL)
    hosts = [f"{address} {name} {name.split('.')[0]}\n" for name, address in pool.HOSTS.items()]
    Path("/etc/hosts").write_text("".join(["127.0.0.1 localhost\n", *hosts]))
    Path("/etc/hostname").write_text(f"{pool.HOST}\n")


def _users(shared: Path) -> None:
    """Add the ordinary users; their homes are shared, as on lxplus."""
    (shared / "home").mkdir(exist_ok=True)
    with Path("/etc/passwd").open("a") as passwd, Path("/etc/group").open("a") as group:
        for name, uid in USERS.items():
            home = shared / "home" / name
            passwd.write(f"{name}:x:{uid}:{uid}::{home}:/bin/bash\n")
            group.write(f"{name}:x:{uid}:\n")
            for path, mode in ((home, 0o755), (Path("/eos/user/p") / name, 0o755), (Path(f"/run/user/{uid}"), 0o700)):
                path.mkdir(parents=True, exist_ok=True)
                path.chmod(mode)
                os.chown(path, uid, uid)


def _daemons(holding: Holding) -> NoReturn:
    """Become the parent of the daemons' first process, in their view of the machine."""
    namespaces.die_with_parent(signal.SIGKILL)
    namespaces.unshare(namespaces.NEW_MOUNTS)
    namespaces.unshare(namespaces.NEW_PIDS)
    first = os.fork()
    if first:
        os.waitpid(first, 0)
        os._exit(1)
    namespaces.die_with_parent(signal.SIGKILL)
    namespaces.fresh(Path("/proc"), "proc")
    try:
        pool.serve()
    finally:
        os._exit(1)


if __name__ == "__main__":
    main(Holding(**json.loads(sys.argv[1])))
