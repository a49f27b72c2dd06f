"""The failures of a run in its log: each error once, with the user's traceback."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path

import pytest

from pocket_exec.engine.outcome import Failure, FaultKind
from pocket_exec.runs.failure_log import TRACEBACK, FailureLog, failure_line, shortened
from pocket_exec.runs.log import run_log

FRAMES = [f'  File "cuts.py", line {n}, in f{n}\n    f{n + 1}()' for n in range(30)]
LONG = "\n".join(["Traceback (most recent call last):", *FRAMES, "KeyError: 'x'"])
FAILED = Failure(
    "DY", "root://host//a.root", "Events", 0, 100, FaultKind.USER, "KeyError", "no field 'x'\nmore", LONG, "wn1", 2
)


def told(failures: list[Failure], caplog: pytest.LogCaptureFixture) -> list[logging.LogRecord]:
    caplog.clear()
    log = FailureLog()
    for failure in failures:
        log.chunk_failed(failure)
    return caplog.records


def test_an_error_is_told_once_wherever_it_happens(caplog: pytest.LogCaptureFixture) -> None:
    several = [replace(FAILED, dataset=f"d{n}", entrystart=n) for n in range(3)]
    elsewhere = replace(FAILED, error="OSError", message="cannot open root://host//a.root", traceback="")
    other_file = replace(elsewhere, file="root://host//b.root", message="cannot open root://host//b.root")
    assert [record.getMessage() for record in told([*several, elsewhere, other_file], caplog)] == [
        "chunk failed: d0, root://host//a.root, entries 0-100: KeyError: no field 'x' (user code)",
        "chunk failed: DY, root://host//a.root, entries 0-100: OSError: cannot open root://host//a.root (user code)",
    ]
    assert {record.levelno for record in caplog.records} == {logging.ERROR}


def test_what_the_user_leaves_out_is_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    (record,) = told([replace(FAILED, skipped=True, entrystart=-1, entrystop=-1)], caplog)
    assert record.levelno == logging.WARNING
    assert record.getMessage().startswith("file left out: DY, root://host//a.root, entries all: ")


def test_of_many_errors_the_first_are_told(caplog: pytest.LogCaptureFixture) -> None:
    records = told([replace(FAILED, message=f"error {n}") for n in range(50)], caplog)
    assert len(records) == 11
    assert "run.json" in records[-1].getMessage()


def test_the_log_file_has_the_whole_traceback(tmp_path: Path) -> None:
    with run_log(tmp_path / "runner.log"):
        FailureLog().chunk_failed(FAILED)
    assert (tmp_path / "runner.log").read_text().endswith(f"{failure_line(FAILED)}\n{LONG}\n")


def test_a_traceback_is_shortened_in_its_middle() -> None:
    lines = shortened(LONG).splitlines()
    assert len(lines) == 12
    assert lines[:2] == ["Traceback (most recent call last):", '  File "cuts.py", line 0, in f0']
    assert lines[6:] == ["  ... 51 lines, all of them in the log", *LONG.splitlines()[-5:]]


def test_of_errors_that_led_to_each_other_the_last_is_shown() -> None:
    first = "Traceback (most recent call last):\nOSError: gone\n\nThe above exception was the direct cause ...\n\n"
    assert shortened(f"{first}Traceback (most recent call last):\nKeyError: 'x'") == (
        "Traceback (most recent call last):\nKeyError: 'x'"
    )
    assert shortened("KeyError: 'x'") == "KeyError: 'x'"


def test_the_record_carries_the_traceback_apart_from_its_text(caplog: pytest.LogCaptureFixture) -> None:
    (record,) = told([FAILED], caplog)
    assert getattr(record, TRACEBACK) == LONG
    assert "Traceback" not in record.getMessage()
