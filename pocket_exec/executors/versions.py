"""Compares the software of client, scheduler and workers."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from typing import Any

from pocket_exec.errors import FarmError

log = logging.getLogger(__name__)

DECIDING = ("python", "coffea", "cloudpickle")
"""A task pickled here does not run, or gives other numbers, where these differ (Python: its minor version)."""
TELLING = ("dask", "distributed", "awkward", "uproot", "numpy")
"""A difference in these is often harmless, and worth knowing when it is not."""


def compare_versions(client: Any) -> None:
    """Compare versions with all that is connected.

    Raises:
        FarmError: a difference that cannot work, with all versions side by side.
    """
    versions = client.get_versions(packages=["coffea", "awkward", "uproot", "cloudpickle"])
    wrong = list(differences(versions, DECIDING))
    for line in differences(versions, TELLING):
        log.warning("versions differ: %s", line)
    if wrong:
        raise FarmError(
            "the workers cannot run what this environment sends them:\n"
            + "\n".join(f"  {line}" for line in wrong)
            + "\nStart the analysis in the workers' image, or the workers in this environment."
        )


def differences(versions: Mapping[str, Any], packages: tuple[str, ...]) -> Iterator[str]:
    """Yield one line for each package that is not the same everywhere."""
    sides = {"client": versions["client"], "scheduler": versions["scheduler"]}
    sides |= {f"worker {address}": info for address, info in sorted(versions["workers"].items())}
    for package in packages:
        found: dict[str, list[str]] = {}
        for side, info in sides.items():
            version = _version(info, package)
            # A scheduler runs no chunk: what is not installed there is not missed.
            if version is not None or side.startswith(("client", "worker")):
                found.setdefault(version or "not installed", []).append(side)
        if len(found) > 1:
            yield f"{package}: " + "; ".join(f"{version} on {_few(names)}" for version, names in found.items())


def _version(info: Mapping[str, Any] | None, package: str) -> str | None:
    version = ((info or {}).get("packages") or {}).get(package)
    if version and package == "python":
        return ".".join(str(version).split(".")[:2])
    return version


def _few(names: list[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
