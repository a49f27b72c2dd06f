"""A scheduler of somebody else's, whose workers have never heard of this project, runs it and is left as it was."""

from __future__ import annotations

import importlib
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from coffea.processor.executor import WorkItem
from distributed import Client

import pocket_exec
from pocket_exec.errors import FarmError
from pocket_exec.executors import versions
from tests.contract import dask_processes

# What is installed here is not found there, save in what was sent.
HIDE = """
import sys

class Hide:
    @staticmethod
    def find_spec(name, path=None, target=None):
        hidden = name.split(".")[0] in ("pocket_exec", "tests")
        if hidden and not any("pocket-exec-code-" in place for place in sys.path):
            raise ModuleNotFoundError(f"{name} is hidden", name=name)
        return None

sys.meta_path.insert(0, Hide)
"""

ITEMS = [WorkItem("DY", "a.root", "Events", 10 * c, 10 * c + 10, b"") for c in range(12)]


@contextmanager
def elsewhere(directory: Path, threads: int = 1) -> Iterator[str]:
    """Start a scheduler and a worker that do not find this project, and yield the address."""
    (directory / "hide").mkdir()
    (directory / "hide" / "sitecustomize.py").write_text(HIDE)
    environment = {"PYTHONPATH": str(directory / "hide")}
    with (
        dask_processes.scheduler(directory, environment) as (address, _),
        dask_processes.worker(address, directory / "worker", threads, environment),
    ):
        yield address


