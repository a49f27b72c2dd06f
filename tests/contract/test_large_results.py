"""Results that are large: their bits, what is kept of them, and where they wait."""

from __future__ import annotations

import os
import signal
import weakref
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import hist
import numpy as np
import pytest
from coffea.processor.executor import WorkItem
from coffea.util import load
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import pocket_exec
from pocket_exec.engine import shelf, sums
from pocket_exec.engine.batch import Batch
from pocket_exec.engine.chunk import Answer
from pocket_exec.engine.executor import PocketExecutor
from pocket_exec.engine.outcome import DatasetOutcome
from pocket_exec.engine.policy import Policy
from pocket_exec.engine.pool import SerialPool
from pocket_exec.engine.remote import Packed, attempt_packed, unpacked
from pocket_exec.errors import PartialResult
from pocket_exec.runs import ledger as ledger_module
from pocket_exec.runs import segment
from pocket_exec.runs.directory import OutputDirectory
from pocket_exec.runs.ledger import FileLedger
from pocket_exec.runs.names import ALL
from pocket_exec.runs.outputs import ResultWriter, Unit
from tests.contract import dask_processes
from tests.contract.test_pools import FAR, Ear


def items(files: list[int]) -> list[WorkItem]:
    return [
        WorkItem("DY", f"DY{f}.root", "Events", 10 * c, 10 * c + 10, bytes([f + 1]) * 16)
        for f, chunks in enumerate(files)
        for c in range(chunks)
    ]


def large(item: WorkItem, bins: int = 20_000) -> dict[str, Any]:
    """Return numbers that do not compress, and whose sum shows the order."""
    random = np.random.default_rng([item.entrystart, *item.filename.encode()])
    weighted = hist.Hist.new.Reg(bins, 0, 1, name="x").StrCat([], growth=True, name="c").Weight()
    scale = 10.0 ** random.integers(-8, 8)
    weighted.fill(x=random.random(50), c=str(random.integers(3)), weight=scale * random.normal(size=50))
    plain = hist.Hist.new.Reg(bins, 0, 1, name="x").Double()
    plain.view()[:] = scale * random.normal(size=bins)
    out = {"weighted": weighted, "plain": plain, "array": scale * random.normal(size=bins), "seen": [item.entrystart]}
    return {"out": out, "processed": {item}}


def exact(total: Any) -> Any:
    out = total["out"]
    histograms = [(h.view(flow=True).tobytes(), [list(a) for a in h.axes]) for h in (out["weighted"], out["plain"])]
    return histograms, out["array"].tobytes(), out["seen"], total["processed"]


def expected(work: list[WorkItem]) -> Any:
    return exact(PocketExecutor()(work, large, None)[0])


