"""Workers on the farm of the tests: this project's cluster beside dask-jobqueue alone, from submission to the end.

    python benchmarks/farm.py [htcondor] [slurm] [--workers 50] [--rounds 3] [--limit MINUTES]

Needs root and the farm (`make farm`). What the limit of time breaks off is cancelled, and the rounds that were finished
are told.
"""

from __future__ import annotations

import fcntl
import json
import math
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import click
import data
import table
from measure import NotHereError, Row

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

REASONS = {
    "first": "All workers of one submission start at the same moment and share the machine's two cores, so that all of "
    "them import Dask and coffea at the same slow pace; those of one submission each come one after the other, and the "
    "first ones have the cores for themselves for a while. The last worker is sooner there."
}
"""Why the goal of a step may be missed where all workers are on one machine."""


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


class LimitError(Exception):
    """The time that a measurement may take is over."""


def rows(measurement: str, *, quick: bool) -> Iterator[Row]:
    """Yield the rows of one batch system.

    Raises:
        NotHereError: the farm is not running.
    """
    workers, rounds = (QUICK_WORKERS, QUICK_ROUNDS) if quick else (WORKERS, ROUNDS)
    return compared(SYSTEMS[measurement], workers, rounds, math.inf)


def compared(system: System, workers: int, rounds: int, limit_s: float) -> Iterator[Row]:
    """Yield the rows of as many rounds as end within ``limit_s``.

    Raises:
        NotHereError: the farm is not running.
    """
    beside = f"dask_jobqueue.{system.beside}"
    taken: list[dict[str, dict[str, float]]] = []
    with _client() as farm:
        series = Series(farm, system, workers, time.monotonic() + limit_s)
        try:
            counts = {side: series.submissions(side) for side in (OURS, THEIRS)}
            what = f"{system.submit_command} processes for {workers} workers"
            yield Row(what, [counts[OURS]], beside, [counts[THEIRS]], "", GOAL)
            for number in range(rounds):
                # Each round begins with the other side.
                order = (OURS, THEIRS) if number % 2 == 0 else (THEIRS, OURS)
                taken.append({side: series.times(side, "all") for side in order})
                print(f"  round {number + 1} of {rounds}: {taken[-1]}", flush=True)
        except LimitError as over:
            print(f"  {over}", flush=True)
    for step, title in STEPS.items() if taken else ():
        ours, theirs = ([times[side][f"{step}_s"] for times in taken] for side in (OURS, THEIRS))
        what, reason = f"dask@{system.name}, {workers} workers: {title}", REASONS.get(step, "")
        yield Row(what, ours, beside, theirs, "s", GOAL, reason=reason)


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


@dataclass(frozen=True)
class Series:
    """Runs of clients in the farm, all of which end by a time."""

    farm: Farm
    system: System
    workers: int
    end: float

    def submissions(self, side: str) -> int:
        """Count the processes that submit; the commands that count would take part of the time that is measured."""
        name = self.system.submit_command
        with _directory(self.farm) as directory:
            command = directory / name
            real = self.farm.run(["sh", "-c", f"command -v {name}"]).stdout.strip()
            command.write_text(f'#!/bin/sh\necho >> {directory}/submissions\nexec {real} "$@"\n')
            command.chmod(0o755)
            self.times(side, "ids", {"PATH": f"{directory}{os.pathsep}{self.farm.environment()['PATH']}"})
            return len((directory / "submissions").read_text().splitlines())

    def times(self, side: str, steps: str, variables: Mapping[str, str] | None = None) -> dict[str, float]:
        """Run one client and return what its steps took.

        Raises:
            LimitError: it did not end in time; its jobs are cancelled.
            RuntimeError: it failed; its jobs are cancelled.
        """
        _wait_until_quiet(self.farm, self.system)
        longest_s = max(1.0, min(LONGEST_S, self.end - time.monotonic()))
        with _directory(self.farm) as directory:
            words = [self.farm.python, SCRIPT, side, self.system.name, str(self.workers)]
            words += [self.farm.image, directory, steps]
            try:
                ended = self.farm.run(words, cwd=directory, env=variables, timeout_s=longest_s, check=False)
            except subprocess.TimeoutExpired as error:
                self.farm.clean()
                raise LimitError(f"{side} on {self.system.name} was broken off after {longest_s:.0f} s") from error
            if ended.returncode:
                self.farm.clean()
                said = ended.stderr[-3000:]
                raise RuntimeError(f"{side} on {self.system.name} ended with status {ended.returncode}:\n{said}")
        taken: dict[str, float] = json.loads(ended.stdout.splitlines()[-1])
        return taken


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


@click.command()
@click.argument("names", nargs=-1, type=click.Choice([system.name for system in SYSTEMS.values()]))
@click.option("--workers", default=WORKERS, show_default=True, help="Workers of one core.")
@click.option("--rounds", default=ROUNDS, show_default=True, help="Rounds of both sides.")
@click.option("--limit", default=math.inf, help="Minutes for each batch system; all that is needed if not given.")
def main(names: tuple[str, ...], workers: int, rounds: int, limit: float) -> None:
    """Measure workers as jobs beside dask-jobqueue alone; exit with 1 if a goal is missed."""
    print(table.machine(), flush=True)
    every: list[Row] = []
    for system in SYSTEMS.values():
        if names and system.name not in names:
            continue
        try:
            found = list(compared(system, workers, rounds, limit * 60))
        except NotHereError as error:
            raise click.ClickException(str(error)) from error
        table.show(found)
        every += found
    sys.exit(1 if any(row.verdict == "miss" for row in every) else 0)


if __name__ == "__main__":
    main()
