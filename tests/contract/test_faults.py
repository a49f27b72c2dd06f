"""What goes wrong in a chunk is told for what it is, whatever it is, and costs that chunk alone."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np
import pytest
import uproot
from coffea.nanoevents import BaseSchema, NanoAODSchema
from coffea.processor.executor import Runner, WorkItem

import pocket_exec
from pocket_exec.engine.chunk import Answer, Trouble, attempt
from pocket_exec.engine.outcome import Failure, FaultKind
from pocket_exec.engine.pool import SerialPool
from pocket_exec.errors import PartialResult, ProcessingError

ENTRIES = 400
POOLS = ["iterative", "futures", "dask"]


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tree with one number for each event, and a jagged one."""
    path = tmp_path_factory.mktemp("data") / "a.root"
    with uproot.recreate(path) as out:
        out.mktree("Events", {"x": "float64", "Muon_pt": "var * float32"})
        lengths = np.arange(ENTRIES) % 3
        muons = ak.unflatten(np.arange(lengths.sum(), dtype=np.float32), lengths)
        out["Events"].extend({"x": np.arange(ENTRIES, dtype=float), "Muon_pt": muons})
    return path


@pytest.fixture(scope="module")
def executors() -> Iterator[Callable[[str], Any]]:
    """Open each executor once; its pool serves all tests of this module, after whatever befell it."""
    with (
        pocket_exec.open_executor() as iterative,
        pocket_exec.open_executor("futures", scaleout=2, retries=0) as futures,
        pocket_exec.open_executor("dask", scaleout=2, retries=0, worker_timeout=60, allowed_failures=1) as dask,
    ):
        yield {"iterative": iterative, "futures": futures, "dask": dask}.__getitem__


NOTHING: dict[str, Any] = {}


def trouble(process: Any, file: Path, schema: Any = BaseSchema, start: int = 0) -> Trouble:
    """Return what is told of ``process`` on one chunk of ``file``, as coffea's Runner hands it to the engine."""
    told: list[Answer] = []

    class One(SerialPool):
        def wait(self, timeout_s: float | None) -> list[tuple[int, Answer]]:
            task, item = self._queue.popleft()
            assert self._function is not None
            answer = attempt(self._function, item)
            told.extend(answer.value.failed.values())
            return [(task, answer)]

    with pocket_exec.open_executor(retries=0) as executor:
        executor.pool = One()
        item = WorkItem("DY", str(file), "Events", start, ENTRIES, b"")
        with pytest.raises(ProcessingError):
            Runner(executor=executor, schema=schema).run([item], process)
    assert told[0].trouble is not None
    return told[0].trouble


def with_own_bug(events: Any) -> Any:
    raise ValueError("no muons here")


def test_an_exception_of_the_user_is_told_with_the_line(file: Path) -> None:
    told = trouble(with_own_bug, file)
    assert (told.kind, told.passing, told.error, told.message) == (FaultKind.USER, False, "ValueError", "no muons here")
    assert told.traceback.splitlines()[0] == "Traceback (most recent call last):"
    assert 'raise ValueError("no muons here")' in told.traceback
    assert "coffea/processor/executor.py" not in told.traceback
    assert "pocket_exec/engine" not in told.traceback


def test_an_exception_within_awkwards_kernels_is_the_users(file: Path) -> None:
    told = trouble(lambda events: {"n": ak.to_numpy(ak.Array([[1], [2, 3]]))}, file)
    assert (told.kind, told.error) == (FaultKind.USER, "ValueError")


def test_events_that_do_not_broadcast_are_the_users_fault(file: Path) -> None:
    told = trouble(lambda events: {"n": events.Muon.pt + events.x[:10]}, file, NanoAODSchema)
    assert told.kind is FaultKind.USER


def test_a_missing_key_of_a_dictionary_of_the_users_is_the_users_fault(file: Path) -> None:
    told = trouble(lambda events: {"n": {"2017": 1}["2018"]}, file)
    assert (told.kind, told.error, told.message) == (FaultKind.USER, "KeyError", "'2018'")


