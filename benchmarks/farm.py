"""Workers on the farm of the tests: this project's cluster beside dask-jobqueue alone, from submission to the end."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import data
from measure import NotHereError, Row, in_turns

if TYPE_CHECKING:
    from tests.farm_build.farm import Farm

WORKERS, QUICK_WORKERS = 50, 8
ROUNDS, QUICK_ROUNDS = 3, 1
LONGEST_S = 1200.0
QUIET_WITHIN_S = 120.0
GOAL = 1.1

SCRIPT = data.REPOSITORY / "benchmarks" / "scripts" / "farm_workers.py"
OURS, THEIRS = "pocket_exec", "dask_jobqueue"
STEPS = {
    "ids": "until all jobs' ids are known",
    "first": "until the first worker has done a task",
    "last": "until the last worker has done a task",
    "close": "the close, until it returns",
    "empty": "the close, until the queue is empty",
}


@dataclass(frozen=True)
class System:
    """One batch system of the farm."""

    name: str
    beside: str
    submit_command: str
    queue: tuple[str, ...]
    """Command that lists the jobs of all users."""


SYSTEMS = {
    "farm-htcondor": System(
        "htcondor", "HTCondorCluster", "condor_submit", ("condor_q", "-allusers", "-af", "ClusterId")
    ),
    "farm-slurm": System("slurm", "SLURMCluster", "sbatch", ("squeue", "-h", "-o", "%i")),
}


def rows(measurement: str, *, quick: bool) -> Iterator[Row]:
    """Yield the rows of one batch system.

    Raises:
        NotHereError: the farm is not running.
    """
    system, workers = SYSTEMS[measurement], QUICK_WORKERS if quick else WORKERS
    beside = f"dask_jobqueue.{system.beside}"
    with _client() as farm:
        counts = {side: _submissions(farm, system, side, workers) for side in (OURS, THEIRS)}
        what = f"{system.submit_command} processes for {workers} workers"
        yield Row(what, [counts[OURS]], beside, [counts[THEIRS]], "", GOAL)
        variants = {side: partial(_run, farm, system, side, workers, "all") for side in (OURS, THEIRS)}
        taken = in_turns(variants, QUICK_ROUNDS if quick else ROUNDS)
    for step, title in STEPS.items():
        ours, theirs = ([times[f"{step}_s"] for times in taken[side]] for side in (OURS, THEIRS))
        yield Row(f"dask@{system.name}, {workers} workers: {title}", ours, beside, theirs, "s", GOAL)


@contextmanager
def _client() -> Iterator[Farm]:
    """Have the farm as a user that no session of the tests has at the same time."""
    sys.path.append(str(data.REPOSITORY))
    from tests.farm_build.farm import running
    from tests.farm_build.holder import USERS

    farm = running()
    if farm is None:
        raise NotHereError("the batch farm of the tests is not running: `make farm` builds and starts it (as root)")
    locks = Path(farm.holding.state) / "users"
    locks.mkdir(exist_ok=True)
    for user in reversed(USERS):
        with (locks / user).open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                continue
            yield replace(farm, user=user)
            return
    raise NotHereError(f"all users of the batch farm are taken by sessions of the tests: see the locks in {locks}")


def _submissions(farm: Farm, system: System, side: str, workers: int) -> int:
    """Count the processes that submit; the commands that count would take part of the time that is measured."""
    with _directory(farm) as directory:
        command = directory / system.submit_command
        real = farm.run(["sh", "-c", f"command -v {system.submit_command}"]).stdout.strip()
        command.write_text(f'#!/bin/sh\necho >> {directory}/submissions\nexec {real} "$@"\n')
        command.chmod(0o755)
        path = f"{directory}{os.pathsep}{farm.environment()['PATH']}"
        _run(farm, system, side, workers, "ids", {"PATH": path})
        return len((directory / "submissions").read_text().splitlines())


def _run(
    farm: Farm, system: System, side: str, workers: int, steps: str, variables: Mapping[str, str] | None = None
) -> dict[str, float]:
    """Run one client in the farm and return what its steps took."""
    _wait_until_quiet(farm, system)
    with _directory(farm) as directory:
        words = [farm.python, SCRIPT, side, system.name, str(workers), farm.image, directory, steps]
        ended = farm.run(words, cwd=directory, env=variables, timeout_s=LONGEST_S, check=False)
        if ended.returncode:
            raise RuntimeError(f"{side} on {system.name} ended with status {ended.returncode}:\n{ended.stderr[-3000:]}")
    times: dict[str, float] = json.loads(ended.stdout.splitlines()[-1])
    return times


@contextmanager
def _directory(farm: Farm) -> Iterator[Path]:
    """Have an empty directory of the user's that clients, jobs and images see."""
    directory = farm.home / f"benchmark-{os.getpid()}-{time.monotonic_ns()}"
    directory.mkdir()
    os.chown(directory, farm.uid, farm.uid)
    try:
        yield directory
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def _wait_until_quiet(farm: Farm, system: System) -> None:
    """Wait for the end of what the run before has left, and for jobs of others: there are few machines."""
    end = time.monotonic() + QUIET_WITHIN_S
    while farm.processes() or _listed(farm, system.queue):
        if time.monotonic() > end:
            print(f"  others have jobs in the queue of {system.name}", flush=True)
            return
        time.sleep(1)


def _listed(farm: Farm, words: Sequence[str]) -> bool:
    return bool(farm.run(words).stdout.strip())
