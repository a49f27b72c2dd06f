"""Memory of the client: does it grow with the number of chunks?"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path

import data
from measure import Finished, Row, in_turns, process

FEW, MANY = 100, 10_000
EVENTS_OF_FILE = 100_000
GOAL = 1.2
ROUNDS = 2
"""Peaks of memory repeat to a percent, and the larger runs take most of a minute."""
RUNNER = Path(sys.executable).parent / "runner.py"
SCRIPTS = Path(__file__).absolute().parent / "scripts"

ENGINES = {
    "pocket_exec:iterative": "iterative",
    "pocket_exec:futures": "futures -s 2",
    "pocket_exec:dask": "dask -s 2",
    "coffea:iterative": "coffea's IterativeExecutor",
}
WHOLE_RUNS = {"runner.py": "runner.py -e iterative", "coffea:iterative": "script, coffea's IterativeExecutor"}


def rows(*, quick: bool) -> Iterator[Row]:
    """Yield the engines with chunks that do nothing, then whole runs with chunks of a few events."""
    many = MANY // 10 if quick else MANY
    engines = {
        f"{name} {chunks}": partial(_peak_mb, [sys.executable, SCRIPTS / "many_chunks.py", name, str(chunks)], {})
        for name in ENGINES
        for chunks in (FEW, many)
    }
    yield from _growth(ENGINES, in_turns(engines, ROUNDS), many, "trivial chunks")
    file = data.one_branch(EVENTS_OF_FILE)
    whole = {
        f"{name} {chunks}": partial(_whole_run, name, chunks, file) for name in WHOLE_RUNS for chunks in (FEW, many)
    }
    yield from _growth(WHOLE_RUNS, in_turns(whole, ROUNDS), many, "chunks of a file")


def _growth(titles: Mapping[str, str], taken: Mapping[str, list[float]], many: int, chunks: str) -> Iterator[Row]:
    for name, title in titles.items():
        goal = None if name.startswith("coffea") else GOAL
        what = f"peak memory of the client, {title}, {many} {chunks}"
        yield Row(what, taken[f"{name} {many}"], f"the same, {FEW}", taken[f"{name} {FEW}"], "MB", goal)


def _whole_run(name: str, chunks: int, file: Path) -> float:
    cfg, chunksize = SCRIPTS / "count_events.py", str(EVENTS_OF_FILE // chunks)
    with tempfile.TemporaryDirectory(prefix="bench-") as out:
        if name == "runner.py":
            words = [RUNNER, "--cfg", cfg, "-e", "iterative", "-c", chunksize, "-o", out]
        else:
            output, times = Path(out) / "output.coffea", Path(out) / "times.json"
            words = [sys.executable, SCRIPTS / "own_script.py", cfg, name, output, times, chunksize]
        return _peak_mb(words, {"BENCH_FILE": str(file), "XDG_CACHE_HOME": str(Path(out) / "cache")})


def _peak_mb(words: list[str | Path], env: Mapping[str, str]) -> float:
    finished: Finished = process(words, env=env, watch_memory=True)
    return finished.peak_mb
