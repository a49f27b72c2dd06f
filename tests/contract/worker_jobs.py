"""A worker's script as a batch system would run it: bash, on this machine, against a real scheduler."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import psutil
from distributed import Client, LocalCluster
from distributed.security import Security

from pocket_exec.worker.archive import code_archive
from pocket_exec.worker.environment import private_environment
from pocket_exec.worker.image import Image
from pocket_exec.worker.script import job_script
from pocket_exec.worker.start import RunFiles, worker_settings, worker_start
from tests.unit.worker.worker_options import batch_options


@dataclass
class Run:
    """One run's private directory, and the worker jobs that are started from it."""

    directory: Path
    address: str
    security: Security | None = None
    modules: tuple[Path, ...] = ()
    image: Image | None = None
    needed: tuple[str, ...] = ()
    changes: dict[str, Any] = field(default_factory=dict)
    """Of the settings, by name."""
    environment: dict[str, str] = field(default_factory=dict)
    """Of the jobs."""

    def script(self, *, passed: Mapping[str, str] | None = None, **options: Any) -> Path:
        """Write script, settings, archive, certificates and the values to pass, and return the script."""
        self.directory.mkdir(parents=True, exist_ok=True)
        self.directory.chmod(0o700)
        given = batch_options(**{"mem_per_worker": "1GB", "death_timeout": 30, **options})
        files = self._files()
        private = private_environment(given, passed or {})
        if private is not None:
            files = replace(files, environment=self.directory / "environment.sh")
            (self.directory / "environment.sh").write_text(private)
        files.archive.write_bytes(code_archive(self.modules)[0])
        settings = worker_settings(given, files, scheduler=self.address, image=self.image, modules=self.needed)
        settings = replace(settings, **self.changes)
        files.settings.write_text(settings.to_json(), encoding="utf-8")
        cfg_directory = self.modules[0] if self.modules else self.directory
        start = worker_start(given, self.image, files, cfg_directory=cfg_directory, output_directory=self.directory)
        script = self.directory / "worker.sh"
        script.write_text(job_script(start), encoding="utf-8")
        return script

    def _files(self) -> RunFiles:
        named: dict[str, Path] = {}
        if self.security is not None:
            of_worker = self.security.get_tls_config_for_role("worker")
            pem = {name: of_worker[key] for name, key in (("ca", "ca_file"), ("cert", "cert"), ("key", "key"))}
            for name, text in pem.items():
                named[name] = self.directory / f"{name}.pem"
                named[name].touch(mode=0o600)
                named[name].write_text(str(text))
        return RunFiles(self.directory / "code.zip", self.directory / "worker.json", **named)

    @contextmanager
    def job(self, script: Path, name: str = "w-1") -> Iterator[Job]:
        """Start a worker's job in a directory of its own; kill what is left of it."""
        scratch = self.directory / f"job {name}"
        scratch.mkdir()
        log = scratch / "log"
        environment = {"PATH": os.environ["PATH"], "HOME": os.environ["HOME"], "TMPDIR": str(scratch)}
        environment |= {key: value for key, value in os.environ.items() if key.startswith("POCKET_EXEC_TEST")}
        with log.open("wb") as out:
            process = subprocess.Popen(
                ["/bin/bash", str(script), name],
                cwd=scratch,
                env={**environment, **self.environment},
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
            )
        job = Job(process, log, scratch)
        try:
            yield job
        finally:
            for left in job.processes():
                with suppress(psutil.NoSuchProcess):
                    left.kill()
            process.wait(10)

    def ended(self, script: Path, name: str = "w-1", timeout_s: float = 60) -> tuple[int, str]:
        """Run a job to its end; return its status and its line for the user."""
        with self.job(script, name) as job:
            status = job.process.wait(timeout_s)
        assert list(job.scratch.iterdir()) == [job.log], "nothing is left behind"
        lines = [line for line in job.text().splitlines() if line.startswith("pocket-exec worker")]
        assert len(lines) == 1, job.text()
        return status, lines[0]


@dataclass
class Job:
    """A worker's job that runs."""

    process: subprocess.Popen[bytes]
    log: Path
    scratch: Path

    def text(self) -> str:
        """Return what it has printed."""
        return self.log.read_text(errors="replace")

    def processes(self) -> list[psutil.Process]:
        """Return the job's process and all below it."""
        try:
            top = psutil.Process(self.process.pid)
            return [*top.children(recursive=True), top]
        except psutil.NoSuchProcess:
            return []

    def end(self, signum: int, timeout_s: float = 15) -> float:
        """Send a signal and return after how many seconds nothing of the job is left."""
        before = self.processes()
        began = time.monotonic()
        self.process.send_signal(signum)
        self.process.wait(timeout_s)
        while alive := [process for process in before if _runs(process)]:
            assert time.monotonic() - began < timeout_s, f"{alive}\n{self.text()}"
            time.sleep(0.05)
        return time.monotonic() - began


def conda_like(prefix: Path, variables: Mapping[str, str], scripts: Mapping[str, str]) -> Path:
    """Make what a script needs of a conda environment, whose Python is this one; conda itself has no part in it."""
    for directory in ("bin", "conda-meta", "etc/conda/activate.d"):
        (prefix / directory).mkdir(parents=True)
    (prefix / "conda-meta" / "state").write_text(json.dumps({"env_vars": dict(variables)}))
    for name, text in scripts.items():
        (prefix / "etc" / "conda" / "activate.d" / name).write_text(text)
    python = prefix / "bin" / "python"
    python.write_text(f'#!/bin/sh\nexport PYTHON_OF_CONDA="$0"\nexec "{sys.executable}" "$@"\n')
    python.chmod(0o755)
    return prefix


@contextmanager
def scheduler(*, tls: bool = True) -> Iterator[LocalCluster]:
    """Start a scheduler without workers."""
    with LocalCluster(
        n_workers=0,
        processes=False,
        host="127.0.0.1",
        protocol="tls://" if tls else "tcp://",
        security=Security.temporary() if tls else None,
        dashboard_address="127.0.0.1:0",
    ) as cluster:
        yield cluster


@contextmanager
def client_of(cluster: LocalCluster, workers: int = 1) -> Iterator[Client]:
    """Connect, and wait for the workers."""
    with Client(cluster, security=cluster.security, set_as_default=False) as client:
        client.wait_for_workers(workers, timeout=60)
        yield client


def _runs(process: psutil.Process) -> bool:
    """Return whether a process is there; one that has ended and that nobody has waited for is not."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
