"""HTCondor by its commands: which are run, and what becomes of their answers."""

from __future__ import annotations

import json
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from pocket_exec.batch.htcondor import HTCondor
from pocket_exec.batch.system import JobState, Submission, SubmitError
from pocket_exec.command import CommandMissingError, CommandTimeoutError, Completed
from pocket_exec.errors import ExecutorError, FarmError
from tests.unit.batch.answers import TAG, Answers, a_submission, failed, htcondor_options, slurm_options

REMOVE = f'PocketExecRun == "{TAG}" && PocketExecFirst == "01234567-0"'


def condor(answers: Answers, **changes: Any) -> HTCondor:
    """Return the pool that answers so."""
    return HTCondor.from_options(htcondor_options(**changes), answers)


def ads(*jobs: dict[str, Any]) -> str:
    """Return an answer of condor_q."""
    return json.dumps([{"ClusterId": 12, "ProcId": number, **job} for number, job in enumerate(jobs)])


@pytest.fixture
def submission(tmp_path: Path) -> Submission:
    """Two workers, submitted from a directory that is there."""
    return a_submission(tmp_path)


@pytest.mark.parametrize("answer", ["12.0 - 12.1\n", "** Welcome! 3 - 4 **\n 12.0 - 12.1 \nbye\n"])
def test_all_jobs_are_submitted_by_one_command(submission: Submission, answer: str) -> None:
    answers = Answers(condor_submit=answer)
    assert condor(answers).submit(submission) == ("12.0", "12.1")
    assert answers.asked == [["condor_submit", "-terse", "01234567-0.sub"]]
    written = (submission.directory / "01234567-0.sub").read_text()
    assert written == condor(answers).describe(submission)


def test_a_spooled_submission_says_so(submission: Submission) -> None:
    answers = Answers(condor_submit="12.0 - 12.1\n")
    condor(answers, spool=True).submit(submission)
    assert answers.asked == [["condor_submit", "-terse", "-spool", "01234567-0.sub"]]


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ("2 job(s) submitted to cluster 12.\n", "did not say the ids of 2 jobs; it said:\n2 job"),
        ("12.0 - 12.2\n", "did not say the ids of 2 jobs"),
        ("", "it said:\nnothing"),
        (failed("ERROR: no such directory"), "ended with status 1:\n  ERROR: no such directory"),
    ],
)
def test_a_submission_that_fails_is_told_in_its_words_and_cancelled(
    submission: Submission, answer: str | Completed, said: str
) -> None:
    answers = Answers(condor_submit=answer, condor_rm="")
    with pytest.raises(SubmitError) as caught:
        condor(answers).submit(submission)
    assert said in str(caught.value)
    assert answers.asked[1] == ["condor_rm", "-constraint", REMOVE]


@pytest.mark.parametrize("answer", [CommandTimeoutError("condor_submit: no end after 180 s"), failed("", status=-9)])
def test_a_submission_that_hangs_or_is_killed_leaves_nothing_once_it_is_cancelled(
    submission: Submission, answer: Any
) -> None:
    answers = Answers(condor_submit=answer, condor_rm="")
    with pytest.raises(SubmitError, match=r"no end after 180 s|signal 9"):
        condor(answers).submit(submission)
    assert answers.asked[1][0] == "condor_rm"


def test_a_submission_that_hangs_may_have_left_jobs_where_they_cannot_be_cancelled(submission: Submission) -> None:
    answers = Answers(condor_submit=CommandTimeoutError("no end after 180 s"), condor_rm=failed("cannot connect"))
    with pytest.raises(
        FarmError, match=r"no end after 180 s\nWhether it left jobs in the queue is not known"
    ) as caught:
        condor(answers).submit(submission)
    assert not isinstance(caught.value, SubmitError)


COMMIT = "ERROR: Failed to commit job submission into the queue.\n"


