"""Turns SIGINT, SIGTERM and SIGHUP into one exception, outside the moments that must not be cut in two."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Any

from pocket_exec.errors import Interrupted

_STDERR = 2
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_TAKES_SIGNALS = "dask_jobqueue"


class _State:
    """The main thread's state; only a signal handler and the code that it interrupts touch it."""

    held = 0
    pending: signal.Signals | None = None
    first: signal.Signals | None = None
    """The first signal of the run, for as long as the handlers are installed."""
    seen = 0

    @classmethod
    def reset(cls) -> None:
        cls.held, cls.pending, cls.first, cls.seen = 0, None, None, 0


@contextmanager
def interrupts_raised() -> Iterator[None]:
    """Raise ``Interrupted`` at the first of the signals; a second one is answered, a third one ends the process.

    For the command line only: the Python API installs no handler. A closed terminal sends SIGHUP twice, as a rule: once
    that is what ended the run, another one no longer matters.
    """
    before = {number: signal.getsignal(number) for number in SIGNALS}
    _State.reset()
    for number in SIGNALS:
        # What nohup has set to be ignored stays ignored.
        if before[number] is not signal.SIG_IGN:
            signal.signal(number, _handle)
    try:
        with handlers_kept():
            yield
    finally:
        if _State.first == signal.SIGHUP:
            before[signal.SIGHUP] = signal.SIG_IGN
        for number, handler in before.items():
            signal.signal(number, handler)
        _State.first = None


@contextmanager
def handlers_kept() -> Iterator[None]:
    """Leave the handlers as they are when dask-jobqueue is imported, which the user's code may do at any moment.

    Version 0.9.0 takes SIGINT on import (its module ``runner``): Ctrl-C would be SystemExit with status 0 afterwards,
    and in another thread than the main one the import would fail (dask-jobqueue#667, #696). A handler of the user's own
    is theirs to install.
    """
    install = signal.signal

    def guarded(number: int, handler: Any) -> Any:
        if str(getattr(handler, "__module__", "")).partition(".")[0] == _TAKES_SIGNALS:
            return signal.getsignal(number)
        return install(number, handler)

    signal.signal = guarded  # type: ignore[assignment]  # it takes what the other one takes
    try:
        yield
    finally:
        signal.signal = install


@contextmanager
def interrupts_held() -> Iterator[None]:
    """Let a signal wait until the block is over."""
    _State.held += 1
    try:
        yield
    finally:
        _State.held -= 1
        if not _State.held and _State.pending is not None:
            number, _State.pending = _State.pending, None
            raise Interrupted(number)


@contextmanager
def ctrl_c_kept_from_children() -> Iterator[None]:
    """Start threads and processes that a Ctrl-C in the terminal does not reach: this process alone answers it.

    A terminal sends it to all of its foreground processes. What is started in the block inherits the blocked signal, as
    do the processes that those threads start later.
    """
    from multiprocessing import resource_tracker

    # Starting it later would unblock the signal in the thread that does (CPython's resource_tracker does so).
    resource_tracker.ensure_running()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def raise_if_interrupted() -> None:
    """Raise what a bare ``except`` of the user's has swallowed."""
    if _State.first is not None and not _State.held:
        raise Interrupted(_State.first)


def _handle(number: int, _: FrameType | None) -> None:
    _State.seen += 1
    _State.first = _State.first or signal.Signals(number)
    if _State.seen == 1 and _State.held:
        _State.pending = signal.Signals(number)
    elif _State.seen == 1:
        raise Interrupted(number)
    elif _State.seen == 2:
        # The terminal may be what has gone.
        with suppress(OSError):
            sys.stderr.write("saving what is there; once more to give it up\n")
    else:
        _show_cursor()
        os._exit(128 + number)


def _show_cursor() -> None:
    """Leave a terminal as the shell needs it: bars hide the cursor, and nobody comes to show it again."""
    with suppress(OSError):
        if os.isatty(_STDERR):
            os.write(_STDERR, b"\r\n\x1b[?25h")