def test_a_branch_that_is_not_there_is_the_users_fault(file: Path) -> None:
    told = trouble(lambda events: {"n": events.nonsense}, file)
    assert (told.kind, told.error) == (FaultKind.USER, "AttributeError")
    assert "nonsense" in told.message


def opens_own_text(events: Any) -> Any:
    return Path("/nowhere/corrections.json").read_text()


def opens_own_root(events: Any) -> Any:
    return uproot.open("/nowhere/pileup.root")["pileup"]


def opens_own_correction(events: Any) -> Any:
    from coffea.lookup_tools import extractor

    weights = extractor()
    weights.add_weight_sets(["* * /nowhere/scale_factors.root"])
    return {"n": 1}


@pytest.mark.parametrize("process", [opens_own_text, opens_own_root, opens_own_correction])
def test_a_file_of_the_users_own_that_is_missing_is_the_users_fault(process: Any, file: Path) -> None:
    told = trouble(process, file)
    assert (told.kind, told.passing, told.error) == (FaultKind.USER, False, "FileNotFoundError")
    assert process.__name__ in told.traceback


def handles_one_and_raises_another(events: Any) -> Any:
    try:
        return NOTHING["a key that may be missing"]
    except KeyError:
        raise ValueError("the real fault")  # noqa: B904 - as people write it


def test_what_the_user_had_handled_is_not_what_is_told(file: Path) -> None:
    told = trouble(handles_one_and_raises_another, file)
    assert (told.error, told.message) == ("ValueError", "the real fault")
    assert "a key that may be missing" in told.traceback


def says_it_in_own_words(events: Any) -> Any:
    try:
        return Path("/nowhere/sf.json").read_text()
    except OSError as error:
        raise RuntimeError("no scale factors for 2018") from error


def test_the_users_own_words_for_an_error_are_told(file: Path) -> None:
    told = trouble(says_it_in_own_words, file)
    assert (told.kind, told.error, told.message) == (FaultKind.USER, "RuntimeError", "no scale factors for 2018")
    assert "FileNotFoundError" in told.traceback


@pytest.fixture(scope="module")
def damaged(file: Path) -> Path:
    """The file and its tree are whole, the basket of a column is not."""
    path = file.with_name("damaged.root")
    content = bytearray(file.read_bytes())
    with uproot.open(file) as whole:
        start = int(whole["Events"]["x"].member("fBasketSeek")[0])
    content[start + 60 : start + 300] = b"\0" * 240
    path.write_bytes(content)
    return path


def sum_of_x(events: Any) -> Any:
    return {"x": float(ak.sum(events.x))}


def sum_through_numpy(events: Any) -> Any:
    return {"x": float(np.asarray(events.x).sum())}


def sum_in_a_handler(events: Any) -> Any:
    try:
        return NOTHING["cached"]
    except KeyError:
        return sum_of_x(events)


@pytest.mark.parametrize("process", [sum_of_x, sum_through_numpy, sum_in_a_handler])
def test_a_column_whose_basket_is_damaged_is_the_storages_fault(process: Any, damaged: Path) -> None:
    told = trouble(process, damaged)
    assert told.kind in (FaultKind.BAD_FILE, FaultKind.STORAGE)
    assert told.error != "KeyError"


def test_a_file_that_is_gone_since_is_the_storages_fault(file: Path) -> None:
    told = trouble(sum_of_x, file.with_name("gone.root"))
    assert (told.kind, told.passing, told.error) == (FaultKind.BAD_FILE, False, "FileNotFoundError")


class Refusing(BaseSchema):  # type: ignore[misc]  # coffea is not typed
    """A schema that does not like the file."""

    def __init__(self, base_form: Any, *args: Any, **kwargs: Any) -> None:
        raise RuntimeError("this schema needs a branch 'run'")


def test_a_schema_that_raises_is_the_users_fault(file: Path) -> None:
    told = trouble(sum_of_x, file, Refusing)
    assert (told.kind, told.error) == (FaultKind.USER, "RuntimeError")
    assert "needs a branch 'run'" in told.message


