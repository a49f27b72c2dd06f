"""Settings come through their file unchanged, follow from the options, and become Dask's arguments."""

from __future__ import annotations

import itertools
import os
import time
from dataclasses import replace
from pathlib import Path

import pytest

from pocket_exec.engine.leaving import LEAVES_AT
from pocket_exec.worker import dask_worker
from pocket_exec.worker.container import registry_login
from pocket_exec.worker.dask_worker import arguments
from pocket_exec.worker.environment import private_environment
from pocket_exec.worker.settings import TLSFiles, WorkerSettings
from pocket_exec.worker.start import RunFiles, client_versions, worker_settings
from tests.unit.worker.worker_options import batch_options, run_files

FULL = WorkerSettings(
    scheduler="tls://host:8786",
    nthreads=2,
    memory_limit=10**9,
    death_timeout_s=60,
    versions={"python": "3.12"},
    modules=("a", "b"),
    tls=TLSFiles("ca.pem", "cert.pem", "key.pem"),
    local_directory="/scratch/$USER",
    worker_port="10000:10100",
    nanny_port="10000:10100",
    interface="ib0",
    lifetime_s=3000,
    dask_config={"distributed.worker.memory.target": False},
    fix="do this",
)


def test_settings_come_through_their_file() -> None:
    assert WorkerSettings.from_json(FULL.to_json()) == FULL
    assert WorkerSettings.from_json(replace(FULL, tls=None).to_json()) == replace(FULL, tls=None)


def test_a_name_that_is_no_unicode_comes_through() -> None:
    odd = replace(FULL, local_directory=b"/scratch/\xff".decode("utf-8", "surrogateescape"))
    assert WorkerSettings.from_json(odd.to_json()) == odd


def test_settings_follow_from_the_options() -> None:
    options = batch_options(
        cores_per_worker=4,
        mem_per_worker="2GB",
        worker_ports="10000:10100",
        local_directory="/s",
        worker_interface="ib0",
    )
    settings = worker_settings(options, run_files("/run"), scheduler="tls://h:1", modules=["m"], lifetime_s=100)
    assert (settings.nthreads, settings.memory_limit, settings.worker_port) == (4, 1_700_000_000, "10000:10100")
    assert (settings.modules, settings.local_directory, settings.lifetime_s) == (("m",), "/s", 100)
    assert settings.interface == "ib0"
    assert settings.tls == TLSFiles("/run/ca.pem", "/run/cert.pem", "/run/key.pem")
    assert settings.versions == client_versions()


def test_files_that_travel_are_named_without_their_directory() -> None:
    options = batch_options("dask@htcondor", shared_filesystem=False)
    settings = worker_settings(options, run_files("/run"), scheduler="tls://h:1")
    assert settings.tls == TLSFiles("ca.pem", "cert.pem", "key.pem")


def test_without_certificates_there_is_no_encryption() -> None:
    files = RunFiles(Path("/run/code.zip"), Path("/run/worker.json"))
    assert worker_settings(batch_options(), files, scheduler="tcp://h:1").tls is None
    assert files.travelling() == (Path("/run/code.zip"), Path("/run/worker.json"))


def test_settings_become_arguments_of_dasks_worker() -> None:
    words = arguments(FULL, "w-1", "/scratch/own", 2850)
    assert words[0] == "tls://host:8786"
    given = dict(itertools.pairwise(words))
    assert given["--name"] == "w-1"
    assert given["--nthreads"] == "2"
    assert given["--memory-limit"] == "1000000000"
    assert given["--local-directory"] == "/scratch/own"
    assert given["--worker-port"] == given["--nanny-port"] == "10000:10100"
    assert given["--lifetime"] == "2850s"
    assert given["--tls-key"] == "key.pem"
    assert "--nanny" in words


def test_a_worker_is_told_when_it_leaves_and_so_is_what_it_computes(monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[str] = []
    monkeypatch.setattr("distributed.cli.dask_worker.main.main", lambda args, **_: given.extend(args))
    monkeypatch.setattr("dask.config.set", lambda values: None)
    monkeypatch.setenv(LEAVES_AT, "")
    before = time.time()
    dask_worker.run(FULL, "w-1", "/scratch/own")
    lifetime_s = int(dict(itertools.pairwise(given))["--lifetime"].removesuffix("s"))
    assert 2700 <= lifetime_s <= 3000
    assert before + lifetime_s <= float(os.environ[LEAVES_AT]) <= time.time() + lifetime_s


def test_what_is_not_set_is_no_argument() -> None:
    bare = WorkerSettings("tcp://host:1", 1, 1, 1, {})
    words = arguments(bare, "w-1", "/s")
    assert not {"--worker-port", "--nanny-port", "--interface", "--lifetime", "--tls-key"} & set(words)


def test_values_to_pass_stand_in_a_file_of_their_own(hostile: str) -> None:
    options = batch_options(pass_environment=["TOKEN", "NOT_THERE"])
    text = private_environment(options, {"TOKEN": hostile, "OTHER": "x"})
    assert text is not None
    assert text.startswith("export TOKEN=")
    assert "NOT_THERE" not in text
    assert "OTHER" not in text
    assert private_environment(options, {}) is None


def test_a_deploy_token_stands_in_a_file_of_its_own() -> None:
    assert registry_login(batch_options()) is None
    text = registry_login(batch_options(tokenuser="robot $1", tokenpassword="it's"))
    assert text is not None
    assert "export APPTAINER_DOCKER_USERNAME='robot $1'\n" in text
    assert "export SINGULARITY_DOCKER_PASSWORD='it'\"'\"'s'\n" in text
