"""Slurm by its commands, as version 26.05 answers: which are run, and what becomes of their answers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pocket_exec.batch.slurm import _UNSET, Slurm
from pocket_exec.batch.slurm_jobs import accounting_rows, controller_rows, queue_rows
from pocket_exec.batch.system import JobState, Submission, SubmitError
from pocket_exec.command import CommandError, CommandMissingError, CommandTimeoutError, Completed
from pocket_exec.errors import ExecutorError, FarmError
from tests.unit.batch.answers import TAG, Answers, a_submission, failed, htcondor_options, slurm_options

SHOWN = (
    "JobId={job} ArrayJobId=12 ArrayTaskId={task} JobName=pocket-exec-04 UserId=p(1) JobState={state} Reason={reason} "
    "Dependency=(null) Requeue=1 Restarts=0 BatchFlag=1 ExitCode={code} NodeList=node7 BatchHost=node7 "
    "Command=/a b/JobState=x Comment=01234567-0\n"
)


def slurm(answers: Answers, **changes: Any) -> Slurm:
    """Return the cluster that answers so."""
    return Slurm.from_options(slurm_options(**changes), answers)


@pytest.fixture
def submission(tmp_path: Path) -> Submission:
    """Two workers, submitted from a directory that is there."""
    return a_submission(tmp_path)


@pytest.mark.parametrize("answer", ["12\n", "sbatch: 3 cores for you\n12\n"])
def test_all_jobs_are_submitted_as_one_array(submission: Submission, answer: str) -> None:
    answers = Answers(sbatch=answer)
    assert slurm(answers).submit(submission) == ("12_0", "12_1")
    assert answers.asked == [["sbatch", "--parsable", "01234567-0.sbatch"]]
    written = (submission.directory / "01234567-0.sbatch").read_text()
    assert written == slurm(answers).describe(submission)


def test_variables_that_beat_what_is_submitted_are_taken_away(submission: Submission) -> None:
    answers = Answers(sbatch="12\n")
    slurm(answers, slurm_settings={"qos": "low"}, submit_env={"SLURM_CONF": "/etc/s"}).submit(submission)
    gone = {name for name, value in answers.env.items() if value is None}
    assert {"SBATCH_JOB_NAME", "SBATCH_ARRAY_INX", "SBATCH_QOS", "SBATCH_WAIT", "SBATCH_MEM_PER_NODE"} <= gone
    # What is not written is the user's own choice.
    assert "SBATCH_ACCOUNT" not in gone
    assert answers.env["SLURM_CONF"] == "/etc/s"


def test_ids_of_another_cluster_carry_its_name(submission: Submission) -> None:
    answers = Answers(sbatch="12;merlin7\n", squeue="CLUSTER: merlin7\n12_0|RUNNING|node7|None\n", scancel="")
    answers.commands["scontrol"] = failed("Invalid job id specified")
    answers.commands["sacct"] = failed("Slurm accounting storage is disabled")
    cluster = slurm(answers, slurm_settings={"clusters": "merlin7"})
    ids = cluster.submit(submission)
    assert ids == ("12_0@merlin7", "12_1@merlin7")
    assert list(cluster.status(ids)) == ["12_0@merlin7"]
    assert answers.asked[1][:3] == ["squeue", "-M", "merlin7"]
    assert cluster.cancel_commands(ids) == [["scancel", "-M", "merlin7", "12"]]
    assert cluster.cancel_all_commands(TAG) == [["scancel", "-M", "merlin7", f"--name={TAG}"]]


def test_a_refused_submission_is_told_in_its_words(submission: Submission) -> None:
    said = "sbatch: error: Memory specification can not be satisfied\nsbatch: error: Batch job submission failed"
    answers = Answers(sbatch=failed(said), squeue="")
    with pytest.raises(SubmitError) as caught:
        slurm(answers).submit(submission)
    assert str(caught.value) == (
        "`the command` ended with status 1:\n"
        "  sbatch: error: Memory specification can not be satisfied\n"
        "  sbatch: error: Batch job submission failed\n"
        "(mem-per-worker is more than a machine of the partition has)"
    )
    assert [args[0] for args in answers.asked] == ["sbatch", "squeue"]


def test_a_limit_of_jobs_is_told_with_the_options_that_keep_to_it(submission: Submission) -> None:
    said = "sbatch: error: QOSMaxSubmitJobPerUserLimit\nsbatch: error: Batch job submission failed"
    with pytest.raises(
        SubmitError, match=r"\(you may have no more jobs here: set jobs-per-owner, or scaleout, to your"
    ):
        slurm(Answers(sbatch=failed(said), squeue="")).submit(submission)


LOST = failed("sbatch: error: Batch job submission failed: Socket timed out on send/recv operation")


def test_jobs_that_a_failed_submission_has_left_are_cancelled(submission: Submission) -> None:
    answers = Answers(sbatch=failed("sbatch: error: Unexpected end"), squeue="12|01234567-0\n", scancel="")
    with pytest.raises(SubmitError, match="Unexpected end"):
        slurm(answers).submit(submission)
    assert answers.asked[1:] == [["squeue", "-h", "-o", "%F|%k", f"--name={TAG}"], ["scancel", "12"]]


@pytest.mark.parametrize("answer", [LOST, failed("", status=-9)])
@pytest.mark.parametrize("queue", ["", "12|01234567-0\n"])
def test_jobs_whose_answer_was_lost_may_come_later_whatever_the_queue_shows_now(
    submission: Submission, answer: Completed, queue: str
) -> None:
    answers = Answers(sbatch=answer, squeue=queue, scancel="")
    with pytest.raises(FarmError) as caught:
        slurm(answers).submit(submission)
    assert not isinstance(caught.value, SubmitError)
    assert [args[0] for args in answers.asked][1:] == (["squeue", "scancel"] if queue else ["squeue"])


def test_a_failed_submission_is_not_taken_for_a_refusal_where_the_queue_cannot_be_seen(submission: Submission) -> None:
    answers = Answers(sbatch=failed("sbatch: error: Unexpected end"), squeue=failed("squeue: error: timed out"))
    with pytest.raises(FarmError, match="Whether it left jobs in the queue is not known") as caught:
        slurm(answers).submit(submission)
    assert not isinstance(caught.value, SubmitError)


def test_a_controller_that_was_never_reached_has_taken_nothing(submission: Submission) -> None:
    answers = Answers(sbatch=failed("sbatch: error: Unable to contact slurm controller (connect failure)"))
    with pytest.raises(SubmitError, match="is this a submit host"):
        slurm(answers).submit(submission)
    assert len(answers.asked) == 1


@pytest.mark.parametrize("answer", ["Submitted!", "", "12\n13\n"])
def test_an_answer_without_an_id_is_a_failure_and_its_jobs_are_cancelled(submission: Submission, answer: str) -> None:
    queue = "12|01234567-0\n12|01234567-0\n9|01234567-9\n"
    answers = Answers(sbatch=answer, squeue=queue, scancel="")
    with pytest.raises(SubmitError, match="did not say the id of the jobs"):
        slurm(answers).submit(submission)
    assert answers.asked[1:] == [["squeue", "-h", "-o", "%F|%k", f"--name={TAG}"], ["scancel", "12"]]


def test_what_a_failed_submission_has_left_is_looked_for_on_its_own_cluster(submission: Submission) -> None:
    answers = Answers(sbatch="Submitted!", squeue="CLUSTER: gpu\n12|01234567-0\n", scancel="")
    with pytest.raises(SubmitError):
        slurm(answers, slurm_settings={"clusters": "gpu"}).submit(submission)
    assert answers.asked[1:] == [
        ["squeue", "-M", "gpu", "-h", "-o", "%F|%k", f"--name={TAG}"],
        ["scancel", "-M", "gpu", "12"],
    ]


def test_a_submission_that_hangs_is_cancelled_and_no_submit_error(submission: Submission) -> None:
    answers = Answers(sbatch=CommandTimeoutError("sbatch: no end after 180 s"), squeue="")
    with pytest.raises(CommandError, match="no end after 180 s") as caught:
        slurm(answers).submit(submission)
    assert not isinstance(caught.value, SubmitError)


def test_jobs_that_may_be_left_are_told(submission: Submission) -> None:
    answers = Answers(sbatch="mumble", squeue=failed("Unable to contact slurm controller"))
    with pytest.raises(FarmError, match="Whether it left jobs in the queue is not known") as caught:
        slurm(answers).submit(submission)
    assert not isinstance(caught.value, SubmitError)


def test_a_missing_command_is_told_as_such(submission: Submission) -> None:
    with pytest.raises(CommandMissingError):
        slurm(Answers(sbatch=CommandMissingError("cannot run 'sbatch'"))).submit(submission)


@pytest.mark.parametrize(
    ("line", "state", "permanent", "said"),
    [
        ("12_0|PENDING||Priority", JobState.PENDING, False, ""),
        ("12_0|PENDING||PartitionTimeLimit", JobState.PENDING, True, "walltime is longer than the partition allows"),
        ("12_0|PENDING||PartitionConfig", JobState.PENDING, True, "no machine there has what is asked for"),
        ("12_0|PENDING||QOSMaxJobsPerUserLimit", JobState.PENDING, False, "your limit at this site"),
        ("12_0|PENDING||AssocGrpCpuLimit", JobState.PENDING, False, "your limit at this site"),
        ("12_0|PENDING||QOSMaxMemoryPerJob", JobState.PENDING, True, "above a limit for one job"),
        ("12_0|PENDING||QOSMaxWallDurationPerJobLimit", JobState.PENDING, True, "above a limit for one job"),
        ("12_0|PENDING||ReqNodeNotAvail, UnavailableNodes:n1", JobState.PENDING, False, "down or reserved"),
        ("12_0|PENDING||InvalidAccount", JobState.PENDING, True, "check accounting-group"),
        ("12_0|PENDING||JobHeldUser", JobState.HELD, False, "scontrol release"),
        ("12_0|PENDING||job requeued in held state", JobState.HELD, False, "job requeued in held state"),
        ("12_0|CONFIGURING||None", JobState.PENDING, False, ""),
        ("12_0|RUNNING|node7|None", JobState.RUNNING, False, ""),
        ("12_0|COMPLETING|node7|None", JobState.RUNNING, False, ""),
        ("12_0|SUSPENDED|node7|None", JobState.HELD, False, "suspended"),
        ("12_0|COMPLETED|node7|None", JobState.DONE, False, ""),
        ("12_0|CANCELLED|node7|None", JobState.REMOVED, False, "cancelled"),
        ("12_0|FAILED|node7|NonZeroExitCode", JobState.FAILED, False, ""),
        ("12_0|FAILED||BadConstraints", JobState.FAILED, True, "no machine there has what is asked for"),
        ("12_0|TIMEOUT|node7|TimeLimit", JobState.FAILED, False, "its walltime is used up"),
        ("12_0|OUT_OF_MEMORY|node7|OutOfMemory", JobState.FAILED, True, "mem-per-worker"),
        ("12_0|NODE_FAIL|node7|NodeDown", JobState.FAILED, False, "its machine failed"),
        ("12_0|PREEMPTED|node7|None", JobState.FAILED, False, "make room"),
    ],
)
def test_the_state_of_a_job_is_this(line: str, state: JobState, permanent: bool, said: str) -> None:
    status = queue_rows(f"Welcome\n{line}\n")["12_0"]
    assert (status.state, status.permanent) == (state, permanent)
    assert said in status.reason
    assert bool(said) == bool(status.reason)
    assert status.host == ("node7" if "node7" in line else "")


def test_exit_statuses_are_asked_of_the_controller_and_once() -> None:
    shown = SHOWN.format(job=56, task=0, state="FAILED", reason="NonZeroExitCode", code="71:0")
    shown += SHOWN.format(job=12, task=1, state="RUNNING", reason="None", code="0:0")
    queue = "12_0|FAILED|node7|NonZeroExitCode\n12_1|RUNNING|node7|None\n"
    answers = Answers(squeue=queue, scontrol=shown)
    cluster = slurm(answers)
    for _ in range(3):
        found = cluster.status(["12_0", "12_1"])
        assert (found["12_0"].exit_status, found["12_0"].reason) == (71, "ended with exit status 71")
        assert (found["12_1"].state, found["12_1"].exit_status) == (JobState.RUNNING, None)
    assert [args[0] for args in answers.asked] == ["squeue", "scontrol", "squeue", "squeue"]
    assert answers.asked[0] == ["squeue", "-h", "-r", "-t", "all", "-o", "%i|%T|%N|%r", "-j", "12"]
    assert answers.asked[1] == ["scontrol", "-o", "show", "job", "12"]


def test_what_the_controller_has_forgotten_is_asked_of_the_accounting() -> None:
    unknown = failed("slurm_load_jobs error: Invalid job id specified")
    said = "12_0|CANCELLED by 1000|0:15|node7|None\n12_1|COMPLETED|0:0|node7|None\n"
    answers = Answers(squeue=unknown, scontrol=unknown, sacct=said)
    found = slurm(answers).status(["12_0", "12_1"])
    assert {job: status.state for job, status in found.items()} == {"12_0": JobState.REMOVED, "12_1": JobState.DONE}
    assert answers.asked[2] == ["sacct", "-n", "-P", "-X", "-o", "JobID,State,ExitCode,NodeList,Reason", "-j", "12"]


def test_without_accounting_ended_jobs_are_not_listed_and_it_is_not_asked_again() -> None:
    unknown = failed("slurm_load_jobs error: Invalid job id specified")
    answers = Answers(squeue="", scontrol=unknown, sacct=failed("Slurm accounting storage is disabled"))
    cluster = slurm(answers)
    for _ in range(5):
        assert cluster.status(["12_0"]) == {}
    asked = [args[0] for args in answers.asked]
    assert (asked.count("sacct"), asked.count("scontrol"), asked.count("squeue")) == (1, 3, 5)


@pytest.mark.parametrize(
    ("answer", "asked"),
    [
        (failed("sacct: error: slurm_persist_conn_open: failed to send persistent connection init message"), 2),
        (CommandTimeoutError("sacct: no end after 60 s"), 2),
        (failed("Slurm accounting storage is disabled"), 1),
        (CommandMissingError("cannot run 'sacct'"), 1),
    ],
)
def test_accounting_that_fails_for_once_is_asked_again_some_minutes_later(
    answer: Any, asked: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = Answers(squeue="", scontrol=failed("Invalid job id specified"), sacct=answer)
    cluster = slurm(answers)
    now = 1000.0
    monkeypatch.setattr("pocket_exec.batch.slurm_queue.time.monotonic", lambda: now)
    for number, seconds in enumerate((0.0, 10.0, 300.0)):
        now += seconds
        cluster.status([f"{number}_0"])
    assert [args[0] for args in answers.asked].count("sacct") == asked


@pytest.mark.parametrize("answer", [failed("Unable to contact slurm controller"), CommandTimeoutError("squeue")])
def test_a_query_that_fails_says_nothing_of_any_job(answer: Any) -> None:
    with pytest.raises(FarmError):
        slurm(Answers(squeue=answer)).status(["12_0"])


@pytest.mark.parametrize(
    ("state", "code", "exit_status", "said"),
    [
        ("FAILED", "0:9", -9, "ended by signal 9"),
        ("TIMEOUT", "0:15", -15, "its walltime is used up; walltime or queue gives more"),
        ("COMPLETED", "0:0", 0, ""),
        ("PENDING", "0:0", None, ""),
    ],
)
def test_an_exit_code_is_status_and_signal(state: str, code: str, exit_status: int | None, said: str) -> None:
    line = SHOWN.format(job=12, task=0, state=state, reason="RaisedSignal:9(Killed)" if "9" in code else "", code=code)
    status = controller_rows(line)["12_0"]
    assert (status.exit_status, status.reason) == (exit_status, said)


def test_lines_that_are_no_jobs_are_passed_over() -> None:
    assert controller_rows("JobId=12 ArrayJobId=12 ArrayTaskId=3-9 JobState=PENDING\nnothing\n") == {}
    assert accounting_rows("12_0|WEIRD|0:0||\n\n") == queue_rows("12_0|WEIRD||\n") == {}


def test_jobs_are_cancelled_by_one_command_and_gone_ones_are_no_fault() -> None:
    answers = Answers(scancel=failed("scancel: error: Kill job error on job id 12_0: Invalid job id specified"))
    slurm(answers).cancel(["12_0", "12_1", "13_0"])
    assert answers.asked == [["scancel", "12_[0-1]", "13_0"]]
    with pytest.raises(FarmError, match="Access denied"):
        slurm(Answers(scancel=failed("scancel: error: Kill job error on job id 12_0: Access denied"))).cancel(["12_0"])


def test_elements_are_cancelled_as_ranges_and_all_of_an_array_by_its_id(submission: Submission) -> None:
    answers = Answers(sbatch="12\n")
    cluster = slurm(answers)
    ids = cluster.submit(replace(submission, names=tuple(f"01234567-{number}" for number in range(12))))
    assert cluster.cancel_commands(ids[::-1]) == [["scancel", "12"]]
    assert cluster.cancel_commands(ids[:-1]) == [["scancel", "12_[0-10]"]]
    assert cluster.cancel_commands([ids[index] for index in (11, 3, 1, 2, 9, 10, 0, 5)]) == [
        ["scancel", "12_[0-3,5,9-11]"]
    ]
    assert cluster.cancel_commands([ids[7], "40_0", "40_1", "41"]) == [["scancel", "12_7", "40_[0-1]", "41"]]
    # Of another cluster's array the number says nothing.
    assert cluster.cancel_commands([f"12_{number}@merlin7" for number in range(12)]) == [
        ["scancel", "-M", "merlin7", "12_[0-11]"]
    ]


def test_the_users_variables_are_taken_from_the_commands_of_the_guardian_too() -> None:
    cluster = slurm(Answers(), submit_env={"SLURM_CONF": "/etc/s"})
    assert cluster.cancel_commands(["12_0"]) == [["scancel", "12_0"]]
    assert cluster.environment == {**dict.fromkeys(_UNSET), "SLURM_CONF": "/etc/s"}
    # Each would narrow what scancel cancels (its manual page, "ENVIRONMENT VARIABLES").
    narrowing = ("ACCOUNT", "BATCH", "NAME", "PARTITION", "QOS", "STATE", "USER", "WCKEY")
    assert {f"SCANCEL_{name}" for name in narrowing} <= cluster.environment.keys()


def test_elements_that_were_cancelled_before_they_began_are_removed() -> None:
    answers = Answers(squeue="12_0|RUNNING|node7|None\n12|CANCELLED||None\n")
    found = slurm(answers).status(["12_0", "12_1", "12_2"])
    assert [status.state for status in found.values()] == [JobState.RUNNING, JobState.REMOVED, JobState.REMOVED]


def test_what_was_cancelled_here_and_is_listed_no_more_is_removed() -> None:
    unknown = failed("slurm_load_jobs error: Invalid job id specified")
    answers = Answers(scancel="", squeue="12_1|PENDING||None\n", scontrol=unknown, sacct=unknown)
    cluster = slurm(answers)
    cluster.cancel(["12_0"])
    found = cluster.status(["12_0", "12_1"])
    assert [status.state for status in found.values()] == [JobState.REMOVED, JobState.PENDING]


def test_logs_end_with_what_slurm_says(submission: Submission) -> None:
    submission.log_directory.mkdir()
    (submission.log_directory / "01234567-1.err").write_text("pocket-exec worker 01234567-1: no\n")
    (submission.log_directory / "01234567-0.slurm").write_text("error: *** JOB 62 ON n CANCELLED DUE TO TIME LIMIT\n")
    text = slurm(Answers()).logs("12_1", submission, "01234567-1")
    assert text.splitlines() == [
        "pocket-exec worker 01234567-1: no",
        "error: *** JOB 62 ON n CANCELLED DUE TO TIME LIMIT",
    ]


def test_missing_commands_are_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "squeue").touch(mode=0o755)
    assert slurm(Answers(), submit_env={"PATH": str(tmp_path)}).missing_commands() == ["sbatch", "scancel"]


def test_options_of_another_batch_system_are_refused() -> None:
    with pytest.raises(ExecutorError, match="needs Slurm's options, not HTCondorOptions"):
        Slurm.from_options(htcondor_options())


def test_nothing_is_asked_about_no_job() -> None:
    def never(args: Sequence[str]) -> Completed:
        raise AssertionError(args)

    assert slurm(Answers(squeue=never)).status([]) == {}


def test_a_full_disk_is_told_before_anything_is_submitted(submission: Submission) -> None:
    name = slurm(Answers()).submit_words(submission)[-1]
    (submission.directory / name).symlink_to("/dev/full")
    answers = Answers()
    with pytest.raises(SubmitError, match="No space left on device; nothing was submitted"):
        slurm(answers).submit(submission)
    assert answers.asked == []
