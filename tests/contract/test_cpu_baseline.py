"""What numpy uses of the workers' CPUs is recorded, a mix is named, and ``cpu-baseline`` holds all at one level."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from collections import deque
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from coffea.processor.executor import WorkItem

from pocket_exec.engine import cpu
from pocket_exec.engine.chunk import Answer, attempt
from pocket_exec.engine.executor import PocketExecutor
from pocket_exec.engine.pool import Function
from tests.contract.command_line import cfg_of, record, runner
from tests.contract.conftest import Named

ITEMS = [WorkItem("DY", f"{f}.root", "Events", 10 * c, 10 * c + 10, b"") for f in range(2) for c in range(3)]
LOWEST = cpu.LEVELS[0]
RUN = ("--cfg", "cfg.py", "-o", "out")

needs_levels = pytest.mark.skipif(cpu.level() not in cpu.LEVELS[1:], reason="this CPU has no level above the lowest")


def features_in_use(item: WorkItem) -> dict[str, Any]:
    """Return what numpy itself says that it may use in the process that works on ``item``."""
    from numpy._core import _multiarray_umath as numpys  # type: ignore[attr-defined]

    used = {name for name in numpys.__cpu_dispatch__ if numpys.__cpu_features__[name]}
    return {"out": {"used": used, "levels": {cpu.level()}}, "processed": {item}}


@needs_levels
def test_the_baseline_changes_what_numpy_uses_in_the_workers(named: Named) -> None:
    here = features_in_use(ITEMS[0])["out"]
    with named.factory() as executor:
        plain, _ = executor(ITEMS, features_in_use, None)
    assert plain["out"] == here
    with replace(named, run_options={**named.run_options, "cpu-baseline": LOWEST}).factory() as executor:
        held, _ = executor(ITEMS, features_in_use, None)
        assert {what.split(", ")[0] for what in executor.report.cpus.values()} == held["out"]["levels"]
    assert {cpu.DISABLE, cpu.ENABLE} & set(os.environ) == set()
    # This very process, and workers of somebody else's, have imported numpy before.
    too_late = named.text == "iterative" or "://" in named.text
    assert held["out"] == (here if too_late else {"used": set(), "levels": {LOWEST}})


@pytest.fixture
def cfg(zmumu_files: dict[str, list[Path]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Work in an empty directory with a small analysis."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    Path("cfg.py").write_text(cfg_of({"SingleMuon": {"files": [str(zmumu_files["SingleMuon"][0])]}}))


@needs_levels
@pytest.mark.usefixtures("cfg")
def test_the_record_says_what_numpy_used_on_each_host_and_where_the_baseline_was_not_kept() -> None:
    host = os.uname().nodename
    assert runner(*RUN).status == 0
    assert record("out")["cpus"] == {host: cpu.used()}
    assert record("out")["cpu_mix"] == ""
    ended = runner(*RUN, "--fresh", "--cpu-baseline", LOWEST)
    assert ended.status == 0
    lines = " ".join(ended.err.split())
    assert f"cpu-baseline {LOWEST} is not kept on {host}, where numpy was imported before" in lines
    ended = runner(*RUN, "--fresh", "-e", "futures", "--cpu-baseline", LOWEST)
    assert "is not kept" not in ended.err
    assert record("out")["cpus"][host].startswith(f"{LOWEST}, ")


@pytest.mark.usefixtures("cfg")
def test_what_is_no_level_is_refused() -> None:
    ended = runner(*RUN, "--cpu-baseline", "x86-64-v5")
    assert ended.status == 3
    assert "cpu-baseline (--cpu-baseline): 'x86-64-v5' is not one of x86-64-v2, x86-64-v3, x86-64-v4" in ended.err


class Mixed:
    """A pool that is this process, and says of every second item that it ran on another host with another CPU.

    A fake: no test can have two kinds of CPU.
    """

    blames_exactly = True
    batch_s = 0.0

    def __init__(self) -> None:
        self._function: Function | None = None
        self._queue: deque[tuple[int, object]] = deque()

    def load(self, function: Function) -> None:
        self._function = function

    def slots(self) -> int:
        return 1

    def submit(self, task: int, item: object) -> None:
        self._queue.append((task, item))

    def wait(self, timeout_s: float | None) -> list[tuple[int, Answer]]:
        assert self._function is not None
        task, item = self._queue.popleft()
        host, level = [("old01", "x86-64-v3"), ("new01", "x86-64-v4")][task % 2]
        return [(task, replace(attempt(self._function, item), host=host, cpus={host: level}))]

    def cancel(self) -> None:
        self._queue.clear()


FACTORY = """\
from pocket_exec.executors import ExecutorFactory
from tests.contract.test_cpu_baseline import Mixed