def test_a_process_that_returns_nothing_is_told_as_a_result(file: Path) -> None:
    told = trouble(lambda events: None, file)
    assert told.kind is FaultKind.RESULT
    assert "should not be None" in told.message


class Speechless(Exception):
    """An exception that cannot be written."""

    def __str__(self) -> str:
        raise ZeroDivisionError


class Stubborn(Exception):
    """An exception that cannot be pickled."""

    def __init__(self, one: int, two: int) -> None:
        super().__init__("stubborn")
        self.lock = threading.Lock()


def raises_speechless(events: Any) -> Any:
    raise Speechless


def raises_stubborn(events: Any) -> Any:
    raise Stubborn(1, 2)


def raises_in_a_circle(events: Any) -> Any:
    one, two = ValueError("one"), ValueError("two")
    one.__cause__, two.__cause__ = two, one
    raise one


def recurses(events: Any) -> Any:
    return recurses(events)


def leaves(events: Any) -> Any:
    sys.exit(3)


RAISED = {
    raises_speechless: ("Speechless", "Speechless"),
    raises_stubborn: ("Stubborn", "stubborn"),
    raises_in_a_circle: ("ValueError", "one"),
    recurses: ("RecursionError", "maximum recursion depth"),
    leaves: ("SystemExit", "3"),
}


def only_here(process: Callable[[Any], Any], start: int) -> Callable[[Any], Any]:
    """Return a function that counts events, but for one chunk."""

    def function(events: Any) -> Any:
        return process(events) if events.metadata["entrystart"] == start else {"n": len(events)}

    return function


def partial_run(executor: Any, process: Any, file: Path) -> tuple[Any, list[Failure]]:
    """Run four chunks, of which some fail, and return the sum and what is told of the others."""
    runner = Runner(executor=executor, schema=BaseSchema, chunksize=100, metadata_cache={})
    with pytest.raises(PartialResult) as caught:
        runner({"DY": [str(file)]}, process, treename="Events")
    return caught.value.partial_output, list(caught.value.failures)  # type: ignore[attr-defined]  # Runner sets it


@pytest.mark.parametrize("name", POOLS)
@pytest.mark.parametrize("process", RAISED)
def test_an_exception_of_any_kind_costs_its_chunk_alone(
    name: str, process: Any, file: Path, executors: Callable[[str], Any]
) -> None:
    total, (failure,) = partial_run(executors(name), only_here(process, 100), file)
    assert total == {"n": 300}
    error, message = RAISED[process]
    assert (failure.entries, failure.kind, failure.error, failure.attempts) == ("100-200", FaultKind.USER, error, 2)
    assert message in failure.message
    assert process.__name__ in failure.traceback
    assert failure.host


def returns_a_lock(events: Any) -> Any:
    return {"n": len(events), "tools": {"lock": threading.Lock()}}


@pytest.mark.parametrize("name", ["futures", "dask"])
def test_a_result_that_cannot_be_pickled_is_named_by_its_part(
    name: str, file: Path, executors: Callable[[str], Any]
) -> None:
    total, (failure,) = partial_run(executors(name), only_here(returns_a_lock, 200), file)
    assert total == {"n": 300}
    assert (failure.entries, failure.kind, failure.attempts) == ("200-300", FaultKind.RESULT, 1)
    assert "['tools']['lock'] cannot be pickled" in failure.message


class FailsAsStorage:
    """A result whose own pickling reads a file that is not there."""

    def __reduce__(self) -> Any:
        raise FileNotFoundError(2, "No such file or directory", "/nowhere/lookup.json")


@pytest.mark.parametrize("name", ["futures", "dask"])
def test_a_result_whose_pickling_raises_an_oserror_is_not_taken_for_a_bad_file(
    name: str, file: Path, executors: Callable[[str], Any]
) -> None:
    total, (failure,) = partial_run(
        executors(name), only_here(lambda events: {"n": len(events), "x": FailsAsStorage()}, 200), file
    )
    assert total == {"n": 300}
    assert (failure.entries, failure.kind, failure.attempts) == ("200-300", FaultKind.RESULT, 1)
    assert "['x'] cannot be pickled" in failure.message
    assert "/nowhere/lookup.json" in failure.message