@pytest.mark.parametrize(("reason", "clean"), [("", False), ("ERROR: no such accounting group\n", True)])
def test_a_commit_that_failed_without_a_reason_may_have_been_one(
    submission: Submission, reason: str, clean: bool
) -> None:
    answers = Answers(condor_submit=failed(f"Submitting job(s)\n{COMMIT}{reason}"), condor_rm=failed("cannot connect"))
    with pytest.raises(FarmError, match="Failed to commit") as caught:
        condor(answers).submit(submission)
    assert isinstance(caught.value, SubmitError) is clean


def test_jobs_that_may_be_left_are_told(submission: Submission) -> None:
    answers = Answers(condor_submit="mumble", condor_rm=failed("cannot connect"))
    with pytest.raises(FarmError, match="Whether it left jobs in the queue is not known: `the command`") as caught:
        condor(answers).submit(submission)
    assert not isinstance(caught.value, SubmitError)


def test_a_condor_submit_that_was_killed_is_no_refusal(submission: Submission) -> None:
    answers = Answers(condor_submit=failed("", status=-9), condor_rm=failed("cannot connect"))
    with pytest.raises(FarmError, match="Whether it left jobs in the queue is not known") as caught:
        condor(answers).submit(submission)
    assert not isinstance(caught.value, SubmitError)


def test_a_missing_command_is_told_as_such(submission: Submission) -> None:
    answers = Answers(condor_submit=CommandMissingError("cannot run 'condor_submit'"))
    with pytest.raises(CommandMissingError):
        condor(answers).submit(submission)


def test_schedds_are_tried_in_order_and_ids_remember_theirs(submission: Submission) -> None:
    def submit(args: Sequence[str]) -> Completed:
        good = "bigbird2" in args
        return Completed(tuple(args), 0 if good else 1, "7.0 - 7.1\n" if good else "", "ERROR: Can't find address")

    answers = Answers(condor_submit=submit, condor_rm="", condor_q=ads({"JobStatus": 2}).replace("12", "7"))
    pool = condor(answers, schedds=["bigbird1", "bigbird2"])
    ids = pool.submit(submission)
    assert ids == ("7.0@bigbird2", "7.1@bigbird2")
    pool.submit(submission)
    pool.cancel(ids)
    assert [args[:4] for args in answers.asked] == [
        ["condor_submit", "-terse", "-name", "bigbird1"],
        ["condor_rm", "-name", "bigbird1", "-constraint"],
        ["condor_submit", "-terse", "-name", "bigbird2"],
        ["condor_submit", "-terse", "-name", "bigbird2"],
        ["condor_rm", "-name", "bigbird2", "7.0"],
    ]
    assert list(pool.status(ids[:1])) == ["7.0@bigbird2"]
    assert pool.cancel_commands(ids) == [["condor_rm", "-name", "bigbird2", "7.0", "7.1"]]
    assert pool.cancel_all_commands(TAG) == [
        ["condor_rm", "-name", name, "-constraint", f'PocketExecRun == "{TAG}"'] for name in ("bigbird1", "bigbird2")
    ]


@pytest.mark.parametrize(("queue", "unclear"), [("", False), (failed("cannot connect"), True)])
def test_what_a_schedd_that_was_passed_over_may_hold_is_told_and_remembered(
    submission: Submission, queue: str | Completed, unclear: bool, caplog: pytest.LogCaptureFixture
) -> None:
    def submit(args: Sequence[str]) -> Completed:
        if "a" in args:
            raise CommandTimeoutError("condor_submit -name a: no end after 180 s")
        return Completed(tuple(args), 0, "7.0 - 7.1\n", "")

    pool = condor(Answers(condor_submit=submit, condor_rm=failed("not found"), condor_q=queue), schedds=["a", "b"])
    assert pool.submit(submission) == ("7.0@b", "7.1@b")
    assert pool.unclear is unclear
    assert "condor_submit -name a: no end after 180 s" in caplog.text


def test_when_no_schedd_takes_it_all_are_told(submission: Submission) -> None:
    answers = Answers(condor_submit=failed("ERROR: Can't find address of schedd"), condor_rm=failed("no schedd"))
    with pytest.raises(SubmitError) as caught:
        condor(answers, schedds=["a", "b"]).submit(submission)
    assert str(caught.value).count("ERROR: Can't find address") == 2
    assert str(caught.value).endswith("(is this a submit host? `schedds` names others)")


