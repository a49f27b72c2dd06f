"""The books of a run's jobs: what is not known to be gone is cancelled, by whatever way is left."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import pytest

from pocket_exec.batch.calls import called
from pocket_exec.batch.jobs import Jobs
from pocket_exec.batch.jobs_file import JobsFile
from pocket_exec.batch.system import Resources, Submission
from pocket_exec.errors import FarmError

TAG = "pocket-exec-0123456789ab"


class Guardian:
    """Notes what it would run."""

    def __init__(self) -> None:
        self.ways: tuple[Any, ...] = ()
        self.submitting = False

    def protect(self, *ways: Any, left: Any = (), environment: Any = None, submitting: bool = False) -> None:
        self.ways = ways
        self.submitting = submitting

    def check(self) -> None: ...


class Busy:
    """A batch system, as far as the books need one, whose jobs cannot be brought home."""

    name = "busy"
    environment: ClassVar[dict[str, str | None]] = {}
    unclear = False

    def __init__(self) -> None:
        self.cancelled: list[str] = []

    def submit(self, submission: Submission) -> Sequence[str]:
        return [f"{number}.0" for number, _ in enumerate(submission.names)]

    def last_output(self, ids: Sequence[str], timeout_s: float) -> None: ...

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


def books(
    system: Busy, guardian: Guardian, directory: Path, there: asyncio.Event, refused: asyncio.Event | None = None
) -> Jobs:
    """Return the books of a run, which set ``there`` when jobs have been submitted, and ``refused`` when not."""

    async def none_to_retire(names: Sequence[str]) -> None: ...

    jobs = Jobs(
        system,  # type: ignore[arg-type]  # a fake: a schedd that is busy cannot be had at will
        guardian,  # type: ignore[arg-type]  # a fake, too
        JobsFile(None),
        most_per_submission=None,
        submitted=lambda ids: there.set(),
        refused=lambda names, error: (refused or there).set(),
        retire=none_to_retire,
    )
    jobs.submission = Submission(TAG, (), directory / "job.sh", directory, directory, Resources(1, 10**9))
    return jobs


def test_ended_jobs_that_could_not_be_brought_home_are_cancelled_by_their_tag(tmp_path: Path) -> None:
    system, guardian = Busy(), Guardian()

    async def course() -> bool:
        there = asyncio.Event()
        jobs = books(system, guardian, tmp_path, there)
        jobs.add("worker-0")
        await there.wait()
        await jobs.finish(["worker-0"])
        return await jobs.end(10.0)

    assert asyncio.run(course())
    assert system.cancelled == [TAG]
    assert guardian.ways == ()


class Fetching(Busy):
    """Takes its time to bring home what jobs have left."""

    def __init__(self) -> None:
        super().__init__()
        self.goes_on = threading.Event()

    def finish(self, ids: Sequence[str]) -> None:
        self.goes_on.wait(5.0)


@pytest.mark.parametrize(("in_time", "cancelled"), [(True, []), (False, ["0.0"])])
def test_an_ended_job_is_not_cancelled_before_it_is_brought_home_or_given_up(
    tmp_path: Path, in_time: bool, cancelled: list[str]
) -> None:
    system, guardian = Fetching(), Guardian()

    async def course() -> bool:
        there = asyncio.Event()
        jobs = books(system, guardian, tmp_path, there)
        jobs.add("worker-0")
        await there.wait()
        jobs.finish(["worker-0"])
        jobs.drop("worker-0")
        await asyncio.sleep(0.1)
        assert system.cancelled == []
        if in_time:
            system.goes_on.set()
        certain = await jobs.end(0.3)
        system.goes_on.set()
        return certain

    assert asyncio.run(course())
    assert system.cancelled == cancelled
    assert guardian.ways == ()


class Stalled(Guardian):
    """Takes long to be told, from ``stalls`` on, as one does that has to be started anew."""

    def __init__(self) -> None:
        super().__init__()
        self.stalls = False
        self.told = threading.Event()
        self.goes_on = threading.Event()

    def protect(self, *ways: Any, **more: Any) -> None:
        if self.stalls:
            self.told.set()
            self.goes_on.wait(5.0)
        super().protect(*ways, **more)


def test_a_guardian_or_a_disk_that_stalls_does_not_hold_up_the_event_loop(tmp_path: Path) -> None:
    guardian = Stalled()

    async def course() -> float:
        there = asyncio.Event()
        jobs = books(Busy(), guardian, tmp_path, there)
        jobs.add("worker-0")
        await there.wait()
        guardian.stalls = True
        jobs.add("worker-1")
        await called(guardian.told.wait, 5.0)
        start = time.monotonic()
        await jobs.last_output(["worker-0"], 1.0)
        await jobs.finish(["worker-0"])
        took = time.monotonic() - start
        guardian.goes_on.set()
        await jobs.end(10.0)
        return took

    assert asyncio.run(course()) < 3.0
    assert guardian.ways == ()


class Slow(Busy):
    """Takes its time for the second submission."""

    def __init__(self) -> None:
        super().__init__()
        self.asked = threading.Event()
        self.goes_on = threading.Event()

    def submit(self, submission: Submission) -> Sequence[str]:
        if "worker-1" in submission.names:
            self.asked.set()
            self.goes_on.wait(5.0)
        return super().submit(submission)


def test_the_guardian_knows_of_a_submission_under_way_whatever_is_cancelled_meanwhile(tmp_path: Path) -> None:
    system, guardian = Slow(), Guardian()

    async def course() -> tuple[bool, bool]:
        there = asyncio.Event()
        jobs = books(system, guardian, tmp_path, there)
        jobs.add("worker-0")
        await there.wait()
        before = guardian.submitting
        jobs.add("worker-1")
        await called(system.asked.wait, 5.0)
        jobs.drop("worker-0")
        while guardian.ways != ([["rm", TAG]],):
            await asyncio.sleep(0.01)
        meanwhile = guardian.submitting
        system.goes_on.set()
        await jobs.end(10.0)
        return before, meanwhile

    assert asyncio.run(asyncio.wait_for(course(), 20.0)) == (False, True)


class Deaf(Busy):
    """Its answer to the second submission is lost."""

    def submit(self, submission: Submission) -> Sequence[str]:
        if "worker-1" in submission.names:
            raise FarmError("timed out")
        return super().submit(submission)


class Elsewhere(Busy):
    """Another queue may hold some of the second submission."""

    def submit(self, submission: Submission) -> Sequence[str]:
        self.unclear = "worker-1" in submission.names
        return super().submit(submission)


def after_two_submissions(system: Busy, guardian: Guardian, directory: Path) -> tuple[tuple[Any, ...], bool, bool]:
    """Submit twice and end; return what the guardian knew between, and whether the end was certain."""

    async def course() -> tuple[tuple[Any, ...], bool, bool]:
        there, refused = asyncio.Event(), asyncio.Event()
        jobs = books(system, guardian, directory, there, refused)
        jobs.add("worker-0")
        await there.wait()
        there.clear()
        jobs.add("worker-1")
        await asyncio.wait(
            [asyncio.create_task(event.wait()) for event in (there, refused)], return_when="FIRST_COMPLETED"
        )
        before = guardian.ways, guardian.submitting
        return *before, await jobs.end(10.0)

    return asyncio.run(asyncio.wait_for(course(), 20.0))


def test_jobs_whose_answer_was_lost_may_come_after_the_end_and_stay_with_the_guardian(tmp_path: Path) -> None:
    system, guardian = Deaf(), Guardian()
    ways, submitting, certain = after_two_submissions(system, guardian, tmp_path)
    # The ids alone would not be all.
    assert (ways, submitting) == (([["rm", TAG]],), True)
    assert not certain
    assert system.cancelled == ["0.0", TAG]
    assert (guardian.ways, guardian.submitting) == (([["rm", TAG]],), True)


def test_long_after_an_answer_was_lost_all_has_come_that_was_to_come(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pocket_exec.batch.jobs.LATE_S", 0.0)
    system, guardian = Deaf(), Guardian()
    _, _, certain = after_two_submissions(system, guardian, tmp_path)
    assert certain
    assert system.cancelled == ["0.0", TAG]
    assert guardian.ways == ()


def test_what_a_batch_system_may_hold_elsewhere_is_cancelled_by_its_tag(tmp_path: Path) -> None:
    system, guardian = Elsewhere(), Guardian()
    ways, submitting, certain = after_two_submissions(system, guardian, tmp_path)
    assert (ways, submitting) == (([["rm", TAG]],), True)
    assert certain
    assert system.cancelled[-1] == TAG
    assert guardian.ways == ()
