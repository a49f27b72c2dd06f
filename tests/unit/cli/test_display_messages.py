"""This project's log on the terminal."""

from __future__ import annotations

import io
import logging
import re
from pathlib import Path

import pytest
from rich.console import Console

from pocket_exec.cli.messages import level, messages
from pocket_exec.runs.failure_log import TRACEBACK

log = logging.getLogger("pocket_exec.engine.test")


def said(at: int, console_file: io.StringIO | None = None) -> list[str]:
    file = console_file or io.StringIO()
    with messages(Console(file=file, width=30), at):
        log.debug("a detail")
        log.info("starting %d workers [red] and a line longer than the terminal", 4)
        log.warning("worker 3 was lost")
        log.error("no worker started\nsee log/")
    return file.getvalue().splitlines()


def test_lines_have_the_time_and_a_word_for_what_is_worse_than_news() -> None:
    lines = said(logging.DEBUG)
    assert all(re.match(r"\d\d:\d\d:\d\d ", line) for line in lines[:4])
    assert [line[9:] for line in lines[:4]] == [
        "[engine.test] a detail",
        "starting 4 workers [red] and a line longer than the terminal",
        "warning: worker 3 was lost",
        "error: no worker started",
    ]
    assert lines[4] == "see log/"


def test_news_name_paths_from_here_and_digests_by_their_beginnings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    file = io.StringIO()
    with messages(Console(file=file, width=30)):
        log.info("wrote %s and %s", tmp_path / "out" / "a.coffea", f"/other{tmp_path}/b.coffea")
        log.info("image /cvmfs/.flat/0a/%s of today", "0a4b23c0" * 8)
        log.warning("no such file: %s", tmp_path / "a.root")
    assert [line[9:] for line in file.getvalue().splitlines()] == [
        f"wrote out/a.coffea and /other{tmp_path}/b.coffea",
        "image /cvmfs/.flat/0a/0a4b23c0... of today",
        f"warning: no such file: {tmp_path}/a.root",
    ]


def test_a_traceback_of_the_users_is_shortened() -> None:
    file = io.StringIO()
    frames = "\n".join(f"  frame {n}" for n in range(50))
    with messages(Console(file=file)):
        text = f"Traceback (most recent call last):\n{frames}\nKeyError: 'x'"
        log.error("chunk failed: DY", extra={TRACEBACK: text})
    head, *lines = file.getvalue().splitlines()
    assert head.endswith(" error: chunk failed: DY")
    assert (len(lines), lines[0], lines[-1]) == (12, "Traceback (most recent call last):", "KeyError: 'x'")


@pytest.mark.parametrize(("at", "lines"), [(10, 5), (20, 4), (30, 3), (40, 2), (45, 0)])
def test_the_level_decides_what_is_shown(at: int, lines: int) -> None:
    assert len(said(at)) == lines


def test_records_of_others_and_the_root_logger_are_not_shown() -> None:
    file = io.StringIO()
    root = logging.root.level, list(logging.root.handlers)
    with messages(Console(file=file)) as handler:
        handler.handle(logging.makeLogRecord({"name": "distributed.core", "levelno": 40, "msg": "chatter"}))
        handler.handle(logging.makeLogRecord({"name": "pocket_executive", "levelno": 40, "msg": "chatter"}))
        assert (logging.root.level, logging.root.handlers) == root
    assert file.getvalue() == ""


def test_the_logger_is_left_as_it_was_found() -> None:
    logger = logging.getLogger("pocket_exec")
    before = logger.level, logger.propagate, list(logger.handlers)
    with messages(Console(file=io.StringIO()), 10):
        assert logger.isEnabledFor(10)
    assert (logger.level, logger.propagate, logger.handlers) == before


def test_a_terminal_that_is_gone_does_not_stop_the_logging(capsys: pytest.CaptureFixture[str]) -> None:
    class Gone(io.StringIO):
        def write(self, text: str) -> int:
            raise OSError(5, "Input/output error")

    said(10, Gone())
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(("text", "number"), [("info", 20), ("INFO", 20), ("Warning", 30), ("warn", 30), ("15", 15)])
def test_levels_are_named_in_any_case_or_numbered(text: str, number: int) -> None:
    assert level(text) == number


def test_an_unknown_level_is_refused_with_the_nearest_name() -> None:
    with pytest.raises(ValueError, match="did you mean 'warning'"):
        level("wraning")
