"""Batch systems over the farm's real commands: how they are reached, and submissions to them."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pocket_exec.batch.system import BatchSystem, JobState, JobStatus, Resources, Submission
from pocket_exec.command import Completed, run
from tests.farm_build.farm import Farm

MIB = 2**20
HOSTILE = ("a b", "a'; echo x", 'q"=0"', "$(id)", "$$", "%h", "$ENV(HOME)", "`id`", "ünï #1")
SLEEP = 'echo "out of $1"; echo "err of $1" >&2; exec sleep 300'


@dataclass(frozen=True)
class InFarm:
    """A ``run`` that runs commands as the farm's user."""

    farm: Farm

    def __call__(
        self,
        args: Sequence[str],
        *,
        timeout_s: float,
        cwd: Path | None = None,
        env: Mapping[str, str | None] | None = None,
    ) -> Completed:
        """Run a command in the farm."""
        environment = {**self.farm.environment(), **(env or {})}
        return run(self.farm.command(args, cwd=cwd), timeout_s=timeout_s, env=environment)


def a_submission(farm: Farm, directory: Path, body: str = SLEEP, count: int = 3, **changes: Any) -> Submission:
    """Return a submission of jobs that run ``body`` in ``directory``; its directories are there and the user's."""
    logs, private = directory / "logs", directory / "private"
    for path in (directory, logs, private):
        path.mkdir(parents=True, exist_ok=True)
        os.chown(path, farm.uid, farm.uid)
    script = directory / "worker.sh"
    script.write_text(f"#!/bin/bash\n{body}\n")
    script.chmod(0o755)
    tag = f"pocket-exec-{os.urandom(8).hex()}"
    usual: dict[str, Any] = {
        "tag": tag,
        "names": tuple(f"{tag[-8:]}-{number}" for number in range(count)),
        "script": script,
        "directory": private,
        "log_directory": logs,
        "resources": Resources(cores=1, memory=100 * MIB),
    }
    return Submission(**{**usual, **changes})


def nested(directory: Path, words: Sequence[str]) -> Path:
    """Return a directory below ``directory`` whose path holds all these words, made."""
    path = directory.joinpath(*words)
    path.mkdir(parents=True)
    for parent in (path, *path.parents):
        if parent == directory:
            return path
        parent.chmod(0o755)
    return path


def until(
    system: BatchSystem, ids: Sequence[str], true: Callable[[Mapping[str, JobStatus]], bool], seconds: float = 60
) -> Mapping[str, JobStatus]:
    """Look at jobs until what they show is as it should be, and return it."""
    end = time.monotonic() + seconds
    while not true(found := system.status(ids)):
        assert time.monotonic() < end, found
        time.sleep(1)
    return found


def until_logs(system: BatchSystem, ids: Sequence[str], submission: Submission, seconds: float = 60) -> None:
    """Wait for all that running jobs have written: a job runs a moment before its first words are in its files."""
    end = time.monotonic() + seconds
    for job, name in zip(ids, submission.names, strict=True):
        while (found := system.logs(job, submission, name)) != f"out of {name}\nerr of {name}\n":
            assert time.monotonic() < end, found
            time.sleep(0.3)


def all_are(state: JobState, count: int) -> Callable[[Mapping[str, JobStatus]], bool]:
    """Return whether so many jobs are in a state, and none in another."""
    return lambda found: [status.state for status in found.values()] == [state] * count
