"""Builds the tree of packages that the farm runs in, and the bare one that images are made of."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

from tests.farm_build.archive import SUITE, Archive, debootstrap, find_archive
from tests.farm_build.steps import Steps

BASE = ("ca-certificates", "iproute2", "procps")
PACKAGES = (
    "condor",
    "apptainer",
    "fuse-overlayfs",
    "squashfuse",
    "squashfs-tools",
    "slurmctld",
    "slurmd",
    "slurm-client",
    "munge",
)

_DPKG = """\
# Nothing here has to survive a power cut, and nobody reads it.
force-unsafe-io
path-exclude=/usr/share/doc/*
path-exclude=/usr/share/man/*
path-exclude=/usr/share/locale/*
"""

_CERTIFICATES = "etc/ssl/certs/ca-certificates.crt"


def build_tree(target: Path, steps: Steps) -> None:
    """Build ``target/tree``, with all packages, and ``target/base``, with none of them."""
    tree, work = target / "tree", target / "work"
    work.mkdir()
    with steps.step("look for a Debian archive in the machine's apt sources"):
        archive = find_archive(work, steps)
    with steps.step(f"make a tree of Debian {SUITE}"):
        _write(tree / "etc/dpkg/dpkg.cfg.d/farm", _DPKG)
        command, environment = debootstrap(archive, work, steps)
        options = ["--variant=minbase", f"--keyring={archive.keyring}", f"--include={','.join(BASE)}"]
        steps.run([*command, *options, SUITE, tree, archive.uri], {**archive.environment, **environment})
        shutil.rmtree(tree / "var/cache/apt")
        steps.run(["cp", "--archive", tree, target / "base"])
    with steps.step(f"install {', '.join(PACKAGES)}"):
        _settle(tree, archive)
        steps.chroot(tree, ["apt-get", "update", "--error-on=any"], archive.environment)
        install = ["apt-get", "install", "--yes", "--no-install-recommends", *PACKAGES]
        steps.chroot(tree, install, archive.environment)
        steps.chroot(tree, ["apt-get", "clean"])
        # By this a machine of the pool tells whether it can run images of one file; Debian's package leaves it out.
        test = "/usr/libexec/condor/singularity_test_sandbox"
        steps.chroot(tree, ["apptainer", "build", "/usr/libexec/condor/exit_37.sif", test])
        _mount_points(tree)
    shutil.rmtree(work)


def _settle(tree: Path, archive: Archive) -> None:
    """Let apt work in the tree as on the machine, and start no service."""
    policy = tree / "usr/sbin/policy-rc.d"
    _write(policy, "#!/bin/sh\nexit 101\n")
    policy.chmod(0o755)
    _write(tree / "etc/apt/apt.conf.d/99machine", archive.settings)
    needed = {"/etc/resolv.conf", f"/{_CERTIFICATES}", *re.findall(r'"(/[^"]+)"', archive.settings)}
    for path in map(Path, needed):
        if path.is_file():
            _write(tree / path.relative_to("/"), path.read_bytes().decode(errors="surrogateescape"))


def _write(path: Path, text: str) -> None:
    """Write a file of the tree; what was there may be a link that leads out of it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    path.write_bytes(text.encode(errors="surrogateescape"))


def _mount_points(tree: Path) -> None:
    """Make room for the client's own Python where it is the machine's: /usr is mounted read-only later."""
    for minor in range(11, 15):
        program = tree / f"usr/bin/python3.{minor}"
        if not program.exists():
            program.touch()
        (tree / f"usr/lib/python3.{minor}").mkdir(exist_ok=True)
