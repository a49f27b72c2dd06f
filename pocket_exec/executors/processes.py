"""The pool of processes of the futures executor: one that dies costs its chunk a second attempt, not the run.

All processes of a loky executor end with the first one that dies. So an item that may kill its process gets an executor
of one process, and the others go on.
"""

from __future__ import annotations

import logging
import os
import re
import shutil
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from pathlib import Path
from types import MappingProxyType
from typing import Any

import cloudpickle
import loky
from loky.process_executor import BrokenProcessPool, ShutdownExecutorError

from pocket_exec.engine.chunk import Answer
from pocket_exec.engine.pool import Function
from pocket_exec.engine.remote import Packed, attempt_packed, lost, unpacked
from pocket_exec.errors import ExecutorError
from pocket_exec.executors.apart import Apart

log = logging.getLogger(__name__)

QUEUED_PER_PROCESS = 2
"""Items in flight per process: one at work, one waiting, so that none idles while an answer travels."""
BATCH_S = 2.0
"""Seconds of work in a task: sending one costs about a millisecond, and what is not yet sent back can be lost."""
ORPHAN_CHECK_S = 2.0
KEPT_BYTES = "1e15"
"""How much a process may keep between chunks before loky starts it afresh: corrections and file forms are no leak."""


class ProcessPool:
    """Items in processes of this machine; loky starts them afresh, whatever threads and locks this process has."""

    blames_exactly = False
    batch_s = BATCH_S

    def __init__(
        self,
        processes: int,
        module_dirs: Sequence[Path] = (),
        environment: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        self._processes = processes
        self._environment = environment
        self._paths = [str(path) for path in module_dirs]
        self._directory = Path(tempfile.mkdtemp(prefix="pocket-exec-"))
        self._executor: Any = None
        self._flying: dict[Future[Answer], tuple[int, Any]] = {}
        """The number of each item, and the executor that has it."""
        self._apart: set[Future[Answer]] = set()
        self._idle: list[Any] = []
        """Executors of one process, for the next item that is to be apart."""
        self._packed: tuple[Path, str] | None = None

    def load(self, function: Function) -> None:
        """Write the function to a private file, which each process reads once.

        Raises:
            ExecutorError: the disk of temporary files does not take it.
        """
        packed = Packed(function)
        path = self._directory / packed.digest
        try:
            path.write_bytes(packed.data)
        except OSError as error:
            message = f"{path}: {error.strerror or error}; TMPDIR names another place for temporary files"
            raise ExecutorError(message) from error
        self._packed = path, packed.digest

    def slots(self) -> int:
        """Return two items per process; while some are apart, one for each of the other processes."""
        return max(1, self._processes - len(self._apart)) if self._apart else QUEUED_PER_PROCESS * self._processes

    def places_apart(self) -> int:
        """Return how many items may be apart: as many as have nothing else to do, some in any case, never all."""
        beside = len(self._flying) - len(self._apart)
        return max(Apart.places(self._processes), self._processes - 1 - beside)

    def submit(self, task: int, item: object) -> None:
        """Start an item, with new processes if the old ones died."""
        while self._idle:
            # Nothing is left that has to be apart.
            _end(self._idle.pop())
        if self._executor is None:
            self._executor = self._new(self._processes)
        try:
            self._started(self._executor, task, item)
        except BrokenProcessPool:
            self._stop()
            self._executor = self._new(self._processes)
            self._started(self._executor, task, item)

    def submit_apart(self, task: int, item: object) -> None:
        """Start an item in a process whose death ends no other."""
        executor = self._idle.pop() if self._idle else self._new(1)
        try:
            future = self._started(executor, task, item)
        except BrokenProcessPool:
            _end(executor)
            future = self._started(self._new(1), task, item)
        self._apart.add(future)

    def _started(self, executor: Any, task: int, item: object) -> Future[Answer]:
        assert self._packed is not None
        future: Future[Answer] = executor.submit(attempt_packed, *self._packed, cloudpickle.dumps(item))
        self._flying[future] = task, executor
        return future

    def wait(self, timeout_s: float | None) -> list[tuple[int, Answer]]:
        """Return what is finished."""
        if not self._flying:
            return []
        done, _ = wait(self._flying, timeout=timeout_s, return_when=FIRST_COMPLETED)
        answers = []
        for future in done:
            task, executor = self._flying.pop(future)
            answers.append((task, self._answer(future, executor)))
        return answers

    def cancel(self) -> None:
        """Forget what is in flight; an item at work is ended with its process, or the next run would wait for it."""
        started = [future for future in self._flying if not future.cancel() and not future.done()]
        apart = [self._flying[future][1] for future in self._apart]
        self._flying.clear()
        self._apart.clear()
        for executor in apart:
            _end(executor)
        if started:
            self._stop()

    def close(self) -> None:
        """End the processes and remove the private directory."""
        self._stop()
        for executor in (*self._idle, *(executor for _, executor in self._flying.values())):
            _end(executor)
        shutil.rmtree(self._directory, ignore_errors=True)

    def _new(self, processes: int) -> Any:
        return loky.ProcessPoolExecutor(
            processes,
            env={
                "LOKY_MAX_MEMORY_LEAK_SIZE": os.environ.get("LOKY_MAX_MEMORY_LEAK_SIZE", KEPT_BYTES),
                **self._environment,
            },
            initializer=_begin,
            initargs=(os.getpid(), self._paths, str(self._directory)),
        )

    def _stop(self) -> None:
        executor, self._executor = self._executor, None
        if executor is not None:
            _end(executor)

    def _answer(self, future: Future[Answer], executor: Any) -> Answer:
        apart = self._apart & {future}
        self._apart -= apart
        try:
            answer = unpacked(future.result())
        except (BrokenProcessPool, ShutdownExecutorError) as error:
            if apart or self._executor is executor:
                log.warning("a worker process died%s", _how(error))
            if apart:
                _end(executor)
            elif self._executor is executor:
                # All that was in flight comes back so, and the first of it ends the rest of its pool.
                self._stop()
            return lost("its process died; out of memory, or a crash in compiled code?")
        except Exception as error:  # noqa: BLE001 - loky hands on whatever keeps an answer from being sent
            answer = lost(f"its answer could not be sent: {type(error).__name__}: {error}")
        self._idle += [executor] if apart else []
        return answer


def _how(error: Exception) -> str:
    """Return what loky knows of the end of its processes; of what may be behind it, it says a paragraph each time."""
    found = re.search(r"exit codes of the workers are \{(.*)\}", str(error))
    return f" ({found[1]})" if found else ""


def _end(executor: Any) -> None:
    executor.shutdown(wait=True, kill_workers=True)


def _begin(parent: int, paths: Sequence[str], directory: str) -> None:
    """Prepare a process: the parent alone answers Ctrl-C, and nobody outlives it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    sys.path[:0] = [path for path in paths if path not in sys.path]
    threading.Thread(target=_end_with, args=(parent, directory), daemon=True).start()


def _end_with(parent: int, directory: str) -> None:
    while os.getppid() == parent:
        time.sleep(ORPHAN_CHECK_S)
    shutil.rmtree(directory, ignore_errors=True)
    os._exit(1)
