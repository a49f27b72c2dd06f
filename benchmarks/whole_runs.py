"""Whole runs of runner.py: the time to the first chunk, and the ledger's share of many chunks."""

from __future__ import annotations

import json
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

import data
from measure import Figure, Row, in_turns, process
from nanoaod_like import files

ROUNDS = 5
FIRST_ROUNDS = 11
"""A second or two each, half of it in the disk's and the kernel's hands."""
FIRST_GOAL = 1.05
LEDGER_GOAL_PERCENT = 3.0
CHUNKS = 10_000
EVENTS_OF_FILE = 100_000
RUNNER = Path(sys.executable).parent / "runner.py"
SCRIPTS = Path(__file__).absolute().parent / "scripts"
IMPORTS = "import coffea.processor, coffea.nanoevents, hist"


def first_chunk_rows(*, quick: bool) -> Iterator[Row]:
    """Yield the time from the start of the process to the first call of ``process()``."""
    file = files(17, 1, 8_000 if quick else 200_000)[0]
    cfg = SCRIPTS / "first_chunk.py"
    ours = "runner.py -e iterative, to its first chunk"
    script = "script, IterativeExecutor, to its first chunk"
    bare = f'python -c "{IMPORTS}"'
    variants: dict[str, Callable[[], float]] = {
        ours: partial(_first_s, lambda out: [RUNNER, "--cfg", cfg, "-e", "iterative", "-o", out / "out"], file),
        script: partial(
            _first_s,
            lambda out: [
                *(sys.executable, SCRIPTS / "own_script.py"),
                *(cfg, "coffea:iterative", out / "output.coffea", out / "times.json"),
            ],
            file,
        ),
        bare: lambda: process([sys.executable, "-c", IMPORTS]).wall_s,
    }
    for run in variants.values():
        run()  # for the disk cache
    took = in_turns(variants, 1 if quick else FIRST_ROUNDS)
    yield Row(ours, took[ours], script, took[script], "s", FIRST_GOAL)
    yield Row(ours, took[ours], bare, took[bare], "s")
    yield Row(script, took[script], bare, took[bare], "s")


def ledger_rows(*, quick: bool) -> Iterator[Row]:
    """Yield the ledger's share of the engine's call."""
    chunks = CHUNKS // 20 if quick else CHUNKS
    file = data.one_branch(EVENTS_OF_FILE)
    executors = {"iterative": ["-e", "iterative"], "futures -s 2": ["-e", "futures", "-s", "2"]}
    variants = {name: partial(_share, words, chunks, file) for name, words in executors.items()}
    took = in_turns(variants, 1 if quick else ROUNDS)
    for name, runs in took.items():
        percent = [100 * run["ledger"] / run["call"] for run in runs]
        what = f"ledger's share of the engine's call, -e {name}, {chunks} chunks of a file"
        yield Row(what, percent, "", [], "%", LEDGER_GOAL_PERCENT, Figure.AMOUNT)


def _first_s(words: Callable[[Path], Sequence[str | Path]], file: Path) -> float:
    with tempfile.TemporaryDirectory(prefix="bench-") as made:
        out = Path(made)
        noted = out / "first"
        # No run finds the file metadata of the one before.
        environment = {"BENCH_FILE": f"{file}", "BENCH_FIRST": f"{noted}", "XDG_CACHE_HOME": f"{out / 'cache'}"}
        begin = time.time()
        process(words(out), env=environment)
        return float(noted.read_text()) - begin


def _share(executor: Sequence[str], chunks: int, file: Path) -> dict[str, float]:
    with tempfile.TemporaryDirectory(prefix="bench-") as made:
        out = Path(made)
        share = out / "share.json"
        runner = ["--cfg", SCRIPTS / "count_events.py", *executor, "-c", str(EVENTS_OF_FILE // chunks), "-o", out / "o"]
        environment = {"BENCH_FILE": f"{file}", "XDG_CACHE_HOME": f"{out / 'cache'}"}
        process([sys.executable, SCRIPTS / "ledger_share.py", share, *runner], env=environment)
        seconds: dict[str, float] = json.loads(share.read_text())
        return seconds
