"""Joins what Dask asks for one by one into groups: one submission, one cancellation for all that come together."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Protocol

from distributed.core import Status

from pocket_exec.batch.jobqueue import Job

GATHER_S = 0.02
"""How long a group waits for more: one round of Dask's takes less."""


class Batcher:
    """Names that are put in one by one, and acted upon in groups, one group after the other.

    It lives on an event loop, and ``act`` must not raise.
    """

    def __init__(self, act: Callable[[Sequence[str]], Awaitable[None]], most: int | None = None) -> None:
        self._act = act
        self._most = most
        self._waiting: list[str] = []
        self._task: asyncio.Task[None] | None = None

    def put(self, name: str) -> None:
        """Add a name to the next group."""
        self._waiting.append(name)
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._run())

    def withdraw(self, name: str) -> bool:
        """Take back a name that still waits, and return whether it did."""
        if name not in self._waiting:
            return False
        self._waiting.remove(name)
        return True

    async def settled(self, timeout_s: float) -> bool:
        """Wait until nothing waits or is under way, and return whether that came in time."""
        if self._task is None:
            return True
        await asyncio.wait({self._task}, timeout=timeout_s)
        return self._task.done()

    async def _run(self) -> None:
        await asyncio.sleep(GATHER_S)
        while self._waiting:
            group = self._waiting[: self._most]
            del self._waiting[: self._most]
            await self._act(group)


class JobDesk(Protocol):
    """Where a worker asks for its job, and gives it up; neither takes time."""

    def add(self, name: str) -> None:
        """Ask for a job whose worker has this name."""

    def drop(self, name: str) -> None:
        """Give the worker's job up."""


class WorkerProcess(Job):
    """What Dask knows of one worker: asked for when it starts, given up when it closes.

    Neither waits for the batch system, since Dask holds the cluster's lock meanwhile.
    """

    # dask-jobqueue reads its configuration under this name, and has all of its keys for its own names only.
    config_name = "local"

    def __init__(
        self, scheduler: str | None = None, name: Any = None, *, desk: JobDesk, cores: int, memory: int, **_: object
    ) -> None:
        super().__init__(  # type: ignore[no-untyped-call]
            scheduler, name, cores=cores, memory=memory, processes=1, shebang=""
        )
        self.job_header = ""
        self._desk = desk

    async def start(self) -> None:
        """Ask for the job."""
        self._desk.add(self.name)
        self.status = Status.running

    async def close(self) -> None:
        """Give the job up; more than once is as good as once."""
        if self.status == Status.running:
            self._desk.drop(self.name)
        self.status = Status.closed
        self._event_finished.set()
