"""What coffea, Dask and Python's warnings say stays off the terminal while a run goes on."""

from __future__ import annotations

import io
import logging
import logging.handlers
import os
import subprocess
import sys
import textwrap
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest
from rich.console import Console

from pocket_exec.cli.chatter import quiet_libraries
from pocket_exec.cli.messages import messages
from pocket_exec.runs.log import run_log

_CLUSTER = """
    import logging
    import sys

    def main():
        from pocket_exec.cli.chatter import quiet_libraries

        {early_import}
        log = logging.getLogger("chatter-test")
        log.addHandler(logging.FileHandler(sys.argv[1]))
        with quiet_libraries(log):
            from distributed import Client, LocalCluster

            with LocalCluster(n_workers=1, threads_per_worker=1, dashboard_address=":0") as cluster:
                with Client(cluster) as client:
                    assert client.submit(sum, [1, 2]).result() == 3
                logging.getLogger("distributed.scheduler").error("an error of the scheduler")
                logging.getLogger("distributed.client").error("an error of the client")
                logging.getLogger("tornado.application").error("an error of tornado")
                logging.getLogger("asyncio").error("an error of asyncio")
        assert [type(h) for h in logging.getLogger("distributed").handlers] == [logging.StreamHandler]

    if __name__ == "__main__":
        main()
"""


@pytest.mark.parametrize("early_import", ["import distributed", "pass"], ids=["imported before", "imported within"])
def test_a_cluster_starts_and_ends_without_a_word_on_the_terminal(early_import: str, tmp_path: Path) -> None:
    script, log = tmp_path / "run.py", tmp_path / "run.log"
    script.write_text(textwrap.dedent(_CLUSTER).format(early_import=early_import))

    command = [sys.executable, str(script), str(log)]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False, env=environment)

    assert (done.stdout, done.stderr, done.returncode) == ("", "", 0)
    for what in ("the scheduler", "the client", "tornado", "asyncio"):
        assert log.read_text().count(f"an error of {what}") == 1


@pytest.fixture
def log() -> Iterator[tuple[logging.Logger, list[str]]]:
    lines: list[str] = []

    class _Lines(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            lines.append(record.getMessage())

    logger, handler = logging.getLogger("chatter-test"), _Lines()
    logger.addHandler(handler)
    yield logger, lines
    logger.removeHandler(handler)


def test_a_warning_is_told_once_and_logged_each_time(log: tuple[logging.Logger, list[str]]) -> None:
    told: list[str] = []
    logged: list[logging.LogRecord] = []
    handler = logging.handlers.BufferingHandler(100)
    handler.buffer = logged
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        with quiet_libraries(log[0], told.append):
            logging.getLogger("py.warnings").addHandler(handler)
            for _ in range(3):
                warnings.warn("divide by zero", RuntimeWarning, stacklevel=1)
            warnings.warn("something: else", UserWarning, stacklevel=1)
            logging.getLogger("py.warnings").removeHandler(handler)
    assert told == ["RuntimeWarning: divide by zero", "UserWarning: something: else"]
    assert len(logged) == 4


def test_endless_kinds_of_warnings_are_told_up_to_a_number(log: tuple[logging.Logger, list[str]]) -> None:
    told: list[str] = []
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        with quiet_libraries(log[0], told.append):
            for number in range(100):
                warnings.warn(f"number {number}", RuntimeWarning, stacklevel=1)
    assert len(told) == 21
    assert told[-1] == "further Python warnings are in the log only"


def test_coffeas_bars_are_not_shown_and_come_back(
    log: tuple[logging.Logger, list[str]], capsys: pytest.CaptureFixture[str]
) -> None:
    from coffea import util
    from coffea.processor import IterativeExecutor, executor

    before = util.rich_bar, executor.rich_bar, util.coffea_console._file
    with quiet_libraries(log[0]):
        IterativeExecutor()([1, 2, 3], lambda x: {"n": x}, None)
        util.coffea_console.print("a print of the processor")
    assert capsys.readouterr().out == "a print of the processor\n"
    assert (util.rich_bar, executor.rich_bar, util.coffea_console._file) == before


def test_all_loggers_are_left_as_they_were_found(log: tuple[logging.Logger, list[str]]) -> None:
    names = ["distributed", "distributed.client", "bokeh", "tornado", "asyncio", "py.warnings"]
    own = logging.StreamHandler()
    logging.getLogger("distributed.worker").addHandler(own)

    def state() -> list[object]:
        loggers = [logging.getLogger(name) for name in (*names, "distributed.worker")] + [logging.root]
        return [(lg.level, lg.propagate, list(lg.handlers)) for lg in loggers] + [warnings.showwarning]

    before = state()
    try:
        with quiet_libraries(log[0]):
            logging.getLogger("distributed.worker").error("kept off")
            root = logging.root.level, list(logging.root.handlers)
        assert log[1] == ["kept off"]
        assert root == before[-2][::2]  # type: ignore[index]
        assert state() == before
    finally:
        logging.getLogger("distributed.worker").removeHandler(own)


def test_the_runs_log_file_has_what_the_terminal_is_spared(tmp_path: Path) -> None:
    terminal, told = io.StringIO(), list[str]()
    project = logging.getLogger("pocket_exec")
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        with messages(Console(file=terminal)), quiet_libraries(project, told.append), run_log(tmp_path / "run.log"):
            logging.getLogger("distributed.scheduler").warning("from the scheduler")
            logging.getLogger("pocket_exec.test").info("from this project")
            warnings.warn("from Python", RuntimeWarning, stacklevel=1)
    assert terminal.getvalue().split(" ", 1)[1] == "from this project\n"
    assert told == ["RuntimeWarning: from Python"]
    logged = (tmp_path / "run.log").read_text()
    assert [logged.count(f"from {who}") for who in ("the scheduler", "this project")] == [1, 1]
    assert "RuntimeWarning: from Python" in logged