def test_one_command_looks_at_all_jobs() -> None:
    answers = Answers(condor_q=ads({"JobStatus": 2}, {"JobStatus": 1}, {"JobStatus": 1}))
    found = condor(answers).status(["12.0", "12.1"])
    assert {job: status.state for job, status in found.items()} == {"12.0": JobState.RUNNING, "12.1": JobState.PENDING}
    [args] = answers.asked
    assert (args[:3], args[4:]) == (["condor_q", "-json", "-attributes"], ["12"])


def test_how_jobs_ended_is_looked_up_once() -> None:
    ended = [{"ClusterId": 12, "ProcId": 0, "JobStatus": 4, "ExitCode": 71}]
    answers = Answers(condor_q="", condor_history=json.dumps(ended))
    pool = condor(answers)
    for _ in range(6):
        found = pool.status(["12.0", "12.1"])
        assert {job: status.exit_status for job, status in found.items()} == {"12.0": 71}
    histories = [args[-2:] for args in answers.asked if args[0] == "condor_history"]
    assert histories == [["12.0", "12.1"], ["10000", "12.1"], ["10000", "12.1"]]
    assert answers.asked[1][:1] + answers.asked[1][4:8] == ["condor_history", "-limit", "2", "-scanlimit", "10000"]


@pytest.mark.parametrize("history", [failed("permission denied"), CommandMissingError("x"), "what?"])
def test_without_a_history_ended_jobs_are_not_listed(history: Any) -> None:
    assert condor(Answers(condor_q="", condor_history=history)).status(["12.0"]) == {}


@pytest.mark.parametrize("answer", [failed("SECMAN:2007"), CommandTimeoutError("condor_q"), "what?"])
def test_a_query_that_fails_says_nothing_of_any_job(answer: Any) -> None:
    with pytest.raises(FarmError):
        condor(Answers(condor_q=answer)).status(["12.0"])


@pytest.mark.parametrize(
    "said",
    ["Job 12.0 not found", "Couldn't find/remove all jobs in cluster 12\ncondor_rm:0:There are no jobs in the queue"],
)
def test_jobs_that_are_gone_already_are_no_fault(said: str) -> None:
    condor(Answers(condor_rm=failed(said))).cancel(["12.0"])


NOTHING_REMOVED = f'Couldn\'t find/remove all jobs matching constraint (PocketExecRun == "{TAG}")'


def test_that_a_run_has_no_jobs_left_is_no_fault() -> None:
    answers = Answers(condor_rm=failed(NOTHING_REMOVED), condor_q="")
    condor(answers, schedds=["a"]).cancel_all(TAG, 20)
    assert answers.asked == [
        ["condor_rm", "-name", "a", "-constraint", f'PocketExecRun == "{TAG}"'],
        ["condor_q", "-name", "a", "-constraint", f'(PocketExecRun == "{TAG}") && JobStatus != 3', "-af", "ClusterId"],
    ]


def test_another_process_learns_from_each_schedd_whether_jobs_are_left() -> None:
    left = f'(PocketExecRun == "{TAG}") && JobStatus != 3'
    assert condor(Answers(), schedds=["b", "a"]).left_commands(TAG) == [
        ["condor_q", "-name", name, "-constraint", left, "-af", "ClusterId"] for name in ("a", "b")
    ]


@pytest.mark.parametrize("queue", ["12\n12\n", failed("SECMAN:2007"), CommandTimeoutError("condor_q: no end")])
def test_a_run_whose_jobs_cannot_be_removed_is_told_and_the_other_schedds_are_asked(queue: Any) -> None:
    answers = Answers(condor_rm=failed(NOTHING_REMOVED), condor_q=queue)
    with pytest.raises(FarmError, match=r"status 1[\s\S]*\n[\s\S]*status 1|no end\n[\s\S]*no end"):
        condor(answers, schedds=["a", "b"]).cancel_all(TAG, 20)
    assert [args[0] for args in answers.asked] == ["condor_rm", "condor_q"] * 2