@pytest.fixture
def _no_room(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have all that waits be large."""
    monkeypatch.setattr(shelf.Shelf.__init__, "__defaults__", (0,))


@pytest.mark.usefixtures("_no_room")
@pytest.mark.parametrize("name", FAR)
def test_large_results_have_the_same_bits_wherever_they_wait(name: str) -> None:
    work = items([9, 1, 7])
    with pocket_exec.open_executor(name, **FAR[name]) as executor:
        total, error = executor(work, large, None)
    assert error == 0
    assert exact(total) == expected(work)
    # What came in a message is as good as what was made here.
    total["out"]["array"] += 1
    total["out"]["plain"].view()[:] = 0


def test_a_scheduler_of_somebody_elses_passes_large_results_on(tmp_path: Path) -> None:
    work = items([9, 1, 7])
    with (
        dask_processes.scheduler(tmp_path) as (address, _),
        dask_processes.worker(address, tmp_path / "worker"),
        pocket_exec.open_executor(f"dask@{address}", worker_timeout=60) as executor,
    ):
        total, error = executor(work, large, None)
    assert error == 0
    assert exact(total) == expected(work)


@pytest.mark.usefixtures("_no_room")
def test_an_interrupt_saves_the_large_results_that_were_there() -> None:
    def interrupt(done: int) -> None:
        if done >= 6:
            raise KeyboardInterrupt

    work = items([16])
    with pocket_exec.open_executor("futures", **FAR["futures"]) as executor:
        total, error = replace(executor, listener=Ear(interrupt))(work, large, None)
    assert isinstance(error, KeyboardInterrupt)
    there = [item for item in work if item in total["processed"]]
    # The listener hears of a batch before it is added.
    assert len(there) >= 2
    assert total["out"]["seen"] == [item.entrystart for item in there]


def large_once_deadly(item: WorkItem, sign: str) -> dict[str, Any]:
    with Path(sign).with_suffix(".calls").open("a") as calls:
        print(item.entrystart, file=calls)
    if item.entrystart == 110 and not Path(sign).exists():
        Path(sign).touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return large(item)


@pytest.mark.usefixtures("_no_room")
def test_a_worker_that_dies_takes_no_result_along_that_the_client_had(tmp_path: Path) -> None:
    work, sign = items([16]), tmp_path / "sign"
    done: list[int] = []

    class Arrived(Ear):
        def chunk_done(self, dataset: str, events: int, seconds: float) -> None:
            if not sign.exists():
                done.append(1)

    with pocket_exec.open_executor("dask", **FAR["dask"]) as executor:
        function = partial(large_once_deadly, sign=str(sign))
        total, error = replace(executor, listener=Arrived(lambda done: None))(work, function, None)
    assert error == 0
    assert exact(total) == expected(work)
    calls = sign.with_suffix(".calls").read_text().split()
    assert len(calls) <= 2 * len(work) - len(done)


class Far(SerialPool):
    """One worker, whose answers travel as those of a process do."""

    batch_s = 1e-6

    def load(self, function: Any) -> None:
        self._packed = Packed(function)

    def wait(self, timeout_s: float | None) -> list[tuple[int, Answer]]:
        import cloudpickle

        task, item = self._queue.popleft()
        assert isinstance(item, Batch)
        answer = attempt_packed(self._packed.data, self._packed.digest, cloudpickle.dumps(item))
        return [(task, unpacked(cloudpickle.loads(cloudpickle.dumps(answer))))]


class Counted:
    """A result that is counted while it is in memory."""

    alive: ClassVar[weakref.WeakSet[Counted]] = weakref.WeakSet()

    def __init__(self, entries: int) -> None:
        self.entries = entries
        self.alive.add(self)

    def __add__(self, other: Counted) -> Counted:
        return Counted(self.entries + other.entries)

    def __deepcopy__(self, memo: Any) -> Counted:
        return Counted(self.entries)

    def __reduce__(self) -> Any:
        return Counted, (self.entries,)


def counted(item: WorkItem) -> dict[str, Any]:
    return {"out": {"n": Counted(len(item))}, "processed": {item}}


DATASETS = [f"D{number}" for number in range(32)]
SEPARATE = [Unit(name, (name,)) for name in DATASETS]
GROUPED = [Unit("first", tuple(DATASETS[:16])), Unit("second", tuple(DATASETS[16:]))]


@pytest.mark.usefixtures("_no_room")
@pytest.mark.parametrize("written_after_s", [None, 0.0, 1e9], ids=["no ledger", "at once", "at the end"])
@pytest.mark.parametrize("result_files", [SEPARATE, GROUPED], ids=["separate", "grouped"])
def test_the_sums_of_datasets_that_are_done_do_not_stay_in_memory(
    written_after_s: float | None,
    result_files: list[Unit],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    monkeypatch.setattr(sums, "LISTED_BYTES", 0)
    ledger = None
    if written_after_s is not None:
        monkeypatch.setattr(ledger_module, "FIRST_FLUSH_S", written_after_s)
        ledger = FileLedger(tmp_path / "ledger", dict.fromkeys(DATASETS, "1"))
    there: list[int] = []

    class Watching(ResultWriter):
        def dataset_done(self, outcome: DatasetOutcome, total: Any) -> None:
            super().dataset_done(outcome, total)
            del total
            there.append(len(Counted.alive))

    writer = Watching(OutputDirectory(tmp_path), [*result_files, Unit(ALL, tuple(DATASETS))], counted)
    work = [replace(item, dataset=name) for name in DATASETS for item in items([1, 1])]
    executor = PocketExecutor(pool=Far(), ledger=ledger, listener=writer)
    total, error = executor(work, counted, None)
    assert error == 0
    # Those of a group wait for their neighbours, one sum of each size.
    assert max(there) <= 4 + 4
    output = writer.finish(executor.report.datasets, {}, total["out"])
    assert output["n"].entries == 10 * len(work)
    assert sum(load(tmp_path / f"output_{unit.name}.coffea")["n"].entries for unit in result_files) == 10 * len(work)


calls: list[int] = []


def failing(item: WorkItem, bad: frozenset[int]) -> dict[str, Any]:
    calls.append(item.entrystart)
    if item.entrystart in bad:
        raise ValueError("no muons")
    return large(item, 3000)


@given(
    files=st.lists(st.integers(1, 9), min_size=1, max_size=4),
    bad=st.frozensets(st.sampled_from(range(0, 90, 10)), max_size=2),
    listed=st.sampled_from([0, 10**9]),
    room=st.sampled_from([0, 10**9]),
)
@settings(deadline=None, max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_what_lies_between_chunks_that_failed_is_in_the_ledger(
    files: list[int],
    bad: frozenset[int],
    listed: int,
    room: int,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    monkeypatch.setattr(sums, "LISTED_BYTES", listed)
    monkeypatch.setattr(ledger_module, "ROOM", room)
    monkeypatch.setattr(segment, "SAMPLE_BYTES", 1000)
    directory, work = tmp_path_factory.mktemp("ledger"), items(files)
    wrong = [item for item in work if item.entrystart in bad]
    if len(wrong) == len(work):
        return

    def run(function: Any) -> Any:
        executor = PocketExecutor(pool=Far(), ledger=FileLedger(directory, {"DY": "1"}), policy=Policy(max_failures=99))
        total, error = executor(work, function, None)
        assert isinstance(error, PartialResult) if function is not whole and wrong else error == 0
        return total

    whole = partial(failing, bad=frozenset())
    run(partial(failing, bad=bad))
    calls.clear()
    assert exact(run(whole)) == exact(PocketExecutor()(work, partial(failing, bad=frozenset()), None)[0])
    again = calls[: len(calls) - len(work)]
    assert sorted(again) == sorted(item.entrystart for item in wrong)
