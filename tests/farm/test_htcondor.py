"""HTCondor as a batch system of ours, over a real pool."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pocket_exec.batch.htcondor import HTCondor
from pocket_exec.batch.system import JobState, Resources, SubmitError
from tests.farm.batch_jobs import HOSTILE, MIB, InFarm, a_submission, all_are, nested, until, until_logs
from tests.farm_build.farm import Farm
from tests.unit.batch.answers import htcondor_options

pytestmark = pytest.mark.farm

NO_IMAGE = "/cvmfs/unpacked.cern.ch/registry.hub.docker.com/nobody/nothing:1"


def pool(farm: Farm, **options: Any) -> HTCondor:
    """Return the farm's pool."""
    return HTCondor.from_options(htcondor_options(disk_per_worker=None, **options), InFarm(farm))


def test_jobs_are_submitted_by_one_command_looked_at_held_and_cancelled(farm: Farm, shared_dir: Path) -> None:
    system, submission = pool(farm), a_submission(farm, shared_dir)
    ids = system.submit(submission)
    cluster = ids[0].partition(".")[0]
    assert ids == tuple(f"{cluster}.{number}" for number in range(3))
    found = until(system, ids, all_are(JobState.RUNNING, 3))
    assert {status.host for status in found.values()} != {""}
    until_logs(system, ids, submission)
    system.cancel(ids[:1])
    farm.run(["condor_hold", ids[1]])
    found = until(
        system, ids, lambda found: found[ids[0]].state.over and found[ids[1]].state is JobState.HELD, seconds=30
    )
    assert found[ids[0]].state is JobState.REMOVED
    assert "via condor_rm" in found[ids[0]].reason
    assert "via condor_hold" in found[ids[1]].reason
    assert found[ids[2]].state is JobState.RUNNING
    system.cancel(ids)
    until(system, ids, all_are(JobState.REMOVED, 3))
    system.cancel(ids)


def test_all_jobs_of_a_run_are_cancelled_by_its_tag(farm: Farm, shared_dir: Path) -> None:
    system = pool(farm)
    mine, other = (a_submission(farm, shared_dir / name) for name in ("mine", "other"))
    ids, others = system.submit(mine), system.submit(other)
    [words] = system.cancel_all_commands(mine.tag)
    [left] = system.left_commands(mine.tag)
    assert len(farm.run(left).stdout.split()) == 3
    farm.run(words)
    assert farm.run(left).stdout == ""
    until(system, ids, all_are(JobState.REMOVED, 3))
    assert not [status for status in system.status(others).values() if status.state.over]
    [words] = system.cancel_commands(others)
    farm.run(words)
    until(system, others, all_are(JobState.REMOVED, 3))


def test_a_run_is_cancelled_by_its_tag_whether_or_not_it_has_jobs_left(farm: Farm, shared_dir: Path) -> None:
    system = pool(farm)
    mine, other = (a_submission(farm, shared_dir / name) for name in ("mine", "other"))
    ids, others = system.submit(mine), system.submit(other)
    for _ in range(3):
        system.cancel_all(mine.tag, 20)
    until(system, ids, all_are(JobState.REMOVED, 3))
    assert not [status for status in system.status(others).values() if status.state.over]
    system.cancel(others)
    until(system, others, all_are(JobState.REMOVED, 3))


@pytest.mark.parametrize("shared", [True, False])
def test_hostile_names_reach_the_job_as_they_are(farm: Farm, shared_dir: Path, shared: bool) -> None:
    where = nested(shared_dir, HOSTILE)
    body = 'echo "$1 in $PWD"; cat "$1" "in put" 2>/dev/null; exit 3'
    submission = a_submission(farm, where, body, count=1)
    (where / "in put").write_text("transferred\n")
    (where / submission.names[0]).write_text("shared\n")
    if not shared:
        submission = a_submission(farm, where, body, count=1, files=(where / "in put",), names=submission.names)
    system = pool(farm, shared_filesystem=shared, queue_attribute="Note", requirements=["Memory > 0"])
    ids = system.submit(submission)
    found = until(system, ids, lambda found: all(status.state.over for status in found.values()) and bool(found))
    assert found[ids[0]].exit_status == 3
    first, *rest = system.logs(ids[0], submission, submission.names[0]).splitlines()
    assert rest == (["shared", "transferred"] if shared else ["transferred"])
    assert (first == f"{submission.names[0]} in {where}") is shared


def test_a_job_that_outlives_its_walltime_is_removed_and_says_so(farm: Farm, shared_dir: Path) -> None:
    resources = Resources(1, 100 * MIB, walltime_s=20)
    for attribute in ("MaxRuntime", None):
        system = pool(farm, walltime_attribute=attribute)
        submission = a_submission(farm, shared_dir / f"{attribute}", count=1, resources=resources)
        ids = system.submit(submission)
        found = until(system, ids, all_are(JobState.REMOVED, 1), seconds=150)
        assert "the job has used up its walltime" in found[ids[0]].reason
        assert not found[ids[0]].permanent
        # The stream came home though the job was removed.
        assert "err of" in system.logs(ids[0], submission, submission.names[0])


