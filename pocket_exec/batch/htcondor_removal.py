"""Removes HTCondor's jobs: by their ids, or by what their ads say."""

from __future__ import annotations

import re
from collections.abc import Sequence

from pocket_exec.batch.commands import CommandFailedError, Commands, each_in_turn, failure, words
from pocket_exec.batch.system import by_place

_GONE = re.compile(r"not found|Couldn't find|no jobs in the queue", re.IGNORECASE)
_REMOVED = 3
"""``JobStatus`` of a job that is on its way out."""


def at_schedd(schedd: str | None) -> list[str]:
    """Return the words that send a command to a schedd; none for the local one."""
    return ["-name", schedd] if schedd is not None else []


def removals(ids: Sequence[str]) -> list[list[str]]:
    """Return one condor_rm for each schedd."""
    return [["condor_rm", *at_schedd(schedd), *group] for schedd, group in by_place(ids).items()]


def removal_where(schedd: str | None, constraint: str) -> list[str]:
    """Return the condor_rm of all jobs whose ads fulfil ``constraint``."""
    return ["condor_rm", *at_schedd(schedd), "-constraint", constraint]


def left_where(schedd: str | None, constraint: str) -> list[str]:
    """Return the condor_q that prints a line for each job that fulfils ``constraint`` and is not being removed."""
    left = f"({constraint}) && JobStatus != {_REMOVED}"
    return ["condor_q", *at_schedd(schedd), "-constraint", left, "-af", "ClusterId"]


def remove(commands: Commands, ids: Sequence[str]) -> None:
    """Remove jobs; those that are gone already are no fault.

    Raises:
        FarmError: what failed.
    """
    each_in_turn(removals(ids), commands, _GONE)


def remove_where(commands: Commands, schedd: str | None, constraint: str, timeout_s: float | None = None) -> None:
    """Remove jobs, of which there may be none: that fails with the words for jobs that cannot be removed.

    Raises:
        FarmError: a command failed, and jobs may be left.
    """
    done = commands(removal_where(schedd, constraint), timeout_s=timeout_s)
    if done.returncode == 0:
        return
    said = words(done).splitlines()
    gone = bool(said) and all(_GONE.search(line) for line in said)
    if not gone or _queued(commands, schedd, constraint, timeout_s):
        raise CommandFailedError(failure(done))


def _queued(commands: Commands, schedd: str | None, constraint: str, timeout_s: float | None) -> bool:
    """Return whether there are jobs of this kind that are not being removed."""
    done = commands(left_where(schedd, constraint), timeout_s=timeout_s)
    if done.returncode != 0:
        raise CommandFailedError(failure(done))
    return bool(done.stdout.strip())
