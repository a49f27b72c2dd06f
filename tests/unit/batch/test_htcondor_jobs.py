"""What HTCondor says of jobs, as a pool of version 25.14 has said it, becomes states, reasons and hints."""

from __future__ import annotations

import json
from typing import Any

import pytest

from pocket_exec.batch.htcondor_jobs import ATTRIBUTES, JobAd, job_ads, job_status
from pocket_exec.batch.htcondor_pool import Largest
from pocket_exec.batch.system import JobState
from pocket_exec.errors import FarmError

LOST_IMAGE = {
    "JobStatus": 2,
    "NumJobStarts": 2,
    "NumShadowStarts": 2,
    "NumVacates": 2,
    "NumVacatesByReason": {"SingularityTestFailed": 2},
    "RemoteHost": "slot1_15@node7.cern.ch",
    "VacateReason": "Error from slot1_15@node7.cern.ch: Singularity test failed:FATAL:   no such file or directory",
    "VacateReasonCode": 45,
    "VacateReasonSubCode": -1000,
}
OVER_MEMORY = {
    "JobStatus": 5,
    "HoldReason": "Job has gone over memory limit of 100 megabytes.",
    "HoldReasonCode": 26,
    "HoldReasonSubCode": 0,
    "LastRemoteHost": "slot1_19@node7.cern.ch",
    "NumJobStarts": 1,
    "RequestMemory": 100,
    "ResidentSetSize": 400000,
    "MemoryUsage": "/Expr(((ResidentSetSize + 1023) / 1024))/",
    "VacateReason": "Claim deactivated",
    "VacateReasonCode": 1009,
}


def ad(**attributes: Any) -> JobAd:
    """Return the ad of job 12.0 with these attributes."""
    return JobAd.model_validate({"ClusterId": 12, "ProcId": 0, **attributes})


@pytest.mark.parametrize(
    ("attributes", "state"),
    [
        ({"JobStatus": 1}, JobState.PENDING),
        ({"JobStatus": 2}, JobState.RUNNING),
        ({"JobStatus": 6}, JobState.RUNNING),
        ({"JobStatus": 3}, JobState.REMOVED),
        ({"JobStatus": 4, "ExitCode": 0, "ExitBySignal": False}, JobState.DONE),
        ({"JobStatus": 4, "ExitCode": 71, "ExitBySignal": False}, JobState.FAILED),
        ({"JobStatus": 4}, JobState.FAILED),
        ({"JobStatus": 5, "HoldReasonCode": 1}, JobState.HELD),
        ({"JobStatus": 5, "HoldReasonCode": 16}, JobState.PENDING),
        ({"JobStatus": 7}, JobState.HELD),
        ({"JobStatus": 9}, JobState.UNKNOWN),
    ],
)
def test_the_state_of_a_job_is_this(attributes: dict[str, Any], state: JobState) -> None:
    assert job_status(ad(**attributes)).state is state


def test_a_running_job_tells_its_machine_and_how_often_it_was_started() -> None:
    # NumJobStarts is still 0 while the first run is running.
    status = job_status(ad(JobStatus=2, NumJobStarts=0, NumShadowStarts=1, RemoteHost="slot1_1@node7.cern.ch"))
    assert (status.host, status.starts, status.reason) == ("node7.cern.ch", 1, "")


@pytest.mark.parametrize(
    ("ended", "exit_status", "reason"),
    [
        ({"ExitCode": 71, "ExitBySignal": False}, 71, "ended with exit status 71"),
        ({"ExitSignal": 9, "ExitBySignal": True}, -9, "ended by signal 9"),
        ({"ExitCode": 0, "ExitBySignal": False}, 0, ""),
    ],
)
def test_an_ended_job_tells_its_exit_status(ended: dict[str, Any], exit_status: int, reason: str) -> None:
    status = job_status(ad(JobStatus=4, **ended))
    assert (status.exit_status, status.reason) == (exit_status, reason)


def test_a_job_held_for_its_memory_says_what_it_used_and_what_to_change() -> None:
    status = job_status(ad(**OVER_MEMORY))
    assert status.reason == (
        "held: Job has gone over memory limit of 100 megabytes. (code 26; it used 391 MiB and had asked for 100); "
        "ask for more with mem-per-worker, or give a task less with chunksize"
    )
    assert (status.permanent, status.host) == (True, "node7.cern.ch")


@pytest.mark.parametrize(
    ("code", "subcode", "reason", "permanent", "hint"),
    [
        (1, 0, "via condor_hold (by user p)", False, "somebody has held it"),
        (4, 0, "Credential expired", True, "voms-proxy-init"),
        (6, 2, "Failed to execute", True, "interpreter is not there"),
        (6, 5, "Failed to execute", False, "other machines may do"),
        (7, 13, "Failed to open stdout", True, "log-directory"),
        (12, 122, "Transfer output files failure", True, "quota is used up"),
        (13, 2, "Transfer input files failure", True, "is not there"),
        (13, 110, "Transfer input files failure", False, "could not be transferred"),
        (14, 2, "Cannot access initial working directory", True, "shared-filesystem: false"),
        (22, 0, "Failed to initialize user log", True, "log: null"),
        (26, 0, "ResidentSetSize > RequestMemory", True, "mem-per-worker"),
        (26, 0, "Job exceeded its wall time", False, "walltime or queue gives more"),
        (26, 0, "too many restarts", True, "a rule of the site"),
        (34, 102, "Docker job has gone over memory limit", True, "mem-per-worker"),
        (34, 104, "Disk usage exceeded", True, "disk-per-worker"),
        (45, 0, "Singularity test failed", False, "check worker-image"),
        (47, 0, "The job exceeded allowed execute duration", False, "walltime or queue gives more"),
        (999, 0, "news", False, ""),
    ],
)
def test_each_hold_has_its_hint(code: int, subcode: int, reason: str, permanent: bool, hint: str) -> None:
    status = job_status(ad(JobStatus=5, HoldReasonCode=code, HoldReasonSubCode=subcode, HoldReason=reason))
    assert reason in status.reason
    assert hint in status.reason
    assert status.permanent is permanent


