"""Where the scheduler is, what is on disk of a run's jobs, and who may report what."""

from __future__ import annotations

import json
import logging
import shlex
import socket
from pathlib import Path

import pytest

from pocket_exec.batch.jobs_file import JobsFile, warn_of_earlier_runs
from pocket_exec.batch.ports import SchedulerPlace, contact_host
from pocket_exec.batch.quiet import quiet_dask


def test_ports_are_tried_from_the_wanted_one_on_and_any_at_last() -> None:
    assert list(SchedulerPlace(port=65534).candidates()) == [65534, 65535, 0]
    assert list(SchedulerPlace().candidates()) == [0]
    assert list(SchedulerPlace(port=8786).candidates())[99:] == [8885, 0]


def test_ports_of_a_range_are_never_left() -> None:
    assert list(SchedulerPlace(port=8786, ports=range(10000, 10003)).candidates()) == [10000, 10001, 10002]
    assert list(SchedulerPlace(port=0, ports=range(10000, 10002)).candidates()) == [10000, 10001]


def test_the_hosts_own_names_are_worked_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "getfqdn", lambda: "lxplus901.cern.ch")
    monkeypatch.setattr(socket, "gethostname", lambda: "lxplus901")
    assert contact_host("fqdn") == "lxplus901.cern.ch"
    assert contact_host("hostname") == "lxplus901"
    assert contact_host("10.1.2.3") == "10.1.2.3"
    assert contact_host(None) is None


def test_a_full_name_that_is_localhost_is_not_told_to_workers(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(socket, "getfqdn", lambda: "localhost.localdomain")
    assert contact_host("fqdn") is None
    assert "localhost.localdomain" in caplog.text


def test_the_jobs_are_on_disk_with_the_commands_that_cancel_them_until_none_is_left(
    tmp_path: Path, hostile: str
) -> None:
    path = tmp_path / "log" / "jobs.json"
    file = JobsFile(path)
    commands = [["condor_rm", hostile]]
    file.write(system="htcondor", tag="pocket-exec-1", jobs={"w-0": "1.0"}, commands=commands, environment={})
    said = json.loads(path.read_text())
    assert (said["batch_system"], said["tag"], said["jobs"]) == ("htcondor", "pocket-exec-1", {"w-0": "1.0"})
    assert (said["cancel"], said["submit_env"]) == ([shlex.join(commands[0])], [])
    file.remove()
    file.remove()
    assert not path.exists()


def test_variables_are_named_on_disk_and_their_values_are_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SCANCEL_STATE", "PENDING")
    monkeypatch.delenv("SCANCEL_USER", raising=False)
    variables = {"SCANCEL_STATE": None, "SCANCEL_USER": None, "SLURM_CONF": "/etc/s", "BEARER_TOKEN": "hunter2"}
    path = tmp_path / "jobs.json"
    commands = [["scancel", "12_0"], ["scancel", "--name=pocket-exec-1"]]
    JobsFile(path).write(system="slurm", tag="pocket-exec-1", jobs={}, commands=commands, environment=variables)
    said = json.loads(path.read_text())
    assert said["cancel"] == [f"env -u SCANCEL_STATE {shlex.join(words)}" for words in commands]
    assert said["submit_env"] == ["BEARER_TOKEN", "SLURM_CONF"]
    assert "hunter2" not in path.read_text()


def test_a_disk_that_takes_nothing_is_warned_of_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "log").touch()
    file = JobsFile(tmp_path / "log" / "jobs.json")
    for _ in range(2):
        file.write(system="slurm", tag="pocket-exec-1", jobs={}, commands=[], environment={})
    assert len(caplog.records) == 1


def test_a_file_of_an_earlier_run_that_cannot_be_read_is_told_none_the_less(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for name, text in (("torn", '{"tag": "pock'), ("foreign", "[]")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "jobs.json").write_text(text)
    warn_of_earlier_runs(tmp_path)
    warn_of_earlier_runs(tmp_path / "none")
    assert [
        f"{tmp_path / name}/jobs.json" in told for name, told in zip(("foreign", "torn"), caplog.messages, strict=True)
    ]


def test_without_an_output_directory_nothing_is_written() -> None:
    file = JobsFile(None)
    file.write(system="slurm", tag="pocket-exec-1", jobs={}, commands=[], environment={})
    file.remove()


def test_dasks_loggers_are_quiet_inside_and_as_before_afterwards() -> None:
    scheduler, ours = logging.getLogger("distributed.scheduler"), logging.getLogger("pocket_exec.batch")
    scheduler.setLevel(logging.INFO)
    with quiet_dask(), quiet_dask():
        assert not scheduler.isEnabledFor(logging.CRITICAL)
        assert not logging.getLogger("distributed.comm.tcp").isEnabledFor(logging.ERROR)
        assert ours.isEnabledFor(logging.ERROR)
    assert scheduler.level == logging.INFO