@pytest.fixture
def physics(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A directory with the user's modules, importable here."""
    directory = tmp_path / "physics"
    directory.mkdir()
    monkeypatch.syspath_prepend(directory)
    yield directory
    for name in ("physics_elsewhere", "physics_later"):
        sys.modules.pop(name, None)


def written(directory: Path, number: int) -> Any:
    (directory / "physics_later.py").write_text(f"number = {number}\n")
    (directory / "physics_elsewhere.py").write_text(
        "def process(item):\n"
        "    from physics_later import number\n"
        "    return {'out': {'n': len(item), 'numbers': {number}}, 'processed': {item}}\n"
    )
    sys.modules.pop("physics_elsewhere", None)
    importlib.invalidate_caches()
    return importlib.import_module("physics_elsewhere").process


def state_of_workers(client: Client) -> Any:
    """Return what a run could leave: import paths, modules, files."""

    def state(dask_worker: Any) -> Any:
        import gc
        import sys
        from pathlib import Path

        gc.collect()
        modules = sorted(name for name in sys.modules if name.startswith(("pocket_exec", "physics_")))
        return list(sys.path), modules, sorted(map(str, Path(dask_worker.local_directory).rglob("*.py")))

    return client.run(state)


@pytest.mark.parametrize("threads", [1, 3])
def test_workers_that_do_not_know_this_project_run_it_and_are_left_as_they_were(
    threads: int, tmp_path: Path, physics: Path
) -> None:
    process = written(physics, 7)
    with elsewhere(tmp_path, threads) as address, Client(address, set_as_default=False) as client:
        client.wait_for_workers(1, timeout=60)
        before = state_of_workers(client)
        with pocket_exec.open_executor(f"dask@{address}", worker_timeout=60, module_dirs=[physics]) as executor:
            total, error = executor(ITEMS, process, None)
            ((_, modules, files),) = state_of_workers(client).values()
        after = state_of_workers(client)
    assert (error, total["out"]) == (0, {"n": 120, "numbers": {7}})
    assert {"pocket_exec.engine.remote", "physics_elsewhere", "physics_later"} <= set(modules)
    assert "physics_later.py" in {Path(file).name for file in files}
    assert after == before


def test_the_next_run_has_the_users_modules_as_they_are_then(tmp_path: Path, physics: Path) -> None:
    with elsewhere(tmp_path) as address:
        for number in (1, 2):
            process = written(physics, number)
            with pocket_exec.open_executor(f"dask@{address}", worker_timeout=60, module_dirs=[physics]) as executor:
                total, _ = executor(ITEMS, process, None)
            assert total["out"]["numbers"] == {number}


def test_a_worker_that_comes_later_has_the_code_too(tmp_path: Path, physics: Path) -> None:
    process = written(physics, 7)
    with elsewhere(tmp_path) as address, Client(address, set_as_default=False) as client:
        with pocket_exec.open_executor(f"dask@{address}", worker_timeout=60, module_dirs=[physics]) as executor:
            environment = {"PYTHONPATH": str(tmp_path / "hide")}
            with dask_processes.worker(address, tmp_path / "late", 1, environment):
                client.wait_for_workers(2, timeout=60)
                client.retire_workers(names=[name for name in client.nthreads() if name != newest(client)])
                total, error = executor(ITEMS, process, None)
        assert (error, total["out"]) == (0, {"n": 120, "numbers": {7}})


def newest(client: Client) -> str:
    workers: dict[str, Any] = client.scheduler_info(n_workers=-1)["workers"]
    return max(workers, key=lambda address: workers[address]["id"])


def test_a_scheduler_with_other_versions_is_told_before_anything_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(versions, "DECIDING", ("python", "coffea", "a-package-that-nobody-has"))
    monkeypatch.setattr(versions, "differences", lambda found, packages: iter(["coffea: 1 on client; 2 on worker x"]))
    with (
        elsewhere(tmp_path) as address,
        pytest.raises(FarmError, match="coffea: 1 on client; 2 on worker x"),
        pocket_exec.open_executor(f"dask@{address}", worker_timeout=60),
    ):
        pass


def test_an_address_where_nobody_answers_is_a_farm_error() -> None:
    with (
        pytest.raises(FarmError, match=r"no Dask scheduler answers at tcp://127\.0\.0\.1:9"),
        pocket_exec.open_executor("dask@tcp://127.0.0.1:9", worker_timeout=1),
    ):
        pass


def test_a_scheduler_without_workers_is_a_farm_error_after_worker_timeout(tmp_path: Path) -> None:
    with (
        dask_processes.scheduler(tmp_path) as (address, _),
        pytest.raises(FarmError, match="no worker after 00:00:10"),
        pocket_exec.open_executor(f"dask@{address}", worker_timeout=10),
    ):
        pass


def test_another_runs_code_on_the_same_workers_is_refused_until_that_run_has_ended(
    tmp_path: Path, physics: Path
) -> None:
    process = written(physics, 1)
    options: dict[str, Any] = {"worker_timeout": 60, "module_dirs": [physics]}
    with elsewhere(tmp_path) as address:
        with pocket_exec.open_executor(f"dask@{address}", **options) as first:
            other = written(physics, 2)
            with (
                pytest.raises(FarmError, match=r"another run with other code is using these workers \(OwnClient-"),
                pocket_exec.open_executor(f"dask@{address}", **options),
            ):
                pass
            # The one that was there first is none the worse.
            total, error = first(ITEMS, process, None)
            assert (error, total["out"]["numbers"]) == (0, {1})
        with pocket_exec.open_executor(f"dask@{address}", **options) as second:
            total, error = second(ITEMS, other, None)
        assert (error, total["out"]["numbers"]) == (0, {2})


def test_runs_of_the_same_code_share_the_workers(tmp_path: Path, physics: Path) -> None:
    process = written(physics, 1)
    options: dict[str, Any] = {"worker_timeout": 60, "module_dirs": [physics]}
    with elsewhere(tmp_path) as address, pocket_exec.open_executor(f"dask@{address}", **options) as first:
        with pocket_exec.open_executor(f"dask@{address}", **options) as second:
            for executor in (first, second):
                assert executor(ITEMS, process, None)[0]["out"]["numbers"] == {1}
        assert first(ITEMS, process, None)[0]["out"]["numbers"] == {1}


def test_code_of_a_client_that_was_killed_refuses_nobody(tmp_path: Path, physics: Path) -> None:
    written(physics, 1)
    with elsewhere(tmp_path) as address:
        program = (
            "import os, sys, pocket_exec\n"
            f"with pocket_exec.open_executor('dask@{address}', worker_timeout=60, module_dirs=[{str(physics)!r}]):\n"
            "    print('there', flush=True)\n"
            "    os.kill(os.getpid(), 9)\n"
        )
        killed = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
        assert killed.stdout == "there\n", killed.stderr
        process = written(physics, 2)
        with Client(address, set_as_default=False) as client:
            wait_until_alone(client)
        with pocket_exec.open_executor(f"dask@{address}", worker_timeout=60, module_dirs=[physics]) as executor:
            total, error = executor(ITEMS, process, None)
        assert (error, total["out"]["numbers"]) == (0, {2})


def wait_until_alone(client: Client) -> None:
    """Wait until the scheduler has noticed that a client is gone; it has its own name for itself beside ours."""
    end = time.monotonic() + 30
    while len(client.run_on_scheduler(lambda dask_scheduler: list(dask_scheduler.clients))) > 2:
        assert time.monotonic() < end
        time.sleep(0.1)