def test_a_job_above_its_memory_is_held_and_says_so(farm: Farm, shared_dir: Path) -> None:
    system = pool(farm)
    body = "exec python3 -c 'import time; hold = bytearray(300 << 20); time.sleep(300)'"
    ids = system.submit(a_submission(farm, shared_dir, body, count=1))
    found = until(system, ids, all_are(JobState.HELD, 1), seconds=90)
    assert "ask for more with mem-per-worker" in found[ids[0]].reason
    assert found[ids[0]].permanent
    system.cancel(ids)
    until(system, ids, all_are(JobState.REMOVED, 1))


def test_an_image_that_has_vanished_is_told_though_the_job_is_never_held(farm: Farm, shared_dir: Path) -> None:
    system = pool(farm, image_attribute="SingularityImage")
    ids = system.submit(a_submission(farm, shared_dir, count=1, image=NO_IMAGE))
    found = until(system, ids, lambda found: found[ids[0]].permanent, seconds=120)
    assert NO_IMAGE in found[ids[0]].reason
    assert "check worker-image" in found[ids[0]].reason
    assert found[ids[0]].state in (JobState.PENDING, JobState.RUNNING)
    system.cancel(ids)


@pytest.mark.parametrize("attribute", ["SingularityImage", None])
def test_the_pool_puts_a_job_in_its_image(farm: Farm, shared_dir: Path, attribute: str | None) -> None:
    system = pool(farm, image_attribute=attribute)
    body = "command -v python; exit 0"
    submission = a_submission(farm, shared_dir, body, count=1, image=farm.image)
    ids = system.submit(submission)
    until(system, ids, all_are(JobState.DONE, 1), seconds=90)
    assert system.logs(ids[0], submission, submission.names[0]) == "/opt/venv/bin/python\n"


def test_spooled_jobs_bring_their_logs_home_and_leave_the_queue(farm: Farm, unshared_dir: Path) -> None:
    system = pool(farm, spool=True)
    body = 'echo "out of $1"; echo "err of $1" >&2; [ "${1##*-}" = 0 ] && exit 71; exec sleep 300'
    submission = a_submission(farm, unshared_dir, body, count=2)
    ids = system.submit(submission)
    found = until(
        system, ids, lambda found: [one.state for one in found.values()] == [JobState.FAILED, JobState.RUNNING]
    )
    assert found[ids[0]].exit_status == 71
    until_logs(system, ids, submission)
    assert (submission.log_directory / f"{submission.names[0]}.err").exists()
    system.finish(ids[:1])
    system.cancel(ids[1:])
    until(system, ids, lambda _: not farm.condor_jobs())


def test_what_no_machine_can_give_is_told_for_good(farm: Farm, shared_dir: Path) -> None:
    system = pool(farm)
    ids = system.submit(a_submission(farm, shared_dir, count=1, resources=Resources(1, 10**15)))
    found = until(system, ids, lambda found: bool(found[ids[0]].reason))
    assert found[ids[0]].state is JobState.PENDING
    assert "and no machine of the pool has more than" in found[ids[0]].reason
    assert found[ids[0]].permanent
    system.cancel(ids)


def test_a_refused_submission_is_told_in_its_words_and_leaves_nothing(farm: Farm, shared_dir: Path) -> None:
    submission = a_submission(farm, shared_dir)
    submission.script.unlink()
    with pytest.raises(SubmitError, match="Can't access executable file"):
        pool(farm).submit(submission)
    assert farm.condor_jobs() == []


def test_a_schedd_that_is_not_there_is_passed_over(farm: Farm, shared_dir: Path) -> None:
    local = farm.run(["condor_status", "-schedd", "-af", "Name"]).stdout.strip()
    system = pool(farm, schedds=["nobody@nowhere", local])
    ids = system.submit(a_submission(farm, shared_dir, count=100))
    assert len(set(ids)) == 100
    assert ids[99].endswith(f"@{local}")
    assert len(system.status(ids)) == 100
    system.cancel(ids)
    until(system, ids, lambda found: all(status.state.over for status in found.values()))


def test_a_typing_error_in_a_setting_is_warned_of(
    farm: Farm, shared_dir: Path, caplog: pytest.LogCaptureFixture
) -> None:
    system = pool(farm, htcondor_settings={"reqest_memory": "12"})
    ids = system.submit(a_submission(farm, shared_dir, count=1))
    assert "the line 'reqest_memory = 12' was unused" in caplog.text
    system.cancel(ids)
