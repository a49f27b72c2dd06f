"""Runs what is compared in turns, each as a whole process, and keeps what it took."""

from __future__ import annotations

import gc
import json
import math
import os
import statistics
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any, TypeVar, assert_never

T = TypeVar("T")

PEAK_SEEN_EVERY_S = 0.02


class NotHereError(Exception):
    """What a measurement needs is not on this machine."""


@dataclass(frozen=True)
class Finished:
    """A process that has ended well."""

    wall_s: float
    cpu_s: float
    """Processor time of the process and of its children."""
    peak_mb: float
    """Largest resident memory of the process itself, without its children; NaN where it was not watched."""


class Figure(Enum):
    """What of two sides is held against the goal."""

    RATIO = "ours over theirs; the goal is the most that it may be"
    SPEED_UP = "theirs over ours; the goal is the least that it may be"
    AMOUNT = "ours itself; the goal is the most that it may be, and the other side is for information"


@dataclass(frozen=True)
class Row:
    """Two sides of one comparison, a value per round each; less is better."""

    what: str
    ours: Sequence[float]
    beside: str
    """What it is compared with."""
    theirs: Sequence[float]
    """Empty where an amount has nothing beside it."""
    unit: str
    goal: float | None = None
    """None: for information."""
    figure: Figure = Figure.RATIO
    reason: str = ""
    """Why a goal is known to be missed; told only where it is."""
    profile: Callable[[], str] | None = None
    """Runs our side once more and says where its time goes: where the goal is missed, before the next row."""

    @property
    def value(self) -> float:
        """The figure, of the medians."""
        return self._figure(statistics.median(self.ours), statistics.median(self.theirs) if self.theirs else math.nan)

    @property
    def values(self) -> tuple[float, float]:
        """The smallest and largest figure of a round."""
        theirs = self.theirs or [math.nan] * len(self.ours)
        each = [self._figure(mine, other) for mine, other in zip(self.ours, theirs, strict=True)]
        return min(each), max(each)

    @property
    def verdict(self) -> str:
        """Return ``pass``, ``miss``, or nothing where there is no goal."""
        if self.goal is None:
            return ""
        value = round(self.value, 3)
        return "pass" if (value >= self.goal if self.figure is Figure.SPEED_UP else value <= self.goal) else "miss"

    def _figure(self, ours: float, theirs: float) -> float:
        match self.figure:
            case Figure.RATIO:
                return ours / theirs
            case Figure.SPEED_UP:
                return theirs / ours
            case Figure.AMOUNT:
                return ours
        assert_never(self.figure)


def in_turns(variants: Mapping[str, Callable[[], T]], rounds: int) -> dict[str, list[T]]:
    """Call all ``variants`` in each round, each round beginning with another one, and return the results of each."""
    names = list(variants)
    results: dict[str, list[T]] = {name: [] for name in names}
    for number in range(rounds):
        first = number % len(names)
        for name in names[first:] + names[:first]:
            gc.collect()
            results[name].append(variants[name]())
            print(f"  round {number + 1} of {rounds}: {name}", flush=True)
    return results


def process(
    arguments: Sequence[str | Path], *, env: Mapping[str, str] | None = None, watch_memory: bool = False
) -> Finished:
    """Run a command to its end.

    Raises:
        RuntimeError: it failed; the message has the end of what it printed.
    """
    with tempfile.TemporaryFile() as printed:
        begin = time.perf_counter()
        child = subprocess.Popen(
            arguments, stdin=subprocess.DEVNULL, stdout=printed, stderr=printed, env=environment(env)
        )
        peak = _Peak(child.pid) if watch_memory else None
        _, status, used = os.wait4(child.pid, 0)
        wall_s = time.perf_counter() - begin
        child.returncode = os.waitstatus_to_exitcode(status)
        peak_mb = peak.stop() if peak is not None else float("nan")
        if child.returncode:
            printed.seek(0)
            told = printed.read().decode(errors="replace")[-3000:]
            raise RuntimeError(f"{' '.join(map(str, arguments))}\nended with status {child.returncode}:\n{told}")
    return Finished(wall_s, used.ru_utime + used.ru_stime, peak_mb)


def printed(arguments: Sequence[str | Path], *, env: Mapping[str, str] | None = None) -> Any:
    """Run a command to its end and return what its last line has, as JSON.

    Raises:
        RuntimeError: it failed; the message has the end of what it printed.
    """
    done = subprocess.run(
        arguments,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        env=os.environ | dict(env or {}),
        check=False,
    )
    if done.returncode:
        told = (done.stdout + done.stderr)[-3000:]
        raise RuntimeError(f"{' '.join(map(str, arguments))}\nended with status {done.returncode}:\n{told}")
    return json.loads(done.stdout.splitlines()[-1])


def environment(more: Mapping[str, str] | None) -> dict[str, str]:
    """Return this process's variables and ``more``; an editable install keeps its bytecode, as any other."""
    return {**os.environ, **(more or {})} | {"PYTHONDONTWRITEBYTECODE": ""}


class _Peak:
    """Watches a process's largest resident memory.

    ``ru_maxrss`` would not do: on Linux it starts from the size of the process that started this one.
    """

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._peak_mb = 0.0
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def stop(self) -> float:
        self._over.set()
        self._thread.join()
        return self._peak_mb

    def _watch(self) -> None:
        while not self._over.wait(PEAK_SEEN_EVERY_S):
            self._peak_mb = max(self._peak_mb, resident_mb(self._pid))


def resident_mb(pid: int) -> float:
    """Return a process's largest resident memory so far on Linux, the present one elsewhere; 0 if it has ended."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
        return next((int(line.split()[1]) / 1024 for line in status.splitlines() if line.startswith("VmHWM:")), 0.0)
    except OSError:
        pass
    import psutil

    try:
        return psutil.Process(pid).memory_info().rss / 2**20
    except psutil.Error:
        return 0.0
