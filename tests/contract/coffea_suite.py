"""A pytest plugin for coffea's own tests: this project's executors stand in place of coffea's.

``make coffea-suite COFFEA=/path/to/checkout`` runs them, twice: each executor by the one of its own kind, then all of
them by ``dask``. The checkout stays as it is. What fails is run once more by coffea's own executors: where it fails as
well, the checkout is of another version than the coffea that is installed.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from coffea import processor

import pocket_exec
from pocket_exec.engine.executor import PocketExecutor, Report

COFFEA = "coffea"
KINDS = {"IterativeExecutor": "iterative", "FuturesExecutor": "futures", "DaskExecutor": "dask"}
"""Names in ``coffea.processor``, and the executor that stands there."""
OPTIONS: dict[str, dict[str, Any]] = {"futures": {"scaleout": 2}, "dask": {"scaleout": 2, "worker_timeout": 120}}
TAKEN = ("status", "unit", "desc", "compression", "function_name")
"""Arguments that every coffea executor has; ours passes them on to its copies."""
WITHOUT_MEANING = {
    "workers": "one pool serves the whole session",
    "client": "the pool has its own",
    "pool": "it has its own processes",
    "mergepool": "sums are made where they are cheapest",
    "merging": "sums are made where they are cheapest",
    "recoverable": "it always returns what was finished",
    "retries": "the policy of faults knows which errors are worth it",
    "treereduction": "the order of the sum is fixed",
    "priority": "nobody else uses the pool",
    "worker_affinity": "a worker is given the file that it has open",
    "tailtimeout": "it has no effect in coffea either",
}
"""Arguments of coffea's executors that are taken and not used, and why."""
LEFT_OUT = {
    "test_preloading.py::test_preload_executor": (
        "it looks for preloaded columns in a private attribute of coffea's; ours are read with others, in one call"
    ),
}
"""Tests that cannot apply, by the end of their node id, and why."""


@dataclass
class InPlace:
    """Executors by kind, each opened once; ``ran`` counts what went through them."""

    all_by: str | None
    modules: Path
    stack: ExitStack = field(default_factory=ExitStack)
    opened: dict[str, PocketExecutor] = field(default_factory=dict)
    made: int = 0
    left_out: list[str] = field(default_factory=list)

    def of(self, name: str) -> Callable[..., PocketExecutor]:
        """Return what stands in place of coffea's class ``name``."""

        def executor(**arguments: Any) -> PocketExecutor:
            unknown = arguments.keys() - {*TAKEN, *WITHOUT_MEANING}
            if unknown:
                raise TypeError(f"{name} got arguments that this plugin does not know: {', '.join(sorted(unknown))}")
            self.made += 1
            given = {key: value for key, value in arguments.items() if key in TAKEN}
            return replace(self._open(self.all_by or KINDS[name]), report=Report(), **given)

        executor.__name__ = executor.__qualname__ = name
        return executor

    def _open(self, kind: str) -> PocketExecutor:
        if kind not in self.opened:
            # Test modules of the checkout are imported by name on the workers.
            opened = pocket_exec.open_executor(kind, module_dirs=(self.modules,), **OPTIONS.get(kind, {}))
            self.opened[kind] = self.stack.enter_context(opened)
        return self.opened[kind]


FAILED: list[str] = []
IN_PLACE = pytest.StashKey[InPlace]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Let one executor stand in place of all, or none; keep what failed."""
    kinds = [*sorted(KINDS.values()), COFFEA]
    parser.addoption("--all-by", choices=kinds, help="the executor in place of each of coffea's")
    parser.addoption("--failed-to", type=Path, help="the file that the names of failed tests are added to")


def pytest_configure(config: pytest.Config) -> None:
    """Put our executors where test modules, which are not imported yet, look for coffea's."""
    in_place = config.stash[IN_PLACE] = InPlace(config.getoption("--all-by"), config.rootpath / "tests")
    for name in KINDS:
        if in_place.all_by != COFFEA:
            setattr(processor, name, in_place.of(name))


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Take note of what failed."""
    if report.failed and report.nodeid not in FAILED:
        FAILED.append(report.nodeid)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what cannot apply."""
    left_out = [item for item in items if any(item.nodeid.endswith(name) for name in LEFT_OUT)]
    config.stash[IN_PLACE].left_out += [item.nodeid for item in left_out]
    config.hook.pytest_deselected(items=left_out)
    items[:] = [item for item in items if item not in left_out]


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Close the executors; a session that used none of them has tested nothing."""
    in_place = session.config.stash[IN_PLACE]
    in_place.stack.close()
    if (path := session.config.getoption("--failed-to")) is not None:
        with path.open("a") as stream:
            stream.writelines(f"{name}\n" for name in FAILED)
    if not in_place.made and in_place.all_by != COFFEA and session.exitstatus == pytest.ExitCode.OK:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Say what stood in place of what, and what was left out."""
    in_place = config.stash[IN_PLACE]
    if in_place.all_by == COFFEA:
        return
    terminalreporter.section("pocket-exec in place of coffea's executors")
    by = f"all by {in_place.all_by}" if in_place.all_by else "each by its own kind"
    terminalreporter.line(f"{in_place.made} executors asked for, {by} ({', '.join(in_place.opened) or 'none'} used)")
    terminalreporter.line(f"{len(in_place.left_out)} tests left out")
    for name in in_place.left_out:
        terminalreporter.line(f"  {name}: {next(why for end, why in LEFT_OUT.items() if name.endswith(end))}")
