"""Results that come over a slow network, from workers in a network namespace of their own."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from measure import Figure, NotHereError, Row, in_turns, printed

ROUNDS = 5
WORKERS = 2
MBITS = {"200 Mbit/s": 200, "1 Gbit/s": 1000}
KINDS = {
    "few": "histograms with one bin in twenty filled",
    "counts": "histograms with counts in all bins",
    "random": "random numbers",
}
CHUNKS, QUICK_CHUNKS = 40, 8
SIDES = ("pocket-exec", "uncompressed")
CLIENT, FARM, PORT = "10.213.0.1", "10.213.0.2", 8786
START_S = 60.0

SCRIPT = Path(__file__).absolute().parent / "scripts" / "results_from_far.py"


def rows(*, quick: bool) -> Iterator[Row]:
    """Yield a row for each kind of result, and each network.

    Raises:
        NotHereError: network namespaces cannot be made here.
    """
    if os.geteuid() != 0 or not all(map(shutil.which, ("ip", "tc"))):
        raise NotHereError("needs root, ip and tc: workers and client get a network of their own")
    chunks = QUICK_CHUNKS if quick else CHUNKS
    for name, mbit in MBITS.items():
        with _network(mbit) as (client, farm), _workers(client, farm):
            for kind, words in KINDS.items():
                command = [*client, sys.executable, SCRIPT, f"tcp://{CLIENT}:{PORT}", kind, str(chunks)]
                variants = {side: partial(_seconds, [*command, side]) for side in SIDES}
                took = in_turns(variants, 1 if quick else ROUNDS)
                what = f"{name}, {chunks} results of 10 MB, {words}"
                yield Row(what, took["pocket-exec"], "uncompressed", took["uncompressed"], "s", None, Figure.SPEED_UP)


def _seconds(command: Sequence[str | Path]) -> float:
    return float(printed(command)["seconds"])


@contextmanager
def _network(mbit: int) -> Iterator[tuple[list[str], list[str]]]:
    """Have two network namespaces with a wire between them; give the words that run a command in each."""
    names = [f"pocket-exec-{side}-{os.getpid()}" for side in ("client", "farm")]
    try:
        for name in names:
            _run("ip", "netns", "add", name)
            _run("ip", "-n", name, "link", "set", "lo", "up")
        _run("ip", "link", "add", "wire", "netns", names[0], "type", "veth", "peer", "name", "wire", "netns", names[1])
        for name, address in zip(names, (CLIENT, FARM), strict=True):
            _run("ip", "-n", name, "address", "add", f"{address}/30", "dev", "wire")
            _run("ip", "-n", name, "link", "set", "wire", "up")
        shape = ("root", "tbf", "rate", f"{mbit}mbit", "burst", "1mb", "latency", "50ms")
        _run("tc", "-n", names[1], "qdisc", "add", "dev", "wire", *shape)
        yield ["ip", "netns", "exec", names[0]], ["ip", "netns", "exec", names[1]]
    finally:
        for name in names:
            subprocess.run(["ip", "netns", "delete", name], capture_output=True, check=False)


@contextmanager
def _workers(client: Sequence[str], farm: Sequence[str]) -> Iterator[None]:
    """Have a Dask scheduler on the client's side of the wire, and workers on the other."""
    dask = [sys.executable, "-m"]
    with tempfile.TemporaryDirectory(prefix="pocket-exec-") as directory:
        quiet = partial(subprocess.Popen, cwd=directory, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        place = ["--host", CLIENT, "--port", str(PORT), "--no-dashboard"]
        scheduler = quiet([*client, *dask, "distributed.cli.dask_scheduler", *place])
        own = ["--nworkers", str(WORKERS), "--nthreads", "1", "--host", FARM, "--no-dashboard"]
        workers = quiet(
            [*farm, *dask, "distributed.cli.dask_worker", f"tcp://{CLIENT}:{PORT}", *own],
            env={**os.environ, "PYTHONPATH": os.fspath(SCRIPT.parent)},
        )
        try:
            printed([*client, sys.executable, SCRIPT, f"tcp://{CLIENT}:{PORT}", "wait", str(WORKERS), str(START_S)])
            yield
        finally:
            for process in (workers, scheduler):
                process.terminate()
            for process in (workers, scheduler):
                try:
                    process.wait(20)
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait()
            time.sleep(0.5)


def _run(*words: str) -> None:
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    if done.returncode:
        raise NotHereError(f"{' '.join(words)}: {done.stderr.strip()}")
