"""What becomes of each worker, from what queue and scheduler say of it: the rules, with the time given."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from pocket_exec.batch.system import JobState, JobStatus, SubmitError
from pocket_exec.batch.trouble import WaitingNews, losses_text, trouble_text, waiting_text
from pocket_exec.batch.watch import Watch
from pocket_exec.batch.worker_job import Loss, Patience, WorkerJob
from pocket_exec.errors import FarmError, PocketExecError

RUNNING = JobStatus(JobState.RUNNING)
PENDING = JobStatus(JobState.PENDING)


class Farm:
    """A watch, the time, and what queue and scheduler say."""

    def __init__(
        self,
        workers: int,
        *,
        walltime_s: float | None = None,
        hopeless: frozenset[int] = frozenset(),
        doubtful: frozenset[int] = frozenset(),
    ):
        self.watch = Watch(Patience(), walltime_s=walltime_s, hopeless=hopeless, doubtful=doubtful)
        self.watch.wanted = workers
        self.now = 1000.0
        self.submit(*(f"w-{number}" for number in range(workers)))

    def submit(self, *names: str) -> None:
        self.watch.submitted({name: f"id {name}" for name in names}, self.now)

    def look(self, after: float = 10.0, /, **statuses: JobStatus) -> list[Loss]:
        self.now += after
        named: Mapping[str, JobStatus] = {f"id {name.replace('_', '-')}": status for name, status in statuses.items()}
        losses = self.watch.seen(named, self.now)
        self.watch.lost(losses, self.now)
        return losses

    def connect(self, *names: str) -> bool:
        return self.watch.present(names, self.now)

    def planned(self) -> int:
        return len(self.watch.jobs)

    def due(self, after: float = 0.0) -> int:
        self.now += after
        return self.watch.due(self.planned(), self.now)

    def trouble(self) -> str | None:
        found = self.watch.trouble(self.now)
        return None if found is None else trouble_text(found, len(self.watch.failed))


@pytest.mark.parametrize(
    ("status", "why"),
    [
        (JobStatus(JobState.FAILED, exit_status=73), "ended with exit status 73"),
        (JobStatus(JobState.FAILED, "OUT_OF_MEMORY: raise mem-per-worker"), "OUT_OF_MEMORY: raise"),
        (JobStatus(JobState.DONE, exit_status=0), "ended with exit status 0"),
        (JobStatus(JobState.REMOVED, "via condor_rm (by user x)"), "removed via condor_rm"),
        (JobStatus(JobState.HELD, "memory above the limit"), "its job is held: memory above the limit"),
        (JobStatus(JobState.PENDING, "PartitionTimeLimit", permanent=True), "its job can never start: PartitionTime"),
        (
            JobStatus(JobState.PENDING, "Singularity test failed", starts=3),
            "its job was started 3 times, and never for",
        ),
    ],
)
def test_a_worker_whose_job_ends_or_cannot_run_is_lost(status: JobStatus, why: str) -> None:
    farm = Farm(2)
    (loss,) = farm.look(w_0=status, w_1=PENDING)
    assert loss.job.name == "w-0"
    assert loss.why.startswith(why)
    assert set(farm.watch.jobs) == {"w-1"}
    assert farm.due() == 1


def test_a_worker_that_was_evicted_and_started_again_is_kept() -> None:
    farm = Farm(1)
    farm.connect("w-0")
    assert farm.connect()
    assert farm.look(w_0=JobStatus(JobState.PENDING, starts=4)) == []
    assert farm.look(w_0=JobStatus(JobState.RUNNING, starts=5)) == []
    farm.connect("w-0")
    assert farm.look(1000.0, w_0=JobStatus(JobState.RUNNING, starts=5)) == []


def test_the_queue_is_not_looked_at_more_often_for_an_evicted_worker_whose_job_waits() -> None:
    farm = Farm(1)
    farm.connect("w-0")
    farm.look(100.0, w_0=RUNNING)
    farm.connect()
    assert farm.watch.expecting(farm.now)
    farm.look(w_0=JobStatus(JobState.PENDING, starts=1))
    assert not farm.watch.expecting(farm.now)


def test_an_evicted_worker_whose_job_is_started_again_has_as_long_to_come_as_a_new_one() -> None:
    farm = Farm(1)
    farm.connect("w-0")
    farm.look(w_0=RUNNING)
    farm.connect()
    assert farm.look(3600.0, w_0=JobStatus(JobState.PENDING, starts=1)) == []
    assert farm.look(w_0=JobStatus(JobState.RUNNING, starts=2)) == []
    assert farm.look(599.0, w_0=JobStatus(JobState.RUNNING, starts=2)) == []
    (loss,) = farm.look(2.0, w_0=JobStatus(JobState.RUNNING, starts=2))
    assert "has not reached the scheduler" in loss.why
    assert not loss.at_start


def test_a_young_job_that_is_not_listed_is_waited_for_and_an_old_one_is_gone_at_the_second_look() -> None:
    farm = Farm(1)
    assert [farm.look(10.0), farm.look(10.0), farm.look(10.0)] == [[], [], []]
    (loss,) = farm.look(40.0)
    assert loss.why == "its job is no longer in the queue"
    later = Farm(1)
    later.look(100.0, w_0=RUNNING)
    assert later.look() == []
    assert later.look(w_0=RUNNING) == []
    assert later.look() == []


def test_a_job_that_is_not_listed_lives_as_long_as_its_worker_is_connected() -> None:
    farm = Farm(1)
    farm.connect("w-0")
    assert [farm.look(100.0) for _ in range(5)] == [[]] * 5


def test_a_job_that_runs_and_never_brings_its_worker_is_lost_after_ten_minutes() -> None:
    farm = Farm(1)
    assert farm.look(3600.0, w_0=PENDING) == []
    assert farm.look(w_0=RUNNING) == []
    assert farm.look(599.0, w_0=RUNNING) == []
    (loss,) = farm.look(2.0, w_0=RUNNING)
    assert "has not reached the scheduler" in loss.why
    assert loss.at_start


def test_a_worker_that_comes_back_to_its_running_job_is_kept_and_one_that_does_not_is_lost() -> None:
    farm = Farm(1)
    farm.connect("w-0")
    farm.look(w_0=RUNNING)
    assert farm.connect()
    assert farm.watch.expecting(farm.now)
    assert farm.look(60.0, w_0=RUNNING) == []
    farm.connect("w-0")
    assert farm.look(200.0, w_0=RUNNING) == []
    farm.connect()
    (loss,) = farm.look(121.0, w_0=RUNNING)
    assert loss.why == "the worker has gone, and its job still runs"
    assert not loss.at_start


def test_the_end_of_a_walltime_is_expected_and_costs_nothing() -> None:
    farm = Farm(1, walltime_s=3600)
    before = farm.watch.budget
    farm.connect("w-0")
    (loss,) = farm.look(3000.0, w_0=JobStatus(JobState.DONE, exit_status=0))
    assert loss.expected
    assert loss.why == "it has left before its walltime is over"
    assert farm.watch.budget == before
    assert farm.due() == 1


def test_a_worker_that_has_done_its_time_shows_that_others_can_live() -> None:
    farm = Farm(12, walltime_s=3600)
    good = [f"w-{number}" for number in range(2)]
    farm.connect(*good)
    swallowed = {f"w_{number}": JobStatus(JobState.FAILED, exit_status=72, host="hole") for number in range(2, 12)}
    farm.look(w_0=RUNNING, w_1=RUNNING, **swallowed)
    for number in range(12, 40):
        if farm.watch.budget > 0:
            farm.submit(f"w-{number}")
            farm.look(w_0=RUNNING, w_1=RUNNING, **{f"w_{number}": JobStatus(JobState.FAILED, exit_status=72)})
    assert farm.watch.budget == 0
    done = JobStatus(JobState.DONE, exit_status=0)
    farm.look(3000.0, w_0=done, w_1=done)
    assert (farm.watch.budget, farm.watch.failed) == (2, [])
    assert farm.trouble() is None
    assert farm.due() == 12


def replaced_after(lived_s: float, times: int, status: JobStatus) -> list[float]:
    """Return after how long each of so many workers in a row is replaced that connect, and die after ``lived_s``."""
    farm, pauses = Farm(1), []
    for number in range(times):
        name = f"w-{number}"
        farm.submit(name)
        farm.connect(name)
        farm.watch.jobs = {name: farm.watch.jobs[name]}
        assert farm.look(lived_s, **{f"w_{number}": status})
        assert farm.trouble() is None
        lost = farm.now
        while not farm.due():
            farm.now += 1
        pauses.append(farm.now - lost)
        assert farm.due() == 1
    return pauses


def test_workers_that_work_and_die_are_replaced_without_end_and_at_once_if_they_have_lived_for_a_while() -> None:
    assert replaced_after(121.0, 100, JobStatus(JobState.FAILED)) == [0] * 100


@pytest.mark.parametrize(
    ("lived_s", "status"),
    [(10.0, JobStatus(JobState.FAILED)), (3600.0, JobStatus(JobState.HELD, "memory", permanent=True))],
)
def test_workers_that_come_and_die_at_once_or_must_die_are_replaced_later_and_later(
    lived_s: float, status: JobStatus
) -> None:
    assert replaced_after(lived_s, 10, status) == [0, 5, 10, 20, 40, 80, 160, 300, 300, 300]


def test_a_worker_that_lives_on_ends_the_waiting_for_those_that_come_and_die_at_once() -> None:
    farm = Farm(3)
    dead = JobStatus(JobState.FAILED)
    farm.connect("w-0", "w-1", "w-2")
    farm.look(w_0=dead, w_1=RUNNING, w_2=RUNNING)
    farm.now += 1
    farm.submit("w-3")
    farm.connect("w-1", "w-2", "w-3")
    farm.look(w_1=dead, w_2=RUNNING, w_3=RUNNING)
    assert farm.due() == 0
    assert farm.due(5.0) == 1
    farm.submit("w-4")
    farm.look(130.0, w_2=RUNNING, w_3=RUNNING, w_4=PENDING)
    farm.connect("w-2", "w-3", "w-4")
    farm.look(w_2=RUNNING, w_3=RUNNING, w_4=dead)
    assert farm.due() == 1


def test_workers_that_cannot_start_are_replaced_later_and_later_until_the_budget_is_spent() -> None:
    farm = Farm(2)
    farm.connect("w-0")
    pauses = []
    for number in range(1, 20):
        farm.watch.submitted({f"w-{number}": f"id w-{number}"}, farm.now)
        farm.look(0.0, w_0=RUNNING, **{f"w_{number}": JobStatus(JobState.FAILED, exit_status=1)})
        waited = 0
        while farm.watch.budget > 0 and not farm.due():
            farm.now += 1
            waited += 1
        pauses.append(waited)
    assert pauses[:9] == [0, 5, 10, 20, 40, 80, 160, 300, 300]
    assert farm.watch.budget <= 0
    # One worker works: that is no reason to stop, and from time to time another start is tried.
    assert farm.trouble() is None
    assert farm.due(299.0) == 0
    assert farm.due(1.0) == 1
    farm.submit("w-20")
    farm.watch.wanted = 9
    assert farm.due(1e6) == 0


def test_one_that_says_that_all_would_fail_alike_is_believed_when_it_is_alone() -> None:
    farm = Farm(1, hopeless=frozenset({75}))
    farm.look(w_0=JobStatus(JobState.FAILED, exit_status=75))
    assert "1 job failed alike" in str(farm.trouble())
    assert farm.due(1e6) == 0


SETUP_FAILED = JobStatus(JobState.FAILED, exit_status=70, host="node13")


def test_what_may_be_one_machines_fault_is_believed_of_the_last_job_that_there_is() -> None:
    farm = Farm(1, doubtful=frozenset({70}))
    farm.look(w_0=SETUP_FAILED)
    assert "1 job failed alike" in str(farm.trouble())
    assert farm.due(1e6) == 0


def test_what_may_be_one_machines_fault_is_no_proof_while_others_wait_before_a_second_one_says_it() -> None:
    farm = Farm(100, doubtful=frozenset({70}))
    waiting = {f"w_{number}": PENDING for number in range(3, 100)}
    farm.look(w_0=SETUP_FAILED, w_1=SETUP_FAILED, w_2=SETUP_FAILED, **waiting)
    assert farm.trouble() is None
    del waiting["w_3"]
    farm.look(w_3=JobStatus(JobState.FAILED, exit_status=70, host="node14"), **waiting)
    assert "4 jobs failed alike" in str(farm.trouble())
    alone = Farm(100, doubtful=frozenset({70}))
    failed = {f"w_{number}": SETUP_FAILED for number in range(10)}
    alone.look(**failed, **{f"w_{number}": PENDING for number in range(10, 100)})
    assert "10 jobs failed alike" in str(alone.trouble())


def test_three_of_many_that_fail_alike_for_good_are_enough_and_two_are_not() -> None:
    farm = Farm(100)
    held = JobStatus(JobState.HELD, "memory above 2 GB", permanent=True)
    farm.look(w_0=held, w_1=held, **{f"w_{number}": PENDING for number in range(2, 100)})
    assert farm.trouble() is None
    farm.look(w_2=held, **{f"w_{number}": PENDING for number in range(3, 100)})
    assert "3 jobs failed alike: its job is held: memory above 2 GB" in str(farm.trouble())


def test_a_machine_that_swallows_jobs_is_no_proof_before_it_has_had_twice_as_many() -> None:
    farm = Farm(3)
    bad = JobStatus(JobState.FAILED, exit_status=72, host="node13")
    farm.look(w_0=bad, w_1=bad, w_2=bad)
    assert farm.trouble() is None
    farm.submit("w-3", "w-4", "w-5")
    farm.look(w_3=bad, w_4=bad, w_5=bad)
    assert "6 jobs" in str(farm.trouble())
    others = Farm(3)
    others.look(w_0=bad, w_1=bad, w_2=JobStatus(JobState.FAILED, exit_status=72, host="node14"))
    assert "3 jobs" in str(others.trouble())


def test_jobs_that_have_just_begun_to_run_are_given_their_time_first() -> None:
    farm = Farm(5, hopeless=frozenset({75}))
    bad = JobStatus(JobState.FAILED, exit_status=75)
    farm.look(w_0=bad, w_1=bad, w_2=bad, w_3=RUNNING, w_4=PENDING)
    assert farm.trouble() is None
    farm.look(121.0, w_3=RUNNING, w_4=PENDING)
    assert farm.trouble() is not None
    farm.connect("w-3")
    assert farm.trouble() is None


def test_a_submission_that_fails_is_trouble_at_once_the_first_time_only() -> None:
    farm = Farm(0)
    farm.watch = Watch(Patience())
    farm.watch.wanted = 2
    farm.watch.refused(SubmitError("no such account"), farm.now)
    assert farm.trouble() == "no job could be submitted: no such account"
    later = Farm(2)
    later.look(w_0=JobStatus(JobState.FAILED), w_1=PENDING)
    later.watch.refused(SubmitError("the schedd is busy"), later.now)
    assert later.trouble() is None
    assert later.due() == 0
    assert later.due(6.0) == 1


def test_a_quota_that_refuses_more_keeps_no_lost_worker_from_being_replaced_and_is_no_verdict() -> None:
    farm, quota = Farm(3), SubmitError("your quota is 3 jobs")
    farm.connect("w-0", "w-1", "w-2")
    farm.watch.wanted = 5
    farm.now += 200.0
    for _ in range(4):
        farm.watch.refused(quota, farm.now)
    assert farm.due() == 0
    dead = JobStatus(JobState.FAILED)
    farm.look(w_0=dead, w_1=RUNNING, w_2=RUNNING)
    assert farm.watch.next_try(farm.now) == farm.now + 30.0
    assert farm.due() == 1
    farm.submit("w-3")
    assert farm.due() == 0
    assert farm.due(30.0) == 2
    for _ in range(4):
        farm.watch.refused(quota, farm.now)
    farm.look(w_1=dead, w_2=dead, w_3=dead)
    farm.watch.refused(quota, farm.now)
    assert farm.trouble() is None


def test_failures_are_grouped_by_what_they_say_numbers_aside() -> None:
    farm = Farm(5)
    reasons = ["disk 12 kB", "disk 77 kB", "disk 9 kB", "memory 5", "disk 1 kB"]
    farm.look(
        **{f"w_{number}": JobStatus(JobState.HELD, reason, permanent=True) for number, reason in enumerate(reasons)}
    )
    assert "4 jobs failed alike (1 more failed in other ways): its job is held: disk 1 kB" in str(farm.trouble())


def test_the_text_shows_each_line_of_the_logs_once_a_few_of_them_and_one_path() -> None:
    losses = [
        Loss(
            WorkerJob(f"w-{number}", f"{number}.0", 0.0),
            "it ended",
            said=(f"pocket-exec worker w-{number}: no image", f"pocket-exec worker w-{number}: no disk {number}"),
            log=f"/log/w-{number}.err",
        )
        for number in range(4)
    ]
    lines = trouble_text(losses, 4).splitlines()
    assert lines == [
        "no worker can start: 4 jobs failed alike: it ended",
        "  pocket-exec worker w-0: no image",
        "  pocket-exec worker w-3: no disk 3",
        "  pocket-exec worker w-2: no disk 2",
        "  ... and 2 more such lines",
        "  log of the last of them: /log/w-3.err",
    ]
    assert losses_text(losses) == "4 workers lost: it ended (4 times)"


def test_the_text_after_the_wait_tells_states_and_reasons() -> None:
    jobs = [
        WorkerJob("w-0", "1.0", 0.0, JobStatus(JobState.PENDING, "QOSMaxCpuPerUserLimit")),
        WorkerJob("w-1", "1.1", 0.0, JobStatus(JobState.RUNNING)),
    ]
    text = waiting_text(jobs, "tls://host:8786", 600, "/log")
    assert text.startswith("no worker after 00:10:00 (worker-timeout); jobs: 1 pending, 1 running")
    assert "reason: QOSMaxCpuPerUserLimit" in text
    assert "have not reached the scheduler at tls://host:8786" in text
    assert waiting_text([], "tls://host:8786", 1, "/log").endswith("jobs: none in the queue")


@pytest.mark.parametrize("error", [SubmitError("no"), FarmError("no")])
def test_a_refusal_is_forgotten_once_something_is_submitted(error: PocketExecError) -> None:
    farm = Farm(1)
    farm.watch.refused(error, farm.now)
    farm.submit("w-9")
    assert farm.watch.refusal is None


def test_while_no_worker_comes_it_is_told_where_the_jobs_stand_and_again_when_that_changes() -> None:
    def waiting(reason: str) -> list[WorkerJob]:
        return [WorkerJob(f"w-{n}", f"1.{n}", 0.0, JobStatus(JobState.PENDING, reason)) for n in range(2)]

    news = WaitingNews(100.0)
    assert news.line(waiting("none is free"), 110.0) == ""
    assert news.line(waiting("none is free"), 131.0) == "no worker after 00:00:31; jobs: 2 pending; none is free"
    assert news.line(waiting("none is free"), 300.0) == ""
    assert news.line(waiting("too large"), 301.0) == "no worker after 00:03:21; jobs: 2 pending; too large"
    assert news.line(waiting("too large"), 302.0 + 600) == "no worker after 00:13:22; jobs: 2 pending; too large"
