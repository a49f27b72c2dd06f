"""This machine as a farm sees it: under which name, and from which of its directories jobs may be submitted."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterable, Iterator
from pathlib import Path

from pocket_exec.errors import Fault


def own_names() -> Iterator[str]:
    """Yield this machine's name, and its full one, which may take a name server's time."""
    yield socket.gethostname()
    yield socket.getfqdn()


def workers_here(workers: int) -> str:
    """Return in words how many workers run on this machine, and of one whether there could be more."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    if workers > 1:
        return f"{workers} workers on this machine"
    return "1 worker on this machine" + (f", which has {cores} cores: -s takes more of them" if cores > 1 else "")


def host_fault(wanted: str | None, names: Iterable[str]) -> Fault | None:
    """Say that runs are not started from this machine, whose names do not contain what ``submit-host`` asks for."""
    if wanted is None:
        return None
    known = []
    for name in names:
        if wanted.lower() in name.lower():
            return None
        known.append(name)
    return Fault(
        "submit-host",
        f"this machine is '{known[0]}', and runs are started on one whose name contains '{wanted}'; "
        "log in there, or set `--submit-host null` to start from here all the same",
    )


def directory_fault(where: str, directory: Path, forbidden: Iterable[str]) -> Fault | None:
    """Say that the batch system takes no submission with files in ``directory`` (``no-submit-from``)."""
    real = Path(os.path.realpath(directory))
    for place in forbidden:
        if real.is_relative_to(os.path.realpath(place)):
            return Fault(
                where,
                f"{directory} is under {place}, from where the batch system takes no submission (no-submit-from); "
                "set `log-directory` to a directory elsewhere, such as one of your home's",
            )
    return None
