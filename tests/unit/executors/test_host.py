"""Which machine runs are started from, and from which directories."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from pocket_exec.executors.host import directory_fault, host_fault, workers_here


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


@pytest.mark.parametrize(
    ("workers", "cores", "words"),
    [
        (4, 8, "4 workers on this machine"),
        (1, 8, "1 worker on this machine, which has 8 cores: -s takes more of them"),
        (1, 1, "1 worker on this machine"),
    ],
)
def test_one_worker_of_a_machine_with_more_cores_is_told_how_to_use_them(
    monkeypatch: pytest.MonkeyPatch, workers: int, cores: int, words: str
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: set(range(cores)))
    assert workers_here(workers) == words


def test_a_link_does_not_hide_such_a_directory(tmp_path: Path) -> None:
    (tmp_path / "eos").mkdir()
    (tmp_path / "here").symlink_to(tmp_path / "eos")
    assert directory_fault("log-directory", tmp_path / "here" / "out", [str(tmp_path / "eos")]) is not None
