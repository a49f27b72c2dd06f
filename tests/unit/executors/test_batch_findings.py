"""All that is wrong before a submission is told at once, under the exit status of what the user can mend."""

from __future__ import annotations

import pytest

from pocket_exec.command import CommandMissingError
from pocket_exec.errors import ExecutorError, FarmError, Fault, OptionsError, PocketExecError
from pocket_exec.executors.before_submission import Findings

HOST = ExecutorError("submit-host: this machine is 'laptop'")
COMMANDS = CommandMissingError("condor_submit not found")
SCHEDD = FarmError("no schedd answers")
WALLTIME = OptionsError([Fault("walltime", "is too long", "--walltime")])


def settled(*here: PocketExecError, everywhere: tuple[PocketExecError, ...] = (), lenient: bool = False) -> None:
    Findings(here=list(here), everywhere=list(everywhere)).settle("dask@lxplus", lenient=lenient)


def test_nothing_wrong_is_nothing_raised() -> None:
    settled()


@pytest.mark.parametrize("error", [HOST, COMMANDS])
def test_one_thing_is_raised_as_it_is(error: PocketExecError) -> None:
    with pytest.raises(type(error)) as caught:
        settled(error)
    assert caught.value is error


def test_several_are_in_one_message_with_the_status_of_what_the_user_can_mend() -> None:
    with pytest.raises(ExecutorError) as caught:
        settled(HOST, COMMANDS, everywhere=(WALLTIME, WALLTIME))
    assert str(caught.value) == (
        "dask@lxplus cannot start:\n"
        "  walltime (--walltime): is too long\n"
        "  submit-host: this machine is 'laptop'\n"
        "  condor_submit not found"
    )
    with pytest.raises(FarmError, match="no schedd answers"):
        settled(COMMANDS, SCHEDD)


def test_options_alone_are_told_as_options() -> None:
    with pytest.raises(OptionsError, match="Bad run options:\n  walltime"):
        settled(everywhere=(WALLTIME, WALLTIME))


def test_for_a_dry_run_only_what_is_wrong_everywhere_counts(caplog: pytest.LogCaptureFixture) -> None:
    settled(HOST, COMMANDS, lenient=True)
    assert [record.getMessage() for record in caplog.records] == [str(HOST), str(COMMANDS)]
    with pytest.raises(OptionsError):
        settled(HOST, everywhere=(WALLTIME,), lenient=True)
