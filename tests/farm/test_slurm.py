"""Slurm as a batch system of ours, over a real cluster."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pocket_exec.batch.slurm import Slurm
from pocket_exec.batch.system import JobState, Resources, SubmitError
from tests.farm.batch_jobs import HOSTILE, MIB, InFarm, a_submission, all_are, nested, until, until_logs
from tests.farm_build.farm import Farm
from tests.unit.batch.answers import slurm_options

pytestmark = pytest.mark.farm


def cluster(farm: Farm, **options: Any) -> Slurm:
    """Return the farm's cluster."""
    return Slurm.from_options(slurm_options(**options), InFarm(farm))


def test_jobs_are_submitted_as_one_array_looked_at_suspended_and_cancelled(farm: Farm, shared_dir: Path) -> None:
    system, submission = cluster(farm), a_submission(farm, shared_dir)
    ids = system.submit(submission)
    array = ids[0].partition("_")[0]
    assert ids == tuple(f"{array}_{number}" for number in range(3))
    found = until(system, ids, all_are(JobState.RUNNING, 3))
    assert {status.host for status in found.values()} != {""}
    until_logs(system, ids, submission)
    system.cancel(ids[:1])
    farm.run(["scontrol", "suspend", ids[1]], root=True)
    found = until(system, ids, lambda found: found[ids[0]].state.over and found[ids[1]].state is JobState.HELD)
    assert found[ids[0]].state is JobState.REMOVED
    assert (found[ids[1]].reason, found[ids[2]].state) == ("suspended", JobState.RUNNING)
    farm.run(["scontrol", "resume", ids[1]], root=True)
    system.cancel(ids)
    until(system, ids, all_are(JobState.REMOVED, 3))
    system.cancel(ids)


def test_elements_are_cancelled_though_others_of_their_array_are_gone_and_no_others_are(
    farm: Farm, shared_dir: Path
) -> None:
    system = cluster(farm)
    ids = system.submit(a_submission(farm, shared_dir, count=8))
    until(system, ids, all_are(JobState.RUNNING, 8))
    system.cancel([ids[2], ids[7]])
    until(system, ids, lambda found: found[ids[2]].state.over and found[ids[7]].state.over)
    system.cancel(ids[:5])
    until(system, ids, lambda found: all(found[job].state.over for job in (*ids[:5], ids[7])))
    assert [system.status(ids)[job].state for job in ids[5:7]] == [JobState.RUNNING] * 2
    system.cancel(ids)
    until(system, ids, all_are(JobState.REMOVED, 8))
    system.cancel(ids)
    system.cancel_all("pocket-exec-no-such-run", 20)


def test_all_jobs_of_a_run_are_cancelled_by_its_tag(farm: Farm, shared_dir: Path) -> None:
    system = cluster(farm)
    mine, other = (a_submission(farm, shared_dir / name) for name in ("mine", "other"))
    ids, others = system.submit(mine), system.submit(other)
    [words] = system.cancel_all_commands(mine.tag)
    farm.run(words)
    until(system, ids, all_are(JobState.REMOVED, 3))
    assert not [status for status in system.status(others).values() if status.state.over]
    [words] = system.cancel_commands(others)
    farm.run(words)
    until(system, others, all_are(JobState.REMOVED, 3))


def test_hostile_names_reach_the_job_as_they_are(farm: Farm, shared_dir: Path) -> None:
    where = nested(shared_dir, HOSTILE)
    system = cluster(farm, slurm_settings={"mail-user": 'a\'; "echo" $(id) # x'})
    submission = a_submission(farm, where, 'echo "$1 in $PWD"; exit 3', count=2)
    ids = system.submit(submission)
    found = until(system, ids, all_are(JobState.FAILED, 2))
    assert {status.exit_status for status in found.values()} == {3}
    for job, name in zip(ids, submission.names, strict=True):
        assert system.logs(job, submission, name) == f"{name} in {where}\n"
    assert (submission.log_directory / f"{submission.names[0]}.slurm").exists()


def test_a_job_tells_its_exit_status_or_signal(farm: Farm, shared_dir: Path) -> None:
    system = cluster(farm)
    submission = a_submission(farm, shared_dir, "case $1 in *-0) exit 0;; *-1) exit 71;; *) kill -9 $$;; esac")
    ids = system.submit(submission)
    found = until(system, ids, lambda found: all(status.state.over for status in found.values()))
    assert [found[job].exit_status for job in ids[1:]] == [71, -9]
    assert found[ids[0]].state is JobState.DONE


