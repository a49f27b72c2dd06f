"""Sees to it that a worker's process ends when it is told to, and takes its children and files along."""

from __future__ import annotations

import os
import shutil
import signal
import sys
import threading
import time
from collections.abc import Callable
from types import FrameType
from typing import NoReturn

GRACE_S = 4.0
"""Seconds for Dask's worker to leave by itself; HTCondor is told to kill after 5 (``job_max_vacate_time``)."""

OUTER = "POCKET_EXEC_OUTER_PROCESS"
"""Variable with the number of the process outside the image that passes signals on; without it the worker ends."""
_LOOK_EVERY_S = 2.0
_USELESS_EVERY_S = 0.05
_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


class Endings:
    """Signals of a worker's process, and what is done at its end.

    Dask's worker leaves on the first SIGTERM, as a rule. When its scheduler closes at that moment it can hang for ever
    (seen with distributed 2026.8: the closing that is under way is cancelled), so a thread that needs neither event
    loop nor main thread ends the process after ``grace_s``, or as soon as ``useless`` says that nobody needs it.
    """

    def __init__(self, directory: str | None = None, grace_s: float = GRACE_S) -> None:
        self.directory = directory
        """Private directory that is removed at the end; set as soon as there is one."""
        self.signalled: int | None = None
        self.useless: Callable[[], bool] = lambda: False
        """Whether the worker has nothing left to hand over; asked in another thread, once a signal has come."""
        self._grace_s = grace_s
        self._preflight = True

    def watch(self) -> None:
        """Watch for signals from now on; they end the process at once until ``worker_starts``."""
        reader, writer = os.pipe()
        os.set_blocking(writer, False)
        # Python writes the number of each signal there as it comes, whoever handles it later, and however late.
        signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
        threading.Thread(target=self._read, args=(reader,), name="pocket-exec-endings", daemon=True).start()
        for number in _SIGNALS:
            signal.signal(number, self._handle)
        outer = int(os.environ.pop(OUTER, "0"))
        if outer and _is_there(outer):
            threading.Thread(target=self._guard, args=(outer,), name="pocket-exec-outer", daemon=True).start()

    def worker_starts(self) -> None:
        """Leave the first signal to Dask's worker, which handles SIGTERM and SIGINT itself."""
        self._preflight = False

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self._preflight:
            raise SystemExit(128 + number)
        if number == signal.SIGHUP:
            # Dask has no handler for it.
            os.kill(os.getpid(), signal.SIGTERM)

    def _read(self, reader: int) -> None:
        while True:
            for number in os.read(reader, 64):
                if number in _SIGNALS:
                    self.signalled = number
                    end = time.monotonic() + self._grace_s
                    while time.monotonic() < end and not self.useless():
                        time.sleep(_USELESS_EVERY_S)
                    self.end_now(128 + number)

    def _guard(self, outer: int) -> None:
        """End with the process outside the image: one that is killed cannot pass the signal on."""
        while _is_there(outer):
            time.sleep(_LOOK_EVERY_S)
        os.kill(os.getpid(), signal.SIGTERM)

    def end_now(self, status: int) -> NoReturn:
        """End children and process, and remove the private directory; waits for no thread and no event loop."""
        _kill_children()
        if self.directory is not None:
            shutil.rmtree(self.directory, ignore_errors=True)
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


def _is_there(number: int) -> bool:
    try:
        os.kill(number, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _kill_children() -> None:
    """Kill all descendants; psutil comes with distributed, and without it there are none yet."""
    try:
        import psutil
    except ImportError:
        return
    for child in psutil.Process().children(recursive=True):
        try:
            child.kill()
        except psutil.Error:
            continue
