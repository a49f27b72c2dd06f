"""The factory contract, for every registered executor."""

from __future__ import annotations

import socket
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest
from coffea.processor import IterativeExecutor
from coffea.processor.executor import WorkItem

from pocket_exec import open_executor
from pocket_exec.engine.executor import PocketExecutor
from pocket_exec.executors import dask
from pocket_exec.executors.registry import Registry
from tests.contract.conftest import EXECUTORS, SITES, Named


def acquired() -> set[str]:
    """What this process holds: child processes and temporary files."""
    children = {f"process {child.pid}" for child in psutil.Process().children(recursive=True)}
    return children | {f"file {name}" for name in Path(tempfile.gettempdir()).glob("pocket-exec*")}


@contextmanager
def nothing_left() -> Iterator[None]:
    before = acquired()
    yield
    psutil.wait_procs([p for p in psutil.Process().children(recursive=True) if f"process {p.pid}" not in before], 15)
    left = {held for held in acquired() - before if not _resource_tracker(held)}
    assert left == set()


def _resource_tracker(held: str) -> bool:
    kind, _, name = held.partition(" ")
    try:
        return kind == "process" and "resource_tracker" in " ".join(psutil.Process(int(name)).cmdline())
    except psutil.NoSuchProcess:
        return True


def double(item: WorkItem) -> dict[str, Any]:
    return {"out": {"n": len(item), "seen": [item.entrystart]}, "processed": {item}}


ITEMS = [WorkItem("DY", f"{f}.root", "Events", 10 * c, 10 * c + 10, b"") for f in range(3) for c in range(5)]


def fail(*_: Any) -> Any:
    raise RuntimeError("this step fails")


def test_the_suite_covers_every_registered_executor() -> None:
    assert sorted([*EXECUTORS, *SITES]) == Registry.installed().names()


def test_nothing_is_acquired_before_setup(named: Named) -> None:
    before = acquired()
    factory = named.factory()
    assert factory.run_options["scaleout"] == 2
    assert acquired() - before == set()


def test_an_executor_runs_and_everything_is_released(named: Named, tmp_path: Path) -> None:
    with nothing_left():
        with named.factory(tmp_path) as executor:
            assert isinstance(executor, PocketExecutor)
            total, error = executor(ITEMS, double, None)
        assert error == 0
        assert total["out"]["n"] == 150
        assert total["out"]["seen"] == [item.entrystart for item in ITEMS]
        assert total["processed"] == set(ITEMS)


def test_all_is_released_after_a_setup_that_failed_at_its_end(named: Named) -> None:
    def setup(self: Any) -> None:
        super(type(self), self).setup()
        fail()

    with nothing_left(), pytest.raises(RuntimeError, match="this step fails"), named.factory(setup=setup):
        pass


@pytest.mark.parametrize("step", ["get", "customize_args"])
def test_all_is_released_after_a_failure_in(step: str, named: Named) -> None:
    with nothing_left(), pytest.raises(RuntimeError, match="this step fails"), named.factory(None, **{step: fail}):
        pass


def test_all_is_released_after_an_exception_in_the_body(named: Named) -> None:
    def body() -> None:
        with named.factory() as executor:
            executor(ITEMS, double, None)
            raise ZeroDivisionError

    with nothing_left(), pytest.raises(ZeroDivisionError):
        body()


@pytest.mark.parametrize("stop", [KeyboardInterrupt, SystemExit])
def test_all_is_released_when_the_body_is_stopped(named: Named, stop: type[BaseException]) -> None:
    with nothing_left(), pytest.raises(stop), named.factory():
        raise stop


def test_close_is_called_once(named: Named) -> None:
    calls = []

    def close(self: Any) -> None:
        calls.append(1)
        super(type(self), self).close()

    with nothing_left(), named.factory(close=close):
        pass
    assert calls == [1]


def test_a_constructor_that_sets_up_is_not_set_up_again(named: Named) -> None:
    calls = []

    def setup(self: Any) -> None:
        calls.append(1)
        super(type(self), self).setup()

    def begin(self: Any, run_options: Any, outputdir: Any = None) -> None:
        super(type(self), self).__init__(run_options, outputdir)
        self.setup()

    with nothing_left(), named.factory(setup=setup, __init__=begin) as executor:
        assert executor(ITEMS, double, None)[1] == 0
    assert calls == [1]


def test_get_may_return_an_instance(named: Named) -> None:
    with nothing_left(), named.factory(get=lambda self: IterativeExecutor()) as executor:
        assert isinstance(executor, IterativeExecutor)


def test_the_old_spelling_of_the_hook_is_called(named: Named) -> None:
    steps = {"get": lambda self: IterativeExecutor, "customized_args": lambda self: {"desc": "theirs"}}
    with nothing_left(), named.factory(None, **steps) as executor:
        assert executor.desc == "theirs"
        assert executor.retries == named.choice.defaults[0].values["retries"]


def test_writing_into_the_run_options_changes_only_the_factorys_copy(named: Named) -> None:
    factory = named.factory()
    factory.run_options["scaleout"] = 99
    factory.run_options["my-own"] = "x"
    assert factory.run_options["scaleout"] == 99
    assert factory.options.scaleout == 2
    assert named.factory().run_options["scaleout"] == 2


def test_a_port_that_another_run_takes_first_is_no_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        # What is free when one looks may be taken a moment later, here always.
        monkeypatch.setattr(dask, "_free_port", lambda wanted: taken.getsockname()[1])
        with nothing_left(), open_executor("dask", scaleout=1, worker_timeout=60) as executor:
            assert executor(ITEMS[:1], double, None)[1] == 0