def test_a_log_directory_that_the_job_cannot_write_to_is_told_by_slurm(farm: Farm, shared_dir: Path) -> None:
    system, submission = cluster(farm), a_submission(farm, shared_dir, count=1)
    (submission.log_directory / f"{submission.names[0]}.err").mkdir()
    ids = system.submit(submission)
    until(system, ids, all_are(JobState.FAILED, 1))
    assert "Is a directory" in system.logs(ids[0], submission, submission.names[0])


def test_memory_above_the_sites_limit_is_refused_and_leaves_nothing(farm: Farm, shared_dir: Path) -> None:
    submission = a_submission(farm, shared_dir, resources=Resources(1, 10**15))
    with pytest.raises(SubmitError, match="Memory specification can not be satisfied"):
        cluster(farm).submit(submission)
    assert farm.slurm_jobs() == []


def test_a_walltime_that_the_partition_does_not_allow_is_told_while_the_job_waits(farm: Farm, shared_dir: Path) -> None:
    system = cluster(farm)
    resources = Resources(1, 100 * MIB, walltime_s=7200)
    ids = system.submit(a_submission(farm, shared_dir, queue="quick", resources=resources))
    found = until(system, ids, lambda found: all(status.reason for status in found.values()))
    assert {(status.state, status.permanent) for status in found.values()} == {(JobState.PENDING, True)}
    assert "walltime is longer than the partition allows" in found[ids[0]].reason
    system.cancel(ids)


def test_the_shortest_partition_is_chosen_for_a_walltime_alone(farm: Farm, shared_dir: Path) -> None:
    system = cluster(farm, queue_limits={"long": "7d", "quick": "1h", "standard": "12h"})
    resources = Resources(1, 100 * MIB, walltime_s=7200)
    ids = system.submit(a_submission(farm, shared_dir, resources=resources))
    partitions = farm.run(["squeue", "-h", "-r", "-o", "%P", "-j", ids[0].partition("_")[0]]).stdout.split()
    assert set(partitions) == {"standard"}
    system.cancel(ids)


def test_an_array_is_as_large_as_the_cluster_allows(farm: Farm, shared_dir: Path) -> None:
    system = cluster(farm, slurm_settings={"begin": "now+1hour"})
    ids = system.submit(a_submission(farm, shared_dir / "most", count=101))
    assert len(system.status(ids)) == 101
    with pytest.raises(SubmitError, match="Invalid job array specification"):
        system.submit(a_submission(farm, shared_dir / "more", count=102))
    system.cancel(ids)
    until(system, ids, all_are(JobState.REMOVED, 101))


def test_the_users_own_variables_do_not_change_what_is_submitted(farm: Farm, shared_dir: Path) -> None:
    system = cluster(farm)
    run = InFarm(farm)
    changed = {
        "SBATCH_JOB_NAME": "mine",
        "SBATCH_ARRAY_INX": "0-7",
        "SBATCH_TIMELIMIT": "1",
        "SBATCH_PARTITION": "long",
    }

    def as_user(args: Any, **words: Any) -> Any:
        return run(args, **{**words, "env": {**changed, **(words["env"] or {})}})

    system = Slurm.from_options(slurm_options(queue="quick"), as_user)
    submission = a_submission(farm, shared_dir, resources=Resources(1, 100 * MIB, walltime_s=600), queue="quick")
    ids = system.submit(submission)
    shown = farm.run(["squeue", "-h", "-r", "-o", "%j|%l|%P", "-j", ids[0].partition("_")[0]]).stdout.split()
    assert shown == [f"{submission.tag}|10:00|quick"] * 3
    system.cancel(ids)


def test_a_job_that_slurm_has_forgotten_is_not_listed_where_no_accounts_are_kept(
    farm: Farm, shared_dir: Path, caplog: pytest.LogCaptureFixture
) -> None:
    system = cluster(farm)
    ids = system.submit(a_submission(farm, shared_dir, count=1))
    with caplog.at_level("DEBUG", "pocket_exec.batch"):
        found = system.status([*ids, "4000000_0"])
    assert set(found) == set(ids)
    assert " sacct -n -P -X " in caplog.text
    assert "Slurm accounting storage is disabled" in caplog.text
    caplog.clear()
    with caplog.at_level("DEBUG", "pocket_exec.batch"):
        assert system.status(["4000001_0"]) == {}
    assert " sacct " not in caplog.text
    system.cancel(ids)
