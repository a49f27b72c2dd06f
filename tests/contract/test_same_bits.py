"""Every executor gives the same result, to the bit."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np
import pytest
from coffea.util import load

import pocket_exec
from pocket_exec.errors import PartialResult

HERE = Path(__file__).parent / "analyses"


@pytest.fixture(scope="module", autouse=True)
def _importable() -> Iterator[None]:
    sys.path.insert(0, str(HERE))
    yield
    sys.path.remove(str(HERE))
    sys.modules.pop("everything", None)


@pytest.fixture(scope="module")
def fileset(zmumu_files: dict[str, list[Path]]) -> dict[str, Any]:
    return {name: {"files": [str(file) for file in files]} for name, files in zmumu_files.items()}


def outcome(fileset: Any, executor: str, scaleout: int, chunksize: int = 150, **more: Any) -> Any:
    from everything import Everything, exact  # type: ignore[import-not-found]

    result = pocket_exec.run(fileset, Everything(), executor=executor, scaleout=scaleout, chunksize=chunksize, **more)
    return exact(result.output)


@pytest.fixture(scope="module")
def reference(fileset: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Any:
    directory = tmp_path_factory.mktemp("reference")
    exact_result = outcome(fileset, "iterative", 1, outputdir=directory)
    from everything import exact

    assert exact(load(directory / "output_all.coffea")) == exact_result
    return exact_result


@pytest.mark.parametrize("executor", ["iterative", "futures", "dask"])
@pytest.mark.parametrize("scaleout", [1, 2, 3])
def test_the_result_is_the_same_to_the_bit(
    fileset: dict[str, Any], reference: Any, executor: str, scaleout: int
) -> None:
    assert outcome(fileset, executor, scaleout) == reference


def test_another_cut_into_chunks_gives_other_last_bits_so_the_test_can_fail(
    fileset: dict[str, Any], reference: Any
) -> None:
    assert outcome(fileset, "iterative", 1, chunksize=100) != reference


@pytest.mark.parametrize(("begun", "ended"), [("iterative", "dask"), ("futures", "iterative"), ("dask", "futures")])
def test_a_run_that_was_interrupted_ends_with_another_executor_and_the_same_bits(
    fileset: dict[str, Any], reference: Any, begun: str, ended: str, tmp_path: Path
) -> None:
    with pytest.raises(KeyboardInterrupt):
        outcome(fileset, begun, 2, outputdir=tmp_path, viewer=Interrupting(5))
    assert (tmp_path / "output_all.partial.coffea").exists()
    resumed = Interrupting(10**6)
    assert outcome(fileset, ended, 2, outputdir=tmp_path, viewer=resumed) == reference
    assert resumed.chunks_before > 0


class Interrupting:
    """A viewer of somebody who loses patience after some chunks."""

    def __init__(self, after: int) -> None:
        self._left = after
        self.chunks_before = 0

    def stage(self, text: str, done: int | None = None, total: int | None = None) -> None: ...

    def planned(self, plans: Any) -> None: ...

    def resumed(self, dataset: str, chunks: int, events: int) -> None:
        self.chunks_before += chunks

    def chunk_done(self, dataset: str, events: int, seconds: float) -> None:
        self._left -= 1
        if self._left == 0:
            raise KeyboardInterrupt

    def chunk_failed(self, failure: Any) -> None: ...

    def dataset_done(self, outcome: Any, total: Any) -> None: ...


@pytest.mark.parametrize("executor", ["futures", "dask"])
def test_workers_that_die_cost_no_bit(fileset: dict[str, Any], reference: Any, executor: str, tmp_path: Path) -> None:
    from everything import Everything, exact

    class Deadly(Everything):  # type: ignore[misc]  # found by name only
        """Ends its process at the first attempt at the first chunk of two files."""

        def __init__(self, directory: Path) -> None:
            self.directory = directory

        def process(self, events: Any) -> Any:
            meta = events.metadata
            sign = self.directory / Path(meta["filename"]).name
            if meta["entrystart"] == 0 and not sign.exists() and len(list(self.directory.iterdir())) < 2:
                sign.touch()
                os._exit(9)
            return super().process(events)

    result = pocket_exec.run(
        fileset, Deadly(tmp_path), executor=executor, scaleout=2, chunksize=150, retries=3, worker_timeout=120
    )
    assert exact(result.output) == reference
    assert list(tmp_path.iterdir())


def refused(events: Any) -> Any:
    """Give a list where the other chunks give a dictionary."""
    start = events.metadata["entrystart"]
    content = {"a": start} if start else [start]
    return {"n": len(events), "content": content, "starts": [start]}


def test_what_does_not_add_is_the_same_with_every_executor(fileset: dict[str, Any]) -> None:
    from everything import exact

    def partial(executor: str, scaleout: int) -> Any:
        with pytest.raises(PartialResult) as caught:
            pocket_exec.run(fileset, refused, executor=executor, scaleout=scaleout, chunksize=60, max_failures=10**6)
        failed = [(failure.file, failure.entries, failure.message) for failure in caught.value.failures]
        return exact(caught.value.output), failed

    one = partial("iterative", 1)
    assert one[1]
    assert partial("futures", 3) == one
    assert partial("dask", 2) == one


def as_the_events_say(events: Any) -> Any:
    """Add up columns that depend on the events: those of three collections, and of what the muons refer to."""
    number = int(events.event[0])
    names = sorted(name for name in events.fields if events[name].fields and events[name].ndim == 2)
    sums: dict[str, float] = {}
    for name in (names[number * step % len(names)] for step in (1, 3, 7)):
        for column in events[name].fields:
            values = ak.to_numpy(ak.flatten(events[name][column], axis=None))
            sums[f"{name}.{column}"] = float(values.astype(np.float64).sum() * 10.0 ** (number % 17 - 8))
    if ak.any(ak.num(events.Muon) > 0):
        sums["jets"] = float(ak.sum(ak.fill_none(events.Muon.matched_jet.mass, 0.1)))
    return {"sums": sums, "events": len(events), "order": [number]}


@pytest.mark.parametrize("processor", ["everything", "as the events say"])
def test_real_nanoaod_gives_the_same_bits(processor: str, nanoaod_dir: Path) -> None:
    from everything import Everything, exact

    files = {path.stem: [str(path)] for path in sorted(nanoaod_dir.glob("nano_*.root"))}
    process = Everything() if processor == "everything" else as_the_events_say

    def found(executor: str, scaleout: int) -> Any:
        return exact(pocket_exec.run(files, process, executor=executor, scaleout=scaleout, chunksize=7).output)

    one = found("iterative", 1)
    assert found("futures", 2) == one
    assert found("dask", 2) == one
