"""Chooses the queue, partition or job flavour that a walltime needs: the shortest in which it fits."""

from __future__ import annotations

from collections.abc import Mapping

from pocket_exec.errors import Fault, OptionsError
from pocket_exec.options.quantities import Duration


def walltime_fault(walltime_s: int | None, limits: Mapping[str, Duration]) -> Fault | None:
    """Say that no queue lets a job run for so long.

    >>> print(walltime_fault(7200, {"short": Duration(3600)}))
    walltime: '02:00:00' is longer than any queue lets a job run; the longest is 'short' ('01:00:00')
    """
    if walltime_s is None or not limits or walltime_s <= max(limits.values()):
        return None
    longest = max(limits, key=lambda queue: limits[queue])
    return Fault(
        "walltime",
        f"'{Duration(walltime_s)}' is longer than any queue lets a job run; "
        f"the longest is '{longest}' ('{limits[longest]}')",
    )


def queue_for(queue: str | None, walltime_s: int | None, limits: Mapping[str, Duration]) -> str | None:
    """Return the queue that was asked for, else the shortest that ``walltime_s`` fits in, else None: the system's own.

    Raises:
        OptionsError: no queue allows that walltime.

    >>> queue_for(None, 5400, {"day": Duration(86400), "short": Duration(3600), "long": Duration(7200)})
    'long'
    """
    if fault := walltime_fault(walltime_s, limits):
        raise OptionsError([fault])
    if queue is not None or walltime_s is None:
        return queue
    fitting = [name for name, limit in limits.items() if walltime_s <= limit]
    return min(fitting, key=lambda name: limits[name], default=None)
