"""The pool of processes of the futures executor: one that dies costs its chunk a second attempt, not the run."""

from __future__ import annotations

import logging
import os
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
        """Return two items per process."""
        return QUEUED_PER_PROCESS * self._processes

    def submit(self, task: int, item: object) -> None:
        """Start an item, with new processes if the old ones died."""
        assert self._packed is not None
        arguments = (*self._packed, cloudpickle.dumps(item))
        executor = self._started()
        try:
            future = executor.submit(attempt_packed, *arguments)
        except BrokenProcessPool:
            self._stop()
            executor = self._started()
            future = executor.submit(attempt_packed, *arguments)
        self._flying[future] = task, executor

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
        self._flying.clear()
        if started:
            self._stop()

    def close(self) -> None:
        """End the processes and remove the private directory."""
        self._stop()
        shutil.rmtree(self._directory, ignore_errors=True)

    def _started(self) -> Any:
        if self._executor is None:
            self._executor = loky.ProcessPoolExecutor(
                self._processes,
                env={
                    "LOKY_MAX_MEMORY_LEAK_SIZE": os.environ.get("LOKY_MAX_MEMORY_LEAK_SIZE", KEPT_BYTES),
                    **self._environment,
                },
                initializer=_begin,
                initargs=(os.getpid(), self._paths, str(self._directory)),
            )
        return self._executor

    def _stop(self) -> None:
        executor, self._executor = self._executor, None
        if executor is not None:
            executor.shutdown(wait=True, kill_workers=True)

    def _answer(self, future: Future[Answer], executor: Any) -> Answer:
        try:
            return unpacked(future.result())
        except (BrokenProcessPool, ShutdownExecutorError) as error:
            # All that was in flight comes back so, and the first of it ends the rest of its pool.
            if self._executor is executor:
                log.warning("a worker process died: %s", error)
                self._stop()
            return lost("its process died; out of memory, or a crash in compiled code?")


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