@pytest.mark.parametrize("now", [1, 2])
def test_a_job_that_is_started_and_put_back_for_its_image_is_hopeless_the_second_time(now: int) -> None:
    status = job_status(ad(**{**LOST_IMAGE, "JobStatus": now}))
    assert status.reason.startswith("was started and put back 2 times: Error from slot1_15@node7.cern.ch: Singularity")
    assert status.reason.endswith("check worker-image")
    assert status.permanent


def test_the_first_time_it_may_be_the_machine() -> None:
    status = job_status(ad(**{**LOST_IMAGE, "NumVacates": 1, "NumJobStarts": 1}))
    assert "was started and put back: Error" in status.reason
    assert not status.permanent


def test_a_pool_that_does_not_count_vacates_is_judged_by_its_starts() -> None:
    older = {key: value for key, value in LOST_IMAGE.items() if not key.startswith("NumVacates")}
    assert not job_status(ad(**older)).permanent
    assert job_status(ad(**{**older, "NumJobStarts": 3})).permanent


def test_a_job_that_had_to_make_room_is_not_hopeless() -> None:
    status = job_status(ad(JobStatus=1, NumVacates=5, VacateReason="Claim deactivated", VacateReasonCode=1009))
    assert not status.permanent


def test_a_job_that_nobody_takes_says_so() -> None:
    status = job_status(ad(JobStatus=1, LastRejMatchReason="no match found"))
    assert status.reason.startswith("no machine has taken it yet: no match found; check mem-per-worker")


REJECTED = {"JobStatus": 1, "LastRejMatchReason": "no match found", "RequestMemory": 858307, "RequestCpus": 1}


@pytest.mark.parametrize(
    ("largest", "permanent", "said"),
    [
        (Largest(120000, 60), True, "and no machine of the pool has more than 120000 MiB and 60 cores; lower mem-per-"),
        (Largest(900000, 60), False, "and machines have up to 900000 MiB and 60 cores; check mem-per-worker"),
        (None, False, "no machine has taken it yet: no match found; check mem-per-worker"),
    ],
)
def test_a_job_that_is_larger_than_every_machine_never_starts(
    largest: Largest | None, permanent: bool, said: str
) -> None:
    status = job_status(ad(**REJECTED), largest)
    assert (status.state, status.permanent) == (JobState.PENDING, permanent)
    assert said in status.reason


def test_a_request_that_is_an_expression_is_held_against_nothing() -> None:
    wanted = {**REJECTED, "RequestMemory": "/Expr(2 * 1024)/"}
    assert not job_status(ad(**wanted), Largest(1000, 8)).permanent


@pytest.mark.parametrize(
    ("reason", "permanent", "hint"),
    [
        ("Job removed by SYSTEM_PERIODIC_REMOVE due to wall time exceeded allowed max.", False, "used up its walltime"),
        (
            "The job attribute PeriodicRemove expression 'time() - EnteredCurrentStatus > 5' evaluated to TRUE",
            False,
            "used up its walltime",
        ),
        ("The system macro SYSTEM_PERIODIC_REMOVE expression 'MemoryUsage > 3000' ...", True, "mem-per-worker"),
        ("via condor_rm (by user p)", False, "removed: via condor_rm (by user p)"),
    ],
)
def test_a_removed_job_says_why(reason: str, permanent: bool, hint: str) -> None:
    status = job_status(ad(JobStatus=3, RemoveReason=reason, VacateReason="Claim deactivated", VacateReasonCode=1009))
    assert status.state is JobState.REMOVED
    assert hint in status.reason
    assert status.permanent is permanent


def test_nothing_at_all_is_no_job() -> None:
    assert job_ads("", "condor_q") == job_ads("\n[\n]\n", "condor_history") == []


def test_a_banner_above_the_answer_is_passed_over() -> None:
    text = json.dumps([{"ClusterId": 1, "ProcId": 2, "JobStatus": 2, "HoldReason": None}])
    assert [found.job_id for found in job_ads(f"Welcome to the pool\n{text}", "condor_q")] == ["1.2"]


@pytest.mark.parametrize("text", ["SECMAN:2007 failed", '[{"ClusterId": 1', '[{"ProcId": 0}]'])
def test_an_answer_that_is_no_list_of_jobs_is_a_fault(text: str) -> None:
    with pytest.raises(FarmError, match="condor_q answered what is no list of jobs"):
        job_ads(text, "condor_q")


def test_only_what_is_read_is_asked_for() -> None:
    assert ATTRIBUTES.split(",")[:3] == ["ClusterId", "ProcId", "JobStatus"]
    assert "VacateReasonCode" in ATTRIBUTES
