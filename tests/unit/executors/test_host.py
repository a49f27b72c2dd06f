"""Which machine runs are started from, and from which directories."""

from __future__ import annotations

from pathlib import Path

import pytest

from pocket_exec.executors.host import directory_fault, host_fault


def test_a_machine_of_another_name_is_told_with_the_way_round_it() -> None:
    fault = host_fault("lxplus", ["laptop", "laptop.home"])
    assert fault is not None
    assert str(fault) == (
        "submit-host: this machine is 'laptop', and runs are started on one whose name contains 'lxplus'; "
        "log in there, or set `--submit-host null` to start from here all the same"
    )


@pytest.mark.parametrize("wanted", [None, "lxplus", "LXPLUS", "lxplus9", "cern.ch"])
def test_a_part_of_either_name_is_enough(wanted: str | None) -> None:
    assert host_fault(wanted, ["lxplus901", "lxplus901.cern.ch"]) is None


def test_a_directory_that_the_batch_system_does_not_take_is_told(tmp_path: Path) -> None:
    (tmp_path / "eos" / "user").mkdir(parents=True)
    fault = directory_fault("log-directory", tmp_path / "eos" / "user" / "new", [str(tmp_path / "eos")])
    assert fault is not None
    assert f"under {tmp_path / 'eos'}, from where the batch system takes no submission" in str(fault)
    assert directory_fault("log-directory", tmp_path / "eos2", [str(tmp_path / "eos")]) is None
    assert directory_fault("log-directory", tmp_path / "afs", [str(tmp_path / "eos")]) is None


def test_a_link_does_not_hide_such_a_directory(tmp_path: Path) -> None:
    (tmp_path / "eos").mkdir()
    (tmp_path / "here").symlink_to(tmp_path / "eos")
    assert directory_fault("log-directory", tmp_path / "here" / "out", [str(tmp_path / "eos")]) is not None
