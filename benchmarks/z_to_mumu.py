"""Z to mumu: the time that a user waits for ``runner.py``, beside a script of one's own with coffea's executors."""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import data
from measure import Row, in_turns, process

EVENTS = 2_000_000
QUICK_EVENTS = 300_000
ROUNDS = 5
RUNNER = Path(sys.executable).parent / "runner.py"
SCRIPT = Path(__file__).absolute().parent / "scripts" / "own_script.py"


@dataclass(frozen=True)
class Comparison:
    """One executor of this project, and those of coffea that it is held against."""

    executor: str
    flags: tuple[str, ...]
    beside: Mapping[str, str]
    """Name of coffea's executor for the script, and what to call it in the table."""
    goal: float


COMPARISONS = {
    "iterative": Comparison("iterative", (), {"coffea:iterative": "IterativeExecutor"}, 1.05),
    "futures": Comparison("futures", ("-s", "2"), {"coffea:futures": "FuturesExecutor(workers=2)"}, 1.0),
    "dask": Comparison(
        "dask",
        ("-s", "2"),
        {"coffea:dask-tls": "DaskExecutor, 2 workers, TLS", "coffea:dask": "DaskExecutor, 2 workers, no TLS"},
        1.0,
    ),
}


@dataclass(frozen=True)
class Times:
    """What one run took, in seconds."""

    whole_s: float
    cpu_s: float
    """Processor time of all processes: steadier than the time on the clock where the machine is shared."""
    call_s: float
    """The Runner's call alone; NaN for ``runner.py``, which makes it in its own way."""


def rows(executor: str, *, quick: bool) -> Iterator[Row]:
    """Yield the rows of one executor."""
    directory = data.zmumu(QUICK_EVENTS if quick else EVENTS)
    yield from compared(COMPARISONS[executor], directory, 2 if quick else ROUNDS)


def compared(comparison: Comparison, directory: Path, rounds: int) -> Iterator[Row]:
    """Yield the whole process and the Runner's call, each beside each of coffea's executors."""
    with tempfile.TemporaryDirectory(prefix="bench-") as made:
        place = Path(made)
        command = f"runner.py -e {' '.join([comparison.executor, *comparison.flags])}"
        ours = f"pocket_exec:{comparison.executor}"
        variants: dict[str, Callable[[], Times]] = {
            command: partial(_with_runner, comparison, directory, place),
            ours: partial(_with_script, ours, directory, place),
        }
        variants |= {name: partial(_with_script, name, directory, place) for name in comparison.beside}
        taken = in_turns(variants, rounds)
        _check_same([place / f"{_file_name(name)}.coffea" for name in variants if name != command], place)
    for name, title in comparison.beside.items():
        beside = f"script, {title}"
        ours_s, theirs_s = (_each(taken[side], "whole_s") for side in (command, name))
        yield Row(command, ours_s, beside, theirs_s, "s", comparison.goal)
        cpu = f"... its processor time, {comparison.executor}"
        yield Row(cpu, _each(taken[command], "cpu_s"), beside, _each(taken[name], "cpu_s"), "s")
        call = f"... the Runner's call alone, {comparison.executor}"
        yield Row(call, _each(taken[ours], "call_s"), title, _each(taken[name], "call_s"), "s")


def _each(times: Sequence[Times], part: str) -> list[float]:
    return [getattr(one, part) for one in times]


def _with_runner(comparison: Comparison, directory: Path, place: Path) -> Times:
    with tempfile.TemporaryDirectory(dir=place) as out:
        words = [RUNNER, "--cfg", data.EXAMPLE / "cfg.py", "-e", comparison.executor, *comparison.flags, "-o", out]
        whole = process(words, env=_environment(directory, out))
        (Path(out) / "output_all.coffea").replace(place / "runner.coffea")
    return Times(whole.wall_s, whole.cpu_s, float("nan"))


def _with_script(executor: str, directory: Path, place: Path) -> Times:
    with tempfile.TemporaryDirectory(dir=place) as out:
        times = Path(out) / "times.json"
        output = place / f"{_file_name(executor)}.coffea"
        words = [sys.executable, SCRIPT, data.EXAMPLE / "cfg.py", executor, output, times]
        whole = process(words, env=_environment(directory, out))
        return Times(whole.wall_s, whole.cpu_s, json.loads(times.read_text()))


def _environment(directory: Path, out: str) -> dict[str, str]:
    """No run finds the file metadata of the one before."""
    return {"POCKET_EXEC_ZMUMU_DATA": str(directory), "XDG_CACHE_HOME": str(Path(out) / "cache")}


def _file_name(executor: str) -> str:
    return executor.replace(":", "-")


def _check_same(others: Sequence[Path], place: Path) -> None:
    """Make sure that all of them have done the same work."""
    from coffea import util

    ours = util.load(place / "runner.coffea")
    for path in others:
        _compare(ours, util.load(path), path.name)


def _compare(ours: Any, theirs: Any, name: str) -> None:
    import numpy as np

    same = ours["events"] == theirs["events"]
    for histogram in ("mass", "leading_pt", "njets"):
        for dataset in ours["events"]:
            mine, other = (result[histogram][{"dataset": dataset}].view(flow=True) for result in (ours, theirs))
            same &= all(np.allclose(mine[part], other[part], rtol=1e-9) for part in ("value", "variance"))
    if not same:
        raise RuntimeError(f"{name}: not the result of runner.py; the times cannot be compared")
