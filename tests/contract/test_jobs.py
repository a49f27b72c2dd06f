"""The books of a run's jobs: what is not known to be gone is cancelled, by whatever way is left."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

from pocket_exec.batch.jobs import Jobs
from pocket_exec.batch.jobs_file import JobsFile
from pocket_exec.batch.system import Resources, Submission

TAG = "pocket-exec-0123456789ab"


class Guardian:
    """Notes what it would run."""

    def __init__(self) -> None:
        self.ways: tuple[Any, ...] = ()

    def protect(self, *ways: Any, left: Any = (), environment: Any = None, submitting: bool = False) -> None:
        self.ways = ways

    def check(self) -> None: ...


class Busy:
    """A batch system, as far as the books need one, whose jobs cannot be brought home."""

    name = "busy"
    environment: ClassVar[dict[str, str | None]] = {}

    def __init__(self) -> None:
        self.cancelled: list[str] = []

    def submit(self, submission: Submission) -> Sequence[str]:
        return [f"{number}.0" for number, _ in enumerate(submission.names)]

    def finish(self, ids: Sequence[str]) -> None:
        raise OSError("the schedd is busy")

    def cancel(self, ids: Sequence[str]) -> None:
        self.cancelled += ids

    def cancel_all(self, tag: str, timeout_s: float) -> None:
        self.cancelled.append(tag)

    def cancel_all_commands(self, tag: str) -> list[list[str]]:
        return [["rm", tag]]

    def left_commands(self, tag: str) -> list[list[str]]:
        return []

    def cancel_commands(self, ids: Sequence[str]) -> list[list[str]]:
        return [["rm", *ids]]


def test_ended_jobs_that_could_not_be_brought_home_are_cancelled_by_their_tag(tmp_path: Path) -> None:
    system, guardian = Busy(), Guardian()

    async def course() -> bool:
        there = asyncio.Event()

        async def none_to_retire(names: Sequence[str]) -> None: ...

        jobs = Jobs(
            system,  # type: ignore[arg-type]  # a fake: a schedd that is busy cannot be had at will
            guardian,  # type: ignore[arg-type]  # a fake, too
            JobsFile(None),
            most_per_submission=None,
            submitted=lambda ids: there.set(),
            refused=lambda names, error: None,
            retire=none_to_retire,
        )
        jobs.submission = Submission(TAG, (), tmp_path / "job.sh", tmp_path, tmp_path, Resources(1, 10**9))
        jobs.add("worker-0")
        await there.wait()
        await jobs.finish(["worker-0"])
        return await jobs.end(10.0)

    assert asyncio.run(course())
    assert system.cancelled == [TAG]
    assert guardian.ways == ()
