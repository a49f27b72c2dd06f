"""Prints this project's own log on the terminal, in lines that a physicist reads; never the root logger's."""

from __future__ import annotations

import logging
import re
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from pocket_exec.cli.figures import printable
from pocket_exec.errors import did_you_mean
from pocket_exec.runs.failure_log import TRACEBACK, shortened
from pocket_exec.runs.progress_log import FILE_ONLY

if TYPE_CHECKING:
    from rich.console import Console

LOGGER = "pocket_exec"
_DIGEST = re.compile(r"\b([0-9a-f]{8})[0-9a-f]{56}\b")
_LEVELS = {"debug": 10, "info": 20, "warning": 30, "warn": 30, "error": 40, "critical": 50, "fatal": 50}


def level(text: str) -> int:
    """Return the number of a level, given as a name in any case or as a number.

    Raises ``ValueError``, with what to write instead.

    >>> level("info"), level("WARNING"), level("15")
    (20, 30, 15)
    """
    word = text.strip().lower()
    if word.isdecimal():
        return int(word)
    if word not in _LEVELS:
        near = did_you_mean(word, _LEVELS)
        raise ValueError(f"{text!r} is not a log level{near or '; write debug, info, warning, error or a number'}")
    return _LEVELS[word]


class TerminalHandler(logging.Handler):
    """Prints this project's records on ``console``, above what it shows live.

    Records of the libraries, which share the log file, are not for the terminal, nor is what it shows by other means.
    """

    def __init__(self, console: Console, level: int = logging.INFO) -> None:
        super().__init__(level)
        self._console = console

    def emit(self, record: logging.LogRecord) -> None:
        """Print ``record``; a console that cannot print it ends neither the run nor the logging."""
        ours = record.name == LOGGER or record.name.startswith(f"{LOGGER}.")
        if not ours or getattr(record, FILE_ONLY, False):
            return
        from rich.text import Text

        try:
            encoding = self._console.encoding
            lines = message(record).splitlines() or [""]
            text = "\n".join(printable(line.expandtabs(), encoding) for line in lines)
            self._console.print(Text(text, style=_style(record.levelno)), soft_wrap=True)
        except (Exception, SystemExit):  # noqa: BLE001
            # logging's own handleError would write a traceback into the bars.
            return


def message(record: logging.LogRecord) -> str:
    """Return ``record`` as a line: the time, a word where it is worse than news, the text; tracebacks below.

    A traceback of the user's code is shortened.
    """
    level = record.levelno
    word = "error: " if level >= logging.ERROR else "warning: " if level >= logging.WARNING else ""
    if level < logging.INFO:
        word = f"[{record.name.removeprefix(LOGGER + '.')}] "
    said = brief(record.getMessage()) if level == logging.INFO else record.getMessage()
    text = f"{time.strftime('%H:%M:%S', time.localtime(record.created))} {word}{said}"
    if record.exc_info and record.exc_info[1] is not None:
        text += "\n" + "".join(traceback.format_exception(record.exc_info[1])).rstrip()
    if users := getattr(record, TRACEBACK, ""):
        text += f"\n{shortened(users)}"
    return text


def brief(text: str) -> str:
    """Return news as a terminal has room for it: paths from the current directory on, digests by their beginnings.

    The log file has them whole.
    """
    here = re.escape(f"{Path.cwd()}/")
    return _DIGEST.sub(r"\1...", re.sub(rf"(?<![^\s'\"(]){here}(?=[^\s/])", "", text))


@contextmanager
def messages(console: Console, level: int = logging.INFO) -> Iterator[TerminalHandler]:
    """Print this project's records from ``level`` up on ``console``; the logger is left as it was found."""
    logger = logging.getLogger(LOGGER)
    handler = TerminalHandler(console, level)
    before = logger.level, logger.propagate
    if not logger.isEnabledFor(level) or logger.level == logging.NOTSET:
        logger.setLevel(level)
    # A cfg.py that calls logging.basicConfig would have every line twice.
    logger.propagate = False
    logger.addHandler(handler)
    try:
        yield handler
    finally:
        logger.removeHandler(handler)
        logger.setLevel(before[0])
        logger.propagate = before[1]


def _style(level: int) -> str:
    return "red" if level >= logging.ERROR else "yellow" if level >= logging.WARNING else ""
