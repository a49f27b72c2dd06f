"""Whoever reads a run's output may have had enough of it: the run goes on."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

_RUN = """
import sys
from pocket_exec.cli.display import Display
from pocket_exec.cli.terminal import Terminal

with Display(Terminal(stderr=sys.argv[1] == "stderr")) as display:
    for number in range(3000):
        display.note(f"number {number}")
print("the end", file=sys.stdout if sys.argv[1] == "stderr" else sys.stderr)
"""


@pytest.mark.parametrize("broken", ["stdout", "stderr"])
def test_a_reader_that_goes_away_does_not_end_the_run(broken: str) -> None:
    other = "stderr" if broken == "stdout" else "stdout"
    reading, writing = os.pipe()
    os.close(reading)
    try:
        done = subprocess.run(
            [sys.executable, "-c", _RUN, broken],
            **{broken: writing, other: subprocess.PIPE},  # type: ignore[call-overload]
            env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
            timeout=60,
            check=False,
        )
    finally:
        os.close(writing)
    assert (getattr(done, other), done.returncode) == (b"the end\n", 0)