class Unloadable:
    """A result that can be pickled and not be read back."""

    def __reduce__(self) -> Any:
        return (int, ("not a number",))


@pytest.mark.parametrize("name", ["futures", "dask"])
def test_a_result_that_cannot_be_read_back_costs_its_chunk_alone(
    name: str, file: Path, executors: Callable[[str], Any]
) -> None:
    total, (failure,) = partial_run(executors(name), only_here(lambda events: {"n": Unloadable()}, 300), file)
    assert total == {"n": 300}
    assert failure.kind is FaultKind.RESULT
    assert "cannot be read back" in failure.message


def dies(events: Any) -> Any:
    os._exit(7)


def is_killed(events: Any) -> Any:
    os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.parametrize("name", ["futures", "dask"])
@pytest.mark.parametrize("process", [dies, is_killed])
def test_a_chunk_that_takes_its_process_down_is_named_and_the_rest_is_there(
    name: str, process: Any, file: Path, executors: Callable[[str], Any]
) -> None:
    total, (failure,) = partial_run(executors(name), only_here(process, 100), file)
    assert total == {"n": 300}
    assert (failure.entries, failure.kind) == ("100-200", FaultKind.LOST_WORKER)


def warns(events: Any) -> Any:
    warnings.warn("the muons look strange", RuntimeWarning, stacklevel=1)
    return {"n": len(events)}


@pytest.mark.parametrize("name", POOLS)
def test_a_warning_on_a_worker_reaches_the_user_once(name: str, file: Path, executors: Callable[[str], Any]) -> None:
    runner = Runner(executor=executors(name), schema=BaseSchema, chunksize=50, metadata_cache={})
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("default")
        assert runner({"DY": [str(file)]}, warns, treename="Events") == {"n": ENTRIES}
    assert [(str(each.message), each.category) for each in caught if "strange" in str(each.message)] == [
        ("the muons look strange", RuntimeWarning)
    ]
    assert [Path(each.filename).name for each in caught if "strange" in str(each.message)] == ["test_faults.py"]


@pytest.mark.parametrize("name", ["futures", "dask"])
def test_a_warning_that_is_an_error_here_does_not_cost_the_run(
    name: str, file: Path, executors: Callable[[str], Any]
) -> None:
    runner = Runner(executor=executors(name), schema=BaseSchema, chunksize=100, metadata_cache={})
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert runner({"DY": [str(file)]}, warns, treename="Events") == {"n": ENTRIES}


def keeps_much(events: Any) -> Any:
    if not kept:
        kept.append(np.ones(45_000_000))
    time.sleep(0.6)  # loky looks once a second
    return {"n": len(events), "processes": {os.getpid()}}


kept: list[Any] = []


def test_corrections_that_a_process_keeps_are_no_leak_to_start_it_afresh_for(file: Path) -> None:
    with pocket_exec.open_executor("futures", scaleout=1, retries=0) as executor:
        runner = Runner(executor=executor, schema=BaseSchema, chunksize=80, metadata_cache={})
        output = runner({"DY": [str(file)]}, keeps_much, treename="Events")
    assert output["n"] == ENTRIES
    assert len(output["processes"]) == 1


def test_a_program_that_is_ended_by_its_own_handler_is_not_taken_for_a_bad_chunk(file: Path) -> None:
    def ended(events: Any) -> Any:
        os.kill(os.getpid(), signal.SIGUSR1)
        return {"n": len(events)}

    def handler(number: int, frame: Any) -> None:
        sys.exit(9)

    before = signal.signal(signal.SIGUSR1, handler)
    try:
        with pytest.raises(SystemExit) as caught, pocket_exec.open_executor() as executor:
            Runner(executor=executor, schema=BaseSchema)({"DY": [str(file)]}, ended, treename="Events")
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert caught.value.code == 9