@pytest.mark.parametrize("said", ["condor_rm: unknown host", "Job 12.0 not found\npermission denied", ""])
def test_a_cancellation_that_fails_is_told(said: str) -> None:
    with pytest.raises(FarmError, match="ended with status 1"):
        condor(Answers(condor_rm=failed(said))).cancel(["12.0", "12.1"])


def test_commands_get_the_environment_of_the_site_and_it_is_no_word_of_those_for_another_process() -> None:
    answers = Answers(condor_rm="")
    pool = condor(answers, submit_env={"_condor_SEC": "SCITOKENS", "BEARER_TOKEN": "hunter2"})
    pool.cancel(["12.0"])
    assert answers.env["_condor_SEC"] == "SCITOKENS"
    assert pool.cancel_commands(["12.0"]) == [["condor_rm", "12.0"]]
    assert "hunter2" not in f"{pool.cancel_all_commands(TAG)} {pool.left_commands(TAG)}"
    assert pool.environment == {"_condor_SEC": "SCITOKENS", "BEARER_TOKEN": "hunter2"}


def test_logs_are_the_end_of_both_streams(submission: Submission) -> None:
    submission.log_directory.mkdir()
    (submission.log_directory / "01234567-0.out").write_text("o" * 20000 + "\nlast word")
    (submission.log_directory / "01234567-0.err").write_text("pocket-exec worker 01234567-0: no\n")
    text = condor(Answers()).logs("12.0", submission, "01234567-0")
    assert text == "last word\npocket-exec worker 01234567-0: no\n"
    assert condor(Answers()).logs("12.1", submission, "01234567-1") == ""


def test_spooled_logs_of_an_ended_job_are_fetched_once(submission: Submission) -> None:
    submission.log_directory.mkdir()

    def transfer(args: Sequence[str]) -> Completed:
        return Completed(tuple(args), 0, "Fetching data files...", "")

    answers = Answers(condor_q=ads({"JobStatus": 4, "ExitCode": 71}), condor_transfer_data=transfer)
    pool = condor(answers, spool=True)
    pool.status(["12.0"])
    assert pool.logs("12.0", submission, "01234567-0") == pool.logs("12.0", submission, "01234567-0") == ""
    assert [args for args in answers.asked if args[0] == "condor_transfer_data"] == [["condor_transfer_data", "12.0"]]


def test_a_job_whose_logs_are_being_fetched_is_not_removed_meanwhile(submission: Submission) -> None:
    submission.log_directory.mkdir()
    begun, goes_on = threading.Event(), threading.Event()

    def transfer(args: Sequence[str]) -> Completed:
        begun.set()
        goes_on.wait(5)
        return Completed(tuple(args), 0, "", "")

    answers = Answers(condor_q=ads({"JobStatus": 4, "ExitCode": 71}), condor_transfer_data=transfer, condor_rm="")
    pool = condor(answers, spool=True)
    pool.status(["12.0"])
    reading = threading.Thread(target=pool.logs, args=("12.0", submission, "01234567-0"))
    finishing = threading.Thread(target=pool.finish, args=(["12.0"],))
    reading.start()
    begun.wait(5)
    finishing.start()
    finishing.join(0.2)
    assert [args[0] for args in answers.asked] == ["condor_q", "condor_transfer_data"]
    goes_on.set()
    reading.join(5)
    finishing.join(5)
    assert [args[0] for args in answers.asked] == ["condor_q", "condor_transfer_data", "condor_rm"]


def test_spooled_logs_of_a_running_job_are_its_machines(submission: Submission) -> None:
    answers = Answers(condor_tail=lambda args: Completed(tuple(args), 0, "e\n" if "-stderr" in args else "o\n", ""))
    assert condor(answers, spool=True).logs("12.0", submission, "01234567-0") == "o\ne\n"