class Fake(ExecutorFactory):
    def setup(self): ...

    def customize_args(self, args):
        return {**args, "pool": Mixed()}

    def close(self): ...


def get_executor_factory(name, run_options, outputdir):
    return Fake(run_options, outputdir)
"""
MIX = (
    "numpy uses x86-64-v3 on old01; x86-64-v4 on new01: the last bits of the result depend on which worker had which "
    "chunk; with 'cpu-baseline: x86-64-v3' they do not"
)


@pytest.mark.usefixtures("cfg")
def test_a_mix_is_named_on_the_screen_and_in_the_record() -> None:
    Path("fake.py").write_text(FACTORY)
    ended = runner(*RUN, "-c", "100", "--executor-custom-setup", "fake.py")
    assert ended.status == 0, ended.err
    assert MIX in " ".join(ended.err.split())
    assert record("out")["cpus"] == {"new01": "x86-64-v4", "old01": "x86-64-v3"}
    assert record("out")["cpu_mix"] == MIX


def test_an_executor_for_ones_own_runner_names_a_mix_too(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "pocket_exec"):
        PocketExecutor(pool=Mixed())(ITEMS, features_in_use, None)
    assert caplog.messages == [MIX]


def test_many_hosts_are_told_by_a_few_names() -> None:
    levels = {f"n{number}": "x86-64-v4" for number in range(5)} | {"a": "aarch64 ASIMD"}
    assert cpu.mix(levels) == (
        "numpy uses aarch64 ASIMD on a; x86-64-v4 on n0, n1, n2 and 2 more: "
        "the last bits of the result depend on which worker had which chunk"
    )


def test_another_c_library_is_named_too() -> None:
    hosts = {"here": "x86-64-v3, glibc 2.36", "there": "x86-64-v3, glibc 2.43"}
    depends = "the last bits of the result depend on which worker had which chunk"
    libraries = (
        f"the C library is glibc 2.36 on here; glibc 2.43 on there: {depends}; in one image (worker-image) they do not"
    )
    assert cpu.mix(hosts) == libraries
    assert cpu.mix({**hosts, "there": "x86-64-v4, glibc 2.43"}) == (
        f"numpy uses x86-64-v3 on here; x86-64-v4 on there: {depends}; with 'cpu-baseline: x86-64-v3' they do not. "
        f"{libraries}"
    )
    assert cpu.mix({"here": "x86-64-v3, glibc 2.36", "there": "x86-64-v3"}) == ""
    assert cpu.used() == ", ".join(filter(None, [cpu.level(), os.confstr("CS_GNU_LIBC_VERSION")]))


@pytest.mark.usefixtures("cfg")
def test_a_run_that_goes_on_elsewhere_says_so(zmumu_files: dict[str, list[Path]]) -> None:
    Path("cfg.py").write_text(cfg_of({name: {"files": [str(files[0])]} for name, files in zmumu_files.items()}))
    assert runner(*RUN, "--filter-datasets", "SingleMuon").status == 0
    host = os.uname().nodename
    path = Path("out/run.json")
    # As if another machine had begun: its C library cannot be had here.
    path.write_text(path.read_text().replace(cpu.used(), f"{cpu.level()}, glibc 1.0"))
    for output in Path("out").glob("output_*"):
        output.unlink()
    ended = runner(*RUN)
    assert ended.status == 0
    assert f"the C library is glibc 1.0 on {host}" in " ".join(ended.err.split())


def test_numpy_still_says_what_it_uses_where_it_is_looked_for() -> None:
    """A private place of numpy's: without it nothing would be recorded."""
    assert cpu.level() != ""
    assert np.__version__ >= "1.26"


@needs_levels
@pytest.mark.parametrize("baseline", cpu.LEVELS)
def test_numpy_takes_the_setting_of_each_level_without_a_word(baseline: str) -> None:
    code = "from pocket_exec.engine import cpu; print(cpu.level())"
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, **cpu.held_at(baseline)},
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    assert done.stdout.strip() == min(baseline, cpu.level())
    assert done.stderr == ""
