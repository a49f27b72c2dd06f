"""The client's side of the guardian: the process that cancels a run's jobs when this one can no longer do it."""

from __future__ import annotations

import json
import logging
import os
import sys
import threading
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from pocket_exec.batch import guardian_process
from pocket_exec.command import CommandError, Detached, detach
from pocket_exec.errors import FarmError

log = logging.getLogger(__name__)

_READY_S = 30.0
_END_S = 5.0


class Guardian:
    """A detached process that runs commands and removes private files as soon as this process has gone.

    It sees ``kill -9`` and a closed terminal as well, so nobody needs a signal handler. Its methods may be called from
    any thread. ``log`` is written only when there is something to do, and ``jobs_file`` removed when that is done.
    """

    def __init__(self, log: Path | None = None, jobs_file: Path | None = None) -> None:
        self._log = log
        self._jobs_file = jobs_file
        self._lock = threading.Lock()
        self._process: Detached | None = None
        self._ways: list[list[list[str]]] = []
        self._left: list[list[str]] = []
        self._environment: dict[str, str | None] = {}
        self._private: list[str] = []
        self._submitting = False
        self._closed = False

    @property
    def pid(self) -> int | None:
        """Process id of the guardian, None before it is started."""
        return self._process.pid if self._process else None

    def start(self) -> None:
        """Start the process.

        Raises:
            FarmError: it does not start.
        """
        with self._lock:
            self._process = self._process or self._started()

    def protect(
        self,
        *ways: Sequence[Sequence[str]],
        left: Sequence[Sequence[str]] = (),
        environment: Mapping[str, str | None] | None = None,
        submitting: bool = False,
    ) -> None:
        """Replace the commands that it would run; none of them relieves it.

        Each of ``ways`` cancels everything by itself (by the jobs' ids, by the run's tag): all commands are run, until
        those of one way have succeeded, or those of ``left``, which tell what is left, all succeed and print nothing.
        ``environment`` is what they need changed in this process's; no other process and no file gets to see it.
        With ``submitting`` more jobs may come, and it goes on for longer.

        Raises:
            FarmError: it does not run, and cannot be started again.
        """
        with self._lock:
            self._ways = [[list(words) for words in way] for way in ways]
            self._left = [list(words) for words in left]
            self._environment = dict(environment or {})
            self._submitting = submitting
            self._tell()

    def remove(self, private: Iterable[Path]) -> None:
        """Add files and directories that it would remove.

        Raises:
            FarmError: it does not run, and cannot be started again.
        """
        with self._lock:
            self._private += [os.fspath(path.absolute()) for path in private]
            self._tell()

    def check(self) -> None:
        """Start another process in place of one that somebody has killed.

        Raises:
            FarmError: it cannot be started.
        """
        with self._lock:
            if self._process is not None and self._process.ended:
                self._tell()

    def close(self) -> None:
        """End the process; if there are commands that it was not relieved of, it runs them now, by itself."""
        with self._lock:
            self._closed = True
            process, self._process = self._process, None
            if process is None:
                return
            clean = not self._ways
            if clean:
                try:
                    process.send(json.dumps({"end": True}))
                except CommandError:
                    log.debug("the guardian process had ended already")
            process.release(_END_S if clean else 0.0)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def _started(self) -> Detached:
        program = os.path.abspath(guardian_process.__file__)
        # An installation that lives by PYTHONHOME does not start with -I.
        for flags in (["-I"], []):
            process = detach([sys.executable, *flags, program, str(os.getpid())])
            if process.first_line(_READY_S) == guardian_process.READY:
                return process
            process.release(0.0)
        raise FarmError(
            f"the process that cancels the jobs should this one be killed does not start: {sys.executable} {program}"
        )

    def _tell(self) -> None:
        if self._closed:
            return
        orders = {
            "ways": self._ways,
            "left": self._left,
            "environment": self._environment,
            "private": self._private,
            "submitting": self._submitting,
            "log": os.fspath(self._log.absolute()) if self._log else None,
            "jobs_file": os.fspath(self._jobs_file.absolute()) if self._jobs_file else None,
        }
        line = json.dumps(orders)
        self._process = self._process or self._started()
        try:
            self._process.send(line)
        except CommandError:
            log.warning("the guardian process has ended; starting another one")
            self._process.release(0.0)
            self._process = self._started()
            self._process.send(line)
