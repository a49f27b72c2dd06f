"""Starts a Dask scheduler and workers as processes of their own, as somebody else would, to be taken away at will."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def scheduler(
    directory: Path, environment: Mapping[str, str] | None = None
) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """Start a scheduler and yield its address and its process."""
    file = directory / "scheduler.json"
    arguments = ["--host", "127.0.0.1", "--port", "0", "--no-dashboard", "--scheduler-file", str(file)]
    with _started("distributed.cli.dask_scheduler", arguments, directory, environment) as process:
        while (address := _address(file)) is None:
            assert process.poll() is None, (directory / "log").read_text()
            time.sleep(0.05)
        yield address, process


@contextmanager
def worker(
    address: str, directory: Path, threads: int = 1, environment: Mapping[str, str] | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """Start a worker without a nanny, so that one that is killed stays away."""
    directory.mkdir(parents=True, exist_ok=True)
    arguments = [
        address,
        "--nthreads",
        str(threads),
        "--no-nanny",
        "--no-dashboard",
        "--local-directory",
        str(directory),
    ]
    with _started("distributed.cli.dask_worker", arguments, directory, environment) as process:
        yield process


def _address(file: Path) -> str | None:
    """Return what the scheduler has written, once it has: the file is there before its content."""
    try:
        return str(json.loads(file.read_text())["address"])
    except (FileNotFoundError, json.JSONDecodeError):
        return None


@contextmanager
def _started(
    module: str, arguments: list[str], directory: Path, environment: Mapping[str, str] | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    with (directory / "log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", module, *arguments],
            stdout=log,
            stderr=log,
            cwd=directory,
            env={**os.environ, **(environment or {})},
        )
    try:
        yield process
    finally:
        process.kill()
        process.wait(20)
