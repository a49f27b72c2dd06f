"""Starts and stops the farm of a checkout, once at a time."""

from __future__ import annotations

import fcntl
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path

from tests.farm_build import pool
from tests.farm_build.build import Built, build, check_machine
from tests.farm_build.client import client
from tests.farm_build.farm import Farm, held, in_network, running
from tests.farm_build.holder import Holding
from tests.farm_build.layout import READY, ROOT, FarmFailedError, clear, state


def up() -> Farm:
    """Return this checkout's farm; build and start it if it is not there."""
    check_machine()
    if farm := running():
        return farm
    built = build()
    with _lock():
        return running() or _start(built)


def _start(built: Built) -> Farm:
    directory = state()
    _stop()
    for name in ("shared", "unshared", "log", "root"):
        (directory / name).mkdir(parents=True)
    for name in ("shared", "unshared"):
        (directory / name).chmod(0o1777)
    me = client()
    visible = [f"{path}" for path in (ROOT, *me.binds())]
    visible += [path for path in os.environ.get("POCKET_EXEC_FARM_VISIBLE", "").split(":") if path]
    holding = Holding(
        tree=f"{built.tree}",
        unpacked=f"{built.unpacked}",
        images=built.images,
        state=f"{directory}",
        visible=visible,
        venv=f"{me.prefix}",
        nanoaod=os.environ.get("POCKET_EXEC_NANOAOD"),
    )
    try:
        _hold(holding)
        return _wait_until_ready(directory)
    except BaseException:
        _stop(keep_logs=True)
        raise


def _hold(holding: Holding) -> None:
    """Start the process that holds the farm, apart from this one's session and environment."""
    with (
        (Path(holding.state) / "log" / "holder.out").open("wb") as log,
        subprocess.Popen(
            [sys.executable, "-m", "tests.farm_build.holder", json.dumps(asdict(holding))],
            cwd=ROOT,
            env={"PATH": os.defpath, "LANG": "C.UTF-8"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=log,
            start_new_session=True,
        ) as process,
    ):
        assert process.stdout is not None
        process.stdout.readline()


def _wait_until_ready(directory: Path, seconds: float = 240) -> Farm:
    """Wait until both systems take jobs."""
    end = time.monotonic() + seconds
    while time.monotonic() < end and (found := held()):
        farm = Farm(found[0], Holding(**found[1]))
        if _ready(farm):
            (directory / READY).touch()
            return farm
        time.sleep(0.2)
    log = directory / "log"
    said = (log / "holder.out").read_text().strip() or f"HTCondor and Slurm do not answer within {seconds:.0f} s"
    raise FarmFailedError(
        f"the farm does not start: {said[-1000:]}\nIts logs are in {log}.\n"
        "What to try: `make farm-down` and once more `make farm`"
    )


def _ready(farm: Farm) -> bool:
    """Say whether both systems take and run jobs."""
    slots = farm.run(["condor_status", "-af", "Cpus"], check=False).stdout.split()
    schedd = farm.run(["condor_q", "-af", "ClusterId"], check=False).returncode
    nodes = farm.run(["sinfo", "-h", "-o", "%T"], check=False).stdout.split()
    return slots == [f"{pool.CPUS}"] and schedd == 0 and set(nodes) == {"idle"}


def down() -> bool:
    """Stop this checkout's farm and remove what it left; say whether one was running."""
    with _lock():
        return _stop()


def _stop(*, keep_logs: bool = False) -> bool:
    found = held()
    if found:
        network = os.stat(f"/proc/{found[0]}/ns/net").st_ino
        os.kill(found[0], signal.SIGTERM)
        # Before it has made its namespaces it is in this machine's own.
        if network != os.stat("/proc/self/ns/net").st_ino:
            _wait_until_gone(network)
    for path in state().glob("*") if keep_logs else [state()]:
        if path.is_file():
            path.unlink()
        elif path.name != "log":
            clear(path)
    return found is not None


def _wait_until_gone(network: int, seconds: float = 20) -> None:
    """Wait for the daemons' end, and end what clients left in the farm's network namespace."""
    end = time.monotonic() + seconds
    while left := list(in_network(network)):
        if time.monotonic() > end - seconds / 2:
            for pid in left:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        if time.monotonic() > end:
            raise FarmFailedError(f"processes of the farm do not end: {left}")
        time.sleep(0.1)


@contextmanager
def _lock() -> Iterator[None]:
    """Start or stop the farm of a checkout once at a time."""
    path = ROOT / ".cache" / "farm" / "run.lock"
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
