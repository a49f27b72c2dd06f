"""Whole runs of runner.py: the time to the first chunk, and the ledger's share of many chunks."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import data
from measure import Figure, Row, environment, in_turns, printed, process
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
PACKAGES = 8
FIRST_REASON = (
    "The script imports coffea, opens a file and begins. runner.py imports pydantic, click and its own modules too, "
    "reads a dozen option files, looks up entry points and versions, and writes the record of the run: about a tenth "
    "of a second, beside what the garbage collector is kept from during all imports."
)
IMPORTS = "import coffea.processor, coffea.nanoevents, hist"


def first_chunk_rows(*, quick: bool) -> Iterator[Row]:
    """Yield the time from the start of the process to the first call of ``process()``, of two layouts."""
    for branches in (17, 617):
        yield from _first_rows(branches, quick=quick)


def _first_rows(branches: int, *, quick: bool) -> Iterator[Row]:
    file = files(branches, 1, 8_000 if quick else 200_000)[0]
    cfg = SCRIPTS / "first_chunk.py"
    ours = f"runner.py -e iterative, to its first chunk, {branches} branches"
    script = "script, IterativeExecutor, to its first chunk"
    bare = f'python -c "{IMPORTS}"'
    variants: dict[str, Callable[[], float]] = {
        ours: partial(_first_s, partial(_runner_words, cfg), file),
        script: partial(_first_s, partial(_script_words, cfg), file),
        bare: lambda: process([sys.executable, "-c", IMPORTS]).wall_s,
    }
    for run in variants.values():
        run()  # for the disk cache
    took = in_turns(variants, 1 if quick else FIRST_ROUNDS)
    where = partial(_imports, partial(_runner_words, cfg), file)
    yield Row(ours, took[ours], script, took[script], "s", FIRST_GOAL, reason=FIRST_REASON, profile=where)
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
        where = partial(_share, executors[name], chunks, file, profiled=True)
        yield Row(what, percent, "", [], "%", LEDGER_GOAL_PERCENT, Figure.AMOUNT, profile=where)


def _runner_words(cfg: Path, out: Path) -> list[str | Path]:
    return [RUNNER, "--cfg", cfg, "-e", "iterative", "-o", out / "out"]


def _script_words(cfg: Path, out: Path) -> list[str | Path]:
    script = SCRIPTS / "own_script.py"
    return [sys.executable, script, cfg, "coffea:iterative", out / "output.coffea", out / "times.json"]


def _first_s(words: Callable[[Path], Sequence[str | Path]], file: Path) -> float:
    with tempfile.TemporaryDirectory(prefix="bench-") as made:
        out = Path(made)
        begin = time.time()
        process(words(out), env=_of_a_run(out, file))
        return float((out / "first").read_text()) - begin


def _share(executor: Sequence[str], chunks: int, file: Path, *, profiled: bool = False) -> Any:
    with tempfile.TemporaryDirectory(prefix="bench-") as made:
        out = Path(made)
        share = out / "share.json"
        runner = ["--cfg", SCRIPTS / "count_events.py", *executor, "-c", str(EVENTS_OF_FILE // chunks), "-o", out / "o"]
        variables = _of_a_run(out, file)
        words = [sys.executable, SCRIPTS / "ledger_share.py", "profile" if profiled else share, *runner]
        if profiled:
            return printed(words, env=variables)
        process(words, env=variables)
        return json.loads(share.read_text())


def _imports(words: Callable[[Path], Sequence[str | Path]], file: Path) -> str:
    """Return what the imports of a run take, by package."""
    with tempfile.TemporaryDirectory(prefix="bench-") as made:
        out = Path(made)
        command = [sys.executable, "-X", "importtime", *words(out)]
        done = subprocess.run(
            command, env=environment(_of_a_run(out, file)), check=True, capture_output=True, text=True
        )
    took: Counter[str] = Counter()
    lines = re.findall(r"^import time:\s+(\d+) \|\s+\d+ \|\s+(\w+)", done.stderr, flags=re.MULTILINE)
    for microseconds, module in lines:
        took[module] += int(microseconds)
    lines = [f"{microseconds / 1e3:6.0f} ms  {package}" for package, microseconds in took.most_common(PACKAGES)]
    return "\n".join(["time of imports under -X importtime", f"{took.total() / 1e3:6.0f} ms  all", *lines])


def _of_a_run(out: Path, file: Path) -> dict[str, str]:
    """Return the variables of a run: none finds the file metadata of the one before."""
    return {"BENCH_FILE": f"{file}", "BENCH_FIRST": f"{out / 'first'}", "XDG_CACHE_HOME": f"{out / 'cache'}"}