def test_what_was_spooled_is_fetched_and_the_jobs_are_taken_out_of_the_queue() -> None:
    answers = Answers(condor_transfer_data="", condor_rm="")
    condor(answers, spool=True).finish(["12.0", "12.1"])
    assert answers.asked == [["condor_transfer_data", "12.0", "12.1"], ["condor_rm", "12.0", "12.1"]]
    unspooled = Answers()
    condor(unspooled).finish(["12.0"])
    assert unspooled.asked == []


def test_what_ending_jobs_have_spooled_is_fetched_as_they_end_within_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pocket_exec.batch.htcondor_output._LOOK_EVERY_S", 0.01)

    def queue(args: Sequence[str]) -> Completed:
        looks = len([asked for asked in answers.asked if asked[0] == "condor_q"])
        first = {"ClusterId": 12, "ProcId": 0, "JobStatus": 4, "ExitCode": 0}
        second = {"ClusterId": 12, "ProcId": 1, "JobStatus": 4 if looks > 1 else 2, "ExitCode": 0}
        third = {"ClusterId": 12, "ProcId": 2, "JobStatus": 2}
        return Completed(tuple(args), 0, json.dumps([first, second, third]), "")

    answers = Answers(condor_q=queue, condor_transfer_data="")
    condor(answers, spool=True).last_output(["12.0", "12.1", "12.2"], 0.3)
    fetched = [args[1:] for args in answers.asked if args[0] == "condor_transfer_data"]
    assert fetched == [["12.0"], ["12.1"]]
    unspooled = Answers()
    condor(unspooled).last_output(["12.0"], 1.0)
    assert unspooled.asked == []


def test_a_schedd_that_does_not_answer_keeps_no_run_from_its_end() -> None:
    answers = Answers(condor_q=failed("SECMAN:2007"))
    condor(answers, spool=True).last_output(["12.0"], 0.6)
    assert {args[0] for args in answers.asked} == {"condor_q"}


def test_the_pool_is_asked_for_its_machines_once_and_only_for_jobs_that_none_has_taken() -> None:
    waiting = {"JobStatus": 1, "LastRejMatchReason": "no match found", "RequestMemory": 5000, "RequestCpus": 1}
    answers = Answers(condor_q=ads({"JobStatus": 1}), condor_status="4000 8\nundefined undefined\n2000 16\n")
    pool = condor(answers)
    pool.status(["12.0"])
    assert [args[0] for args in answers.asked] == ["condor_q"]
    answers.commands["condor_q"] = ads(waiting)
    found = [pool.status(["12.0"])["12.0"] for _ in range(2)]
    assert all(status.permanent and "more than 4000 MiB and 16 cores" in status.reason for status in found)
    assert [args[0] for args in answers.asked].count("condor_status") == 1


@pytest.mark.parametrize("answer", ["", failed("SECMAN:2007"), CommandTimeoutError("condor_status: no end"), "what?"])
def test_a_pool_that_does_not_tell_its_machines_condemns_no_job(answer: Any) -> None:
    waiting = {"JobStatus": 1, "LastRejMatchReason": "no match found", "RequestMemory": 5000, "RequestCpus": 1}
    status = condor(Answers(condor_q=ads(waiting), condor_status=answer)).status(["12.0"])["12.0"]
    assert not status.permanent
    assert "no machine has taken it yet: no match found; check mem-per-worker" in status.reason


def test_missing_commands_are_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "condor_q").touch(mode=0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert condor(Answers()).missing_commands() == ["condor_submit", "condor_rm"]
    assert "condor_transfer_data" in condor(Answers(), spool=True).missing_commands()


def test_options_of_another_batch_system_are_refused() -> None:
    with pytest.raises(ExecutorError, match="needs HTCondor's options, not SlurmOptions"):
        HTCondor.from_options(slurm_options())


def test_a_full_disk_is_told_before_anything_is_submitted(submission: Submission) -> None:
    name = condor(Answers()).submit_words(submission)[-1]
    (submission.directory / name).symlink_to("/dev/full")
    answers = Answers()
    with pytest.raises(SubmitError, match="No space left on device; nothing was submitted"):
        condor(answers).submit(submission)
    assert answers.asked == []
