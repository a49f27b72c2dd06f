"""Starts the daemons of HTCondor and Slurm as the first process of the farm's PID namespace."""

from __future__ import annotations

import os
import pwd
import secrets
import shutil
import subprocess
import time
from pathlib import Path
from string import Template
from typing import Any

CPUS = 60
MEMORY_MB = 120_000
HOST = "submit01.farm.test"
HOSTS = {HOST: "10.66.0.1", "lxplus901.farm.test": "10.66.0.2", "t3ui01.farm.test": "10.66.0.3"}
"""Names that a client's machine may have, and the one that the daemons' has."""

SITE = "T2_LNL_PD"

_ENVIRONMENT = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C.UTF-8", "HOME": "/root"}


_WITHOUT = Path("/etc/farm/without")
"""Runs a daemon that must not see what is the client's own: the ones that start jobs, not the schedd."""

_HIDE = """#!/bin/sh
exec unshare --mount --propagation private \\
  sh -c 'mount -t tmpfs -o mode=755 none "$0" && exec "$@"' {unshared} {daemon} "$@"
"""


def configure(binds: list[Path], unshared: Path) -> None:
    """Write the configuration of both systems and the directories they need; no job sees ``unshared``."""
    _WITHOUT.mkdir(parents=True)
    for name in ("condor_startd", "slurmd"):
        (_WITHOUT / name).write_text(_HIDE.format(unshared=unshared, daemon=f"/usr/sbin/{name}"))
        (_WITHOUT / name).chmod(0o755)
    values: dict[str, Any] = {"CPUS": CPUS, "MEMORY_MB": MEMORY_MB, "HOST": HOST, "SITE": SITE}
    values |= {"BINDS": " ".join(f"{path}" for path in binds), "STARTD": f"{_WITHOUT}/condor_startd"}
    here = Path(__file__).parent
    for name, target in (("condor.conf", "/etc/condor/config.d/99-farm"), ("slurm.conf", "/etc/slurm/slurm.conf")):
        Path(target).write_text(Template((here / name).read_text()).safe_substitute(values))
    Path("/etc/slurm/cgroup.conf").write_text("CgroupPlugin=disabled\n")
    owned = {
        "condor": [
            "/run/condor",
            "/run/lock/condor",
            "/var/spool/condor",
            "/var/lib/condor/execute",
            "/var/log/condor",
        ],
        "munge": ["/run/munge", "/var/lib/munge", "/var/log/munge", "/etc/munge"],
        "slurm": ["/run/slurm", "/var/lib/slurm", "/var/lib/slurm/slurmctld", "/var/log/slurm"],
    }
    for user, directories in owned.items():
        for directory in map(Path, directories):
            directory.mkdir(parents=True, exist_ok=True)
            directory.chmod(0o755)
            shutil.chown(directory, user, user)
    for directory in map(Path, ("/etc/munge", "/var/log/munge")):
        directory.chmod(0o700)
    key = Path("/etc/munge/munge.key")
    key.unlink(missing_ok=True)
    key.touch(0o400)
    key.write_bytes(secrets.token_bytes(1024))
    shutil.chown(key, "munge", "munge")


def serve() -> None:
    """Start the daemons, and take in what is left of jobs, for ever: the kernel ends all of them with this process."""
    _start("munged", "--foreground", user="munge")
    _wait_for(Path("/run/munge/munge.socket.2"))
    _start("slurmctld", "-D")
    _start(f"{_WITHOUT}/slurmd", "-D", "-N", HOST)
    _start("condor_master", "-f")
    while True:
        try:
            os.wait()
        except ChildProcessError:
            time.sleep(1)


def _start(*command: str, user: str | None = None) -> None:
    words = list(command)
    if user:
        entry = pwd.getpwnam(user)
        words = ["setpriv", f"--reuid={entry.pw_uid}", f"--regid={entry.pw_gid}", "--clear-groups", *words]
    with Path(f"/var/log/{Path(command[0]).name}.out").open("ab") as log:
        subprocess.Popen(words, env=_ENVIRONMENT, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd="/")


def _wait_for(path: Path, seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not path.exists() and time.monotonic() < end:
        time.sleep(0.05)
