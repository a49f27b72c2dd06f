"""Batch systems are found by name, a third party's too, and `auto` finds the one whose commands are here."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from importlib.metadata import EntryPoint
from pathlib import Path
from types import ModuleType

import pytest

from pocket_exec.batch.find import GROUP, auto_choice, batch_system, installed_here
from pocket_exec.batch.htcondor import HTCondor
from pocket_exec.batch.slurm import Slurm
from pocket_exec.batch.system import BatchSystem, JobStatus, Submission
from pocket_exec.cli.site_list import SUBMIT_COMMANDS
from pocket_exec.errors import ExecutorError
from pocket_exec.options.layers import Layer
from tests.unit.batch.answers import batch_options, htcondor_options, slurm_options

OURS = [
    EntryPoint("htcondor", "pocket_exec.batch.htcondor:HTCondor", GROUP),
    EntryPoint("slurm", "pocket_exec.batch.slurm:Slurm", GROUP),
]


class Mine(BatchSystem):
    """A third party's, with nothing beyond the contract."""

    name = "mine"
    submit_command = "mysub"

    def missing_commands(self) -> Sequence[str]:
        return []

    def describe(self, submission: Submission) -> str:
        return ""

    def submit(self, submission: Submission) -> tuple[str, ...]:
        return ()

    def status(self, ids: Sequence[str]) -> Mapping[str, JobStatus]:
        return {}

    def cancel_commands(self, ids: Sequence[str]) -> list[list[str]]:
        return []

    def cancel_all_commands(self, tag: str) -> list[list[str]]:
        return []

    def cancel(self, ids: Sequence[str]) -> None:
        return None

    def logs(self, job_id: str, submission: Submission, name: str) -> str:
        return ""


@pytest.fixture
def mine() -> Iterator[EntryPoint]:
    """An entry point of another package."""
    module = ModuleType("my_farm")
    vars(module)["Mine"] = Mine
    sys.modules["my_farm"] = module
    yield EntryPoint("mine", "my_farm:Mine", GROUP)
    del sys.modules["my_farm"]


def commands(directory: Path, *names: str) -> dict[str, str]:
    """Return an environment in which only these commands are on PATH."""
    for name in names:
        (directory / name).touch(mode=0o755)
    return {"PATH": str(directory)}


def test_a_batch_system_is_found_by_its_name() -> None:
    assert isinstance(batch_system(htcondor_options(), points=OURS), HTCondor)
    assert isinstance(batch_system(slurm_options(), points=OURS), Slurm)


def test_a_third_partys_batch_system_is_found_and_needs_no_constructor(mine: EntryPoint) -> None:
    options = htcondor_options().model_copy(update={"batch_system": "mine"})
    assert isinstance(batch_system(options, points=[*OURS, mine]), Mine)


def test_an_unknown_name_gets_the_nearest_and_all() -> None:
    options = htcondor_options().model_copy(update={"batch_system": "slrum"})
    with pytest.raises(ExecutorError) as caught:
        batch_system(options, points=OURS)
    assert str(caught.value) == "No batch system named 'slrum'. Did you mean 'slurm'? There are htcondor, slurm."


@pytest.mark.parametrize(
    ("target", "said"),
    [
        ("no_such_module_at_all:X", "cannot be imported: ModuleNotFoundError"),
        ("json:dumps", "not a class derived from pocket_exec.batch.system.BatchSystem"),
    ],
)
def test_a_broken_one_is_named_with_its_target(target: str, said: str) -> None:
    options = htcondor_options().model_copy(update={"batch_system": "bad"})
    with pytest.raises(ExecutorError) as caught:
        batch_system(options, points=[*OURS, EntryPoint("bad", target, GROUP)])
    assert target in str(caught.value)
    assert said in str(caught.value)


def test_two_of_one_name_are_a_fault_that_names_both(mine: EntryPoint) -> None:
    twice = EntryPoint("slurm", mine.value, GROUP)
    with pytest.raises(ExecutorError, match=r"my_farm:Mine.* and .*slurm:Slurm.*Uninstall one"):
        batch_system(slurm_options(), points=[*OURS, twice])


def test_auto_takes_the_one_whose_command_is_here(tmp_path: Path, mine: EntryPoint) -> None:
    assert installed_here(commands(tmp_path, "sbatch"), OURS) == ("slurm", "sbatch")
    (tmp_path / "sbatch").unlink()
    assert installed_here(commands(tmp_path, "mysub"), [*OURS, mine]) == ("mine", "mysub")


def test_auto_without_any_or_with_several_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(ExecutorError, match="none of condor_submit, sbatch is in PATH; is this a submit host"):
        installed_here(commands(tmp_path), OURS)
    with pytest.raises(ExecutorError, match=r"htcondor \(condor_submit\) and slurm \(sbatch\) are here; say which"):
        installed_here(commands(tmp_path, "sbatch", "condor_submit"), OURS)


def test_auto_passes_over_a_broken_one(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    broken = EntryPoint("broken", "no_such_module_at_all:X", GROUP)
    assert installed_here(commands(tmp_path, "sbatch"), [*OURS, broken])[0] == "slurm"
    assert "cannot be imported" in caplog.text


def test_auto_chooses_model_and_defaults(tmp_path: Path) -> None:
    choose = auto_choice("dask@T3_CH_PSI", OURS)
    choice = choose({"batch-system": "auto", "submit-env": commands(tmp_path, "condor_submit")})
    assert choice is not None
    assert choice.values == {"batch-system": "htcondor"}
    assert choice.reason == "auto: condor_submit is here"
    assert choice.model is type(htcondor_options())
    assert isinstance(choice.defaults[0], Layer)


def test_another_batch_system_than_the_sites_brings_its_model() -> None:
    choose = auto_choice("dask@T3_CH_PSI", OURS)
    assert choose({"batch-system": "slurm"}) is None
    choice = choose({"batch-system": "htcondor"})
    assert choice is not None
    assert choice.model is type(htcondor_options())


def test_every_batch_system_that_is_registered_here_is_one() -> None:
    for name in ("htcondor", "slurm"):
        found = batch_system(batch_options(f"dask@{name}"))
        assert found.name == name
        assert found.submit_command == SUBMIT_COMMANDS[name]
