"""Threads of this process, for what waits for storage rather than computes; an interrupt does not wait for them."""

from __future__ import annotations

import os
import queue
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from types import TracebackType
from typing import Any, Self

from pocket_exec.engine.chunk import Answer, attempt, describe
from pocket_exec.engine.pool import Function

REMOTE_THREADS = 8
LOCAL_THREADS = 2
"""Opening a file computes, too, with the interpreter's lock held: six threads took 30 % more processor time for the
trees of local NanoAOD files than one, two took 8 %."""


def threads_for(names: Iterable[str]) -> int:
    """Return how many files of these names are worth opening at the same time: remote ones are waited for."""
    remote = any("://" in name for name in names)
    return min(REMOTE_THREADS, (os.cpu_count() or 1) + 4) if remote else LOCAL_THREADS


class ThreadPool:
    """Items in threads of this process; a context manager, at whose end the idle threads go.

    The threads are daemons, unlike those of ``concurrent.futures``: one that hangs at a storage server keeps neither an
    interrupted run nor the end of the program waiting.
    """

    blames_exactly = True
    batch_s = 0.0

    def __init__(self, threads: int) -> None:
        self._most = threads
        self._threads: list[threading.Thread] = []
        self._function: Function | None = None
        self._round = 0
        self._flying = 0
        self._to_do: queue.SimpleQueue[tuple[int, int, Function, object] | None] = queue.SimpleQueue()
        self._done: queue.SimpleQueue[tuple[int, int, Answer]] = queue.SimpleQueue()

    def __enter__(self) -> Self:
        """Return the pool; its threads start as items come."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Let the threads end, each after the item that it is at; nobody waits for that."""
        self.cancel()
        for _ in self._threads:
            self._to_do.put(None)
        self._threads.clear()

    def load(self, function: Function) -> None:
        """Keep ``function``."""
        self._function = function

    def slots(self) -> int:
        """Return the number of threads."""
        return self._most

    def submit(self, task: int, item: object) -> None:
        """Queue the item, with one more thread where there may be."""
        assert self._function is not None
        self._flying += 1
        self._to_do.put((self._round, task, self._function, item))
        if len(self._threads) < min(self._most, self._flying):
            thread = threading.Thread(target=self._work, name="pocket-exec-metadata", daemon=True)
            self._threads.append(thread)
            thread.start()

    def wait(self, timeout_s: float | None) -> list[tuple[int, Answer]]:
        """Return what is finished; the answers of items that were cancelled are dropped."""
        end = None if timeout_s is None else time.monotonic() + timeout_s
        while self._flying:
            try:
                answers = [self._done.get(timeout=None if end is None else max(0.0, end - time.monotonic()))]
                while not self._done.empty():
                    answers.append(self._done.get())
            except queue.Empty:
                return []
            current = [(task, answer) for number, task, answer in answers if number == self._round]
            self._flying -= len(current)
            if current:
                return current
        return []

    def cancel(self) -> None:
        """Forget what is in flight: what no thread has begun is never begun."""
        self._round += 1
        self._flying = 0
        while not self._to_do.empty():
            try:
                self._to_do.get_nowait()
            except queue.Empty:
                return

    def _work(self) -> None:
        while (given := self._to_do.get()) is not None:
            number, task, function, item = given
            try:
                answer = attempt(function, item)
            except BaseException as error:  # noqa: BLE001 - there is nobody above who could hear of it
                answer = Answer(None, describe(error), 0.0, "")
            self._done.put((number, task, answer))


def in_threads(function: Callable[[Any], Any], items: Sequence[Any], threads: int) -> list[Any]:
    """Return ``function`` of each item, in their order; None where it raised."""
    values: list[Any] = [None] * len(items)
    with ThreadPool(threads) as pool:
        pool.load(function)
        for task, item in enumerate(items):
            pool.submit(task, item)
        while answers := pool.wait(None):
            for task, answer in answers:
                values[task] = answer.value
    return values
