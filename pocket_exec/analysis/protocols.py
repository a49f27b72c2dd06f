"""Finds files of a fileset that this Python environment cannot read for want of a package."""

from __future__ import annotations

from importlib.util import find_spec

from pocket_exec.analysis.fileset import Fileset
from pocket_exec.errors import CfgError

_XROOTD = ("root://", "xroot://", "roots://")
_PACKAGES = ("XRootD", "fsspec_xrootd")


def check_protocols(fileset: Fileset) -> None:
    """Look for what reads the files' addresses.

    Raises:
        CfgError: a file has addresses of XRootD only, which is not installed.
    """
    files = [file for dataset in fileset for file in dataset.files]
    remote = [file.name for file in files if all(name.startswith(_XROOTD) for name in (file.name, *file.replicas))]
    if remote and any(find_spec(package) is None for package in _PACKAGES):
        more = f" and {len(remote) - 1} more" if remote[1:] else ""
        raise CfgError(
            f"{remote[0]}{more}: XRootD, which reads this, is not installed here; "
            "install it with: pip install 'pocket-exec[xrootd]'"
        )
