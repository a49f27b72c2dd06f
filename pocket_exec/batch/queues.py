"""Chooses the queue, partition or job flavour that a walltime needs: the shortest in which it fits."""

from __future__ import annotations

from collections.abc import Mapping

from pocket_exec.errors import Fault, OptionsError
from pocket_exec.options.batch import beyond_all_queues
from pocket_exec.options.quantities import Duration


def queue_for(queue: str | None, walltime_s: int | None, limits: Mapping[str, Duration]) -> str | None:
    """Return the queue that was asked for, else the shortest that ``walltime_s`` fits in, else None: the system's own.

    Raises:
        OptionsError: no queue allows that walltime.

    >>> queue_for(None, 5400, {"day": Duration(86400), "short": Duration(3600), "long": Duration(7200)})
    'long'
    """
    if why := beyond_all_queues(walltime_s, limits):
        raise OptionsError([Fault("walltime", why)])
    if queue is not None or walltime_s is None:
        return queue
    fitting = [name for name, limit in limits.items() if walltime_s <= limit]
    return min(fitting, key=lambda name: limits[name], default=None)
