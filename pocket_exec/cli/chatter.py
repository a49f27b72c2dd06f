"""Keeps what coffea, Dask and Python's warnings print off the terminal while a run goes on."""

from __future__ import annotations

import io
import logging
import re
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

_TOPICS = ("distributed", "bokeh", "asyncio", "tornado")
_CONFIGURED = ("distributed.client", "distributed.gc", "tornado.application")
"""Loggers below those that distributed gives a handler of their own as it is imported (distributed/config.py)."""
_WARNINGS, _WARNINGS_TOLD = "py.warnings", 20
_PLACE = re.compile(r"^.*?:\d+: ")


@contextmanager
def quiet_libraries(log: logging.Logger, note: Callable[[str], object] | None = None) -> Iterator[None]:
    """Send the libraries' records to the handlers of ``log``, and show no bar of coffea's.

    Python's warnings are logged (``py.warnings``), and each is told once to ``note``. All loggers, handlers and
    functions are put back at the end; the root logger is not touched. Enter it before a cluster starts and leave it
    after the cluster is closed. The processes of workers print as they like.
    """
    with ExitStack() as stack:
        stack.enter_context(_loggers_held(log))
        stack.enter_context(_warnings_held(note))
        stack.enter_context(_bars_held())
        yield


class _Held(logging.Handler):
    """Passes records on to another logger's handlers, and keeps handlers that print away from its loggers.

    distributed configures its loggers as it is imported, which may be after this handler's coming. So at each record
    it looks again: it stands before handlers that came later, and logging has not called them yet.
    """

    def __init__(self, log: logging.Logger) -> None:
        super().__init__()
        self._log = log
        self._loggers: dict[logging.Logger, bool] = {}
        self._aside: list[tuple[logging.Logger, logging.Handler]] = []

    def handle(self, record: logging.LogRecord) -> Any:
        """Give ``record`` to the log's handlers alone."""
        if any(_prints(handler) for logger in self._loggers for handler in logger.handlers):
            self.hold()
        for handler in self._log.handlers:
            if record.levelno >= handler.level:
                handler.handle(record)
        return record

    def hold(self) -> None:
        """Take over the loggers of the libraries that print, or may come to."""
        for logger in _library_loggers():
            printing = [handler for handler in logger.handlers if _prints(handler)]
            if not printing and logger in self._loggers:
                continue
            if logger not in self._loggers:
                self._loggers[logger] = logger.propagate
                logger.propagate = False
                logger.addHandler(self)
            elif printing:
                # Configured since: then it was given its handler and cut off from the root logger together.
                self._loggers[logger] = False
            for handler in printing:
                logger.removeHandler(handler)
                self._aside.append((logger, handler))

    def release(self) -> None:
        """Leave all loggers as they were found, or as the libraries have configured them since."""
        for logger, propagate in self._loggers.items():
            logger.removeHandler(self)
            logger.propagate = propagate and not any(_prints(handler) for handler in logger.handlers)
        for logger, handler in self._aside:
            logger.addHandler(handler)
        self._loggers.clear()
        self._aside.clear()


def _library_loggers() -> list[logging.Logger]:
    known = logging.root.manager.loggerDict
    printing = [
        name
        for name, logger in list(known.items())
        if name.partition(".")[0] in _TOPICS
        and isinstance(logger, logging.Logger)
        and any(map(_prints, logger.handlers))
    ]
    return [logging.getLogger(name) for name in dict.fromkeys((*_TOPICS, *_CONFIGURED, *sorted(printing)))]


def _prints(handler: logging.Handler) -> bool:
    """Return whether ``handler`` writes to the terminal; distributed's in-memory ones and files do not."""
    return isinstance(handler, logging.StreamHandler) and not isinstance(handler, logging.FileHandler)


@contextmanager
def _loggers_held(log: logging.Logger) -> Iterator[None]:
    held = _Held(log)
    held.hold()
    try:
        yield
    finally:
        held.release()


class _Told(logging.Handler):
    """Tells each Python warning once, as logging has written it down: ``file:line: Category: message``."""

    def __init__(self, note: Callable[[str], object] | None) -> None:
        super().__init__(logging.WARNING)
        self._note = note
        self._told: set[str] = set()

    def emit(self, record: logging.LogRecord) -> None:
        if record.name != _WARNINGS:
            return
        text = record.getMessage().strip().partition("\n")[0]
        said = _PLACE.sub("", text)
        if self._note is None or said in self._told or len(self._told) > _WARNINGS_TOLD:
            return
        self._told.add(said)
        self._note(said if len(self._told) <= _WARNINGS_TOLD else "further Python warnings are in the log only")


@contextmanager
def _warnings_held(note: Callable[[str], object] | None) -> Iterator[None]:
    logger, told = logging.getLogger(_WARNINGS), _Told(note)
    shown, propagate = warnings.showwarning, logger.propagate
    logging.captureWarnings(True)
    captured = warnings.showwarning is not shown
    logger.addHandler(told)
    logger.propagate = False
    try:
        yield
    finally:
        logger.removeHandler(told)
        logger.propagate = propagate
        # Who captured them before goes on.
        if captured:
            logging.captureWarnings(False)


@contextmanager
def _bars_held() -> Iterator[None]:
    """Show none of coffea's progress bars (its ``status=False`` does not do it), but what is printed with its console.

    That console writes past whatever stands for ``sys.stdout``, straight into this project's bars.
    """
    from coffea import util

    bar, console = util.rich_bar, util.coffea_console
    before = console._file
    _replace(bar, _no_bar)
    console.file = _Stdout()
    try:
        yield
    finally:
        console.file = before
        _replace(_no_bar, bar)


def _no_bar() -> Any:
    from rich.console import Console
    from rich.progress import Progress

    return Progress(console=Console(file=io.StringIO(), quiet=True), disable=True)


def _replace(old: Any, new: Any) -> None:
    """Put ``new`` wherever a module of coffea's has ``old`` as its ``rich_bar``: they import it by name."""
    for name, module in list(sys.modules.items()):
        if name.startswith("coffea.") and vars(module).get("rich_bar") is old:
            module.rich_bar = new  # type: ignore[attr-defined]


class _Stdout(io.TextIOBase):
    """Whatever ``sys.stdout`` is at the time."""

    @property
    def encoding(self) -> str:  # type: ignore[override]
        return sys.stdout.encoding

    def isatty(self) -> bool:
        return sys.stdout.isatty()

    def writable(self) -> bool:
        return True

    def write(self, text: str) -> int:
        return sys.stdout.write(text)

    def flush(self) -> None:
        sys.stdout.flush()
