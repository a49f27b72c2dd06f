"""The log of one run."""

from __future__ import annotations

import io
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from pocket_exec.errors import OutputDirectoryError
from pocket_exec.runs.log import run_log

project = logging.getLogger("pocket_exec")
module = logging.getLogger("pocket_exec.engine.engine")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "log" / "runner.log"


def state() -> tuple[object, ...]:
    root, captured = logging.getLogger(), logging.getLogger("py.warnings")
    loggers = tuple((log.level, log.propagate, tuple(log.handlers)) for log in (root, project, captured))
    return (*loggers, warnings.showwarning)


@contextmanager
def root_handler(level: int = logging.NOTSET) -> Iterator[io.StringIO]:
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setLevel(level)
    logging.getLogger().addHandler(handler)
    try:
        yield stream
    finally:
        logging.getLogger().removeHandler(handler)


def test_what_the_project_logs_is_in_the_file(path: Path) -> None:
    with run_log(path, "DEBUG"):
        module.debug("chunk %d done", 3)
    assert path.read_text().endswith("Z DEBUG    pocket_exec.engine.engine: chunk 3 done\n")


def test_the_file_holds_this_run_only(path: Path) -> None:
    for run in ("first", "second"):
        with run_log(path):
            module.info(run)
    module.info("afterwards")
    assert "second" in path.read_text()
    assert "first" not in path.read_text()
    assert "afterwards" not in path.read_text()


def test_the_level_is_obeyed(path: Path) -> None:
    with run_log(path, logging.WARNING):
        module.info("quiet")
    assert path.read_text() == ""


@pytest.mark.filterwarnings("always")
def test_warnings_are_in_the_file(path: Path) -> None:
    with run_log(path):
        warnings.warn("missing branch", RuntimeWarning, stacklevel=1)
    assert "RuntimeWarning: missing branch" in path.read_text()


def test_other_libraries_are_not_in_the_file(path: Path) -> None:
    with run_log(path):
        logging.getLogger("distributed").error("chatter")
    assert path.read_text() == ""


@pytest.mark.parametrize("error", [None, ValueError, KeyboardInterrupt])
def test_everything_is_as_before_afterwards(path: Path, error: type[BaseException] | None) -> None:
    before = state()
    if error is None:
        with run_log(path):
            assert state() != before
    else:
        with pytest.raises(error), run_log(path):
            raise error
    assert state() == before


def test_runs_that_overlap_leave_everything_as_before(tmp_path: Path) -> None:
    before = state()
    first, second = run_log(tmp_path / "1", "DEBUG"), run_log(tmp_path / "2", "INFO")
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    module.info("still heard")
    second.__exit__(None, None, None)
    assert state() == before
    assert "still heard" in (tmp_path / "2").read_text()
    assert "still heard" not in (tmp_path / "1").read_text()


def test_a_handler_of_the_root_logger_sees_what_it_saw_before(path: Path) -> None:
    with root_handler() as seen, run_log(path, "DEBUG"):
        module.debug("detail")
        module.warning("attention")
    assert seen.getvalue() == "attention\n"
    assert "detail" in path.read_text()


@pytest.mark.filterwarnings("always")
def test_somebody_elses_capture_of_warnings_goes_on(path: Path) -> None:
    logging.captureWarnings(True)
    try:
        shown = warnings.showwarning
        with run_log(path):
            warnings.warn("heard", RuntimeWarning, stacklevel=1)
        assert warnings.showwarning is shown
    finally:
        logging.captureWarnings(False)
    assert "heard" in path.read_text()


def test_no_secret_is_in_the_log(path: Path) -> None:
    with run_log(path):
        module.warning("cannot open %s", "https://me:hunter2@host/f.root")
    assert "hunter2" not in path.read_text()


def test_a_text_that_utf8_cannot_hold_is_logged(path: Path) -> None:
    with run_log(path):
        module.warning("file \udcff")
    assert "file \\udcff" in path.read_text()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full (Linux)")
def test_a_disk_that_fills_up_costs_the_log_and_not_the_run(capsys: pytest.CaptureFixture[str]) -> None:
    before = state()
    with run_log(Path("/dev/full")):
        for _ in range(3):
            module.warning("lost")
    assert state() == before
    assert capsys.readouterr().err == ""


def test_a_log_that_cannot_be_opened_is_told_and_changes_nothing(tmp_path: Path) -> None:
    (tmp_path / "log").write_text("a file")
    before = state()
    with pytest.raises(OutputDirectoryError, match="cannot write"), run_log(tmp_path / "log" / "runner.log"):
        pass
    assert state() == before


def test_a_callers_fault_is_shown_as_logging_shows_it(
    path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(project, "propagate", False)
    with run_log(path):
        module.warning("%d", "no number")
    assert "Logging error" in capsys.readouterr().err
