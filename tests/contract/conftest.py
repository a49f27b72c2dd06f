"""Executors as a user names them, and a scheduler that somebody else runs."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from distributed.security import Security

from pocket_exec.executors.factory import ExecutorFactory
from pocket_exec.executors.registry import Registry
from pocket_exec.request import Choice, Request, choose, make_factory, resolved_options
from tests.contract import fake_farm

EXECUTORS = ["iterative", "futures", "dask", "dask@local", "dask@tcp", "dask@tls", "dask@htcondor", "dask@slurm"]
"""Every registered executor but the sites; a test fails where these lists and the registry differ."""
SITES = ["dask@T3", "dask@T3_CH_PSI", "dask@lxplus"]
"""Sites: what is tested of their batch system's executor holds for them, which add a name only."""
IN_FAKE_FARM = {
    "scaleout": 2,
    "scheduler-host": "127.0.0.1",
    "scheduler-interface": "lo",
    "mem-per-worker": "500MB",
    "poll-interval": 1,
    "dask-scheduler-port": 0,
}


@dataclass(frozen=True)
class Scheduler:
    """A scheduler of somebody else's: its address and the settings that reach it."""

    address: str
    environment: dict[str, str]
    process: subprocess.Popen[bytes]


@pytest.fixture(scope="session")
def schedulers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], Scheduler]]:
    """Start a scheduler with one worker, once for each protocol."""
    started: dict[str, Scheduler] = {}

    def start(protocol: str) -> Scheduler:
        if protocol not in started:
            started[protocol] = _start(protocol, tmp_path_factory.mktemp(protocol))
        return started[protocol]

    yield start
    for scheduler in started.values():
        scheduler.process.send_signal(signal.SIGTERM)
        scheduler.process.wait(30)


def _start(protocol: str, directory: Path) -> Scheduler:
    environment = _certificates(directory) if protocol == "tls" else {}
    said = directory / "address"
    program = (
        "import pathlib, signal, sys\n"
        "from distributed import LocalCluster\n"
        "from distributed.security import Security\n"
        "if __name__ == '__main__':\n"
        "    secure = sys.argv[1] == 'tls'\n"
        "    with LocalCluster(n_workers=1, threads_per_worker=1, processes=True, host='127.0.0.1',\n"
        "        protocol=sys.argv[1] + '://', dashboard_address='127.0.0.1:0', memory_limit=2 * 10**9,\n"
        "        security=Security() if secure else None) as cluster:\n"
        "        pathlib.Path(sys.argv[2]).write_text(cluster.scheduler_address)\n"
        "        signal.signal(signal.SIGTERM, lambda *_: sys.exit())\n"
        "        signal.pause()\n"
    )
    script = directory / "scheduler.py"
    script.write_text(program)
    with (directory / "scheduler.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, str(script), protocol, str(said)],
            env={**os.environ, **environment},
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    end = time.monotonic() + 60
    while not said.exists() or not said.read_text():
        assert process.poll() is None, (directory / "scheduler.log").read_text()
        assert time.monotonic() < end
        time.sleep(0.1)
    return Scheduler(said.read_text(), environment, process)


def _certificates(directory: Path) -> dict[str, str]:
    security = Security.temporary()
    files = {"CA_FILE": security.tls_ca_file, "CERT": security.tls_worker_cert, "KEY": security.tls_worker_key}
    for name, content in files.items():
        path = directory / f"{name.lower()}.pem"
        path.touch(mode=0o600)
        path.write_text(str(content))
    base = "DASK_DISTRIBUTED__COMM__TLS__"
    environment = {f"{base}CA_FILE": str(directory / "ca_file.pem")}
    for side in ("CLIENT", "SCHEDULER", "WORKER"):
        environment[f"{base}{side}__CERT"] = str(directory / "cert.pem")
        environment[f"{base}{side}__KEY"] = str(directory / "key.pem")
    return environment


@dataclass(frozen=True)
class Named:
    """An executor under test: its string, and what makes its factory, with a step overridden where asked."""

    text: str
    choice: Choice
    arguments: tuple[str, ...]
    run_options: Mapping[str, Any] = field(default_factory=dict)

    def factory(self, outputdir: Path | None = None, **steps: Any) -> ExecutorFactory:
        """Return a new factory, of a subclass where ``steps`` overrides methods."""
        assert self.choice.factory is not None
        kind: Any = type("Changed", (self.choice.factory,), steps) if steps else self.choice.factory
        given = {"scaleout": 2, "worker-timeout": 60, **self.run_options}
        resolved = resolved_options(Request(), self.choice, given, "test")
        changed = Choice(self.choice.name, self.choice.model, self.choice.defaults, self.choice.known, factory=kind)
        return make_factory(changed, resolved, outputdir)


@pytest.fixture(params=EXECUTORS)
def named(
    request: pytest.FixtureRequest,
    schedulers: Callable[[str], Scheduler],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path_factory: pytest.TempPathFactory,
) -> Named:
    """Each registered executor in turn, as a user would name it."""
    text: str = request.param
    if text in ("dask@tcp", "dask@tls"):
        scheduler = schedulers(text.removeprefix("dask@"))
        text = f"dask@{scheduler.address}"
        for name, value in scheduler.environment.items():
            monkeypatch.setenv(name, value)
        import dask

        with dask.config.set():
            dask.config.refresh()
            choice = choose(Request(executor=text), Registry.installed())
            return Named(text, choice, ("-e", text))
    choice = choose(Request(executor=text), Registry.installed())
    if text in ("dask@htcondor", "dask@slurm"):
        directory = tmp_path_factory.mktemp("farm")
        monkeypatch.setenv("PATH", f"{fake_farm.install(directory)}{os.pathsep}{os.environ['PATH']}")
        # Logs go there without an output directory.
        monkeypatch.chdir(directory)
        flags = tuple(f"--{key}={value}" for key, value in IN_FAKE_FARM.items())
        return Named(text, choice, ("-e", text, *flags), IN_FAKE_FARM)
    return Named(text, choice, ("-e", text))
