"""The log file tells how a run went on; the terminal, which shows that by itself, does not tell it twice."""

from __future__ import annotations

import io
from pathlib import Path

from rich.console import Console

from pocket_exec.cli.messages import messages
from pocket_exec.engine.outcome import DatasetOutcome, DatasetPlan, Failure, FaultKind
from pocket_exec.runs.log import run_log
from pocket_exec.runs.progress_log import ProgressLog

PLAN = DatasetPlan("DY", files=2, chunks=4, events=400)
LOST = Failure("DY", "f.root", "Events", 0, 100, FaultKind.USER, "KeyError", "'x'", "", "host", 2)


def test_the_log_file_says_what_there_is_to_do_what_is_there_and_what_came_of_it(tmp_path: Path) -> None:
    terminal = io.StringIO()
    listener = ProgressLog()
    with messages(Console(file=terminal)), run_log(tmp_path / "runner.log"):
        listener.planned([PLAN])
        listener.resumed("DY", 1, 100)
        listener.chunk_done("DY", 100, 1.0)
        listener.chunk_failed(LOST)
        outcome = DatasetOutcome(PLAN, chunks=3, events=300, seconds=2.5, failures=[LOST], settled=True)
        listener.dataset_done(outcome, {"n": 1})
    said = [line.split(": ", 1)[1] for line in (tmp_path / "runner.log").read_text().splitlines()]
    assert said == [
        "to do: DY: events: 400, chunks: 4, files: 2",
        "from an earlier run: DY: events: 100, chunks: 1",
        "ended with parts missing: DY: events: 300 of 400, chunks: 3 of 4, failed: 1, seconds on the workers: 2.5",
    ]
    assert terminal.getvalue() == ""
