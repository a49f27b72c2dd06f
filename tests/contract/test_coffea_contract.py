"""What coffea's Runner asks of an executor: each executor answers as coffea's own does, for every format."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, fields
from functools import partial
from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np
import pytest
import uproot
from coffea.nanoevents import BaseSchema, NanoAODSchema
from coffea.processor import Err, IterativeExecutor, Ok, ProcessorABC, Runner, SimpleCheckpointer, set_accumulator
from coffea.processor.executor import FileMeta, UprootMissTreeError, WorkItem

import pocket_exec
from pocket_exec.engine.executor import PocketExecutor
from pocket_exec.errors import PartialResult, ProcessingError
from tests.contract.reading.given import write

OPTIONS: dict[str, dict[str, Any]] = {
    "iterative": {},
    "futures": {"scaleout": 2},
    "dask@local": {"scaleout": 2, "worker_timeout": 120},
}


@pytest.fixture(scope="module", params=OPTIONS)
def executor(request: pytest.FixtureRequest) -> Iterator[PocketExecutor]:
    """Each executor, opened once: it serves one Runner after the other."""
    with pocket_exec.open_executor(request.param, retries=0, **OPTIONS[request.param]) as opened:
        assert isinstance(opened, PocketExecutor)
        yield opened


@dataclass(frozen=True)
class Format:
    """A format of files as Runner's arguments, and the fileset."""

    arguments: dict[str, Any]
    fileset: dict[str, list[str]]


@pytest.fixture(scope="module", params=["NanoAOD", "Base", "parquet"])
def given(request: pytest.FixtureRequest, roots: dict[str, list[Path]]) -> Format:
    """The same events in each format."""
    schema = BaseSchema if request.param == "Base" else NanoAODSchema
    if request.param != "parquet":
        return Format({"schema": schema}, {name: [str(path) for path in paths] for name, paths in roots.items()})
    parquets: dict[str, list[str]] = {name: [] for name in roots}
    for name, paths in roots.items():
        for path in paths:
            with uproot.open(path) as file:
                columns = file["Events"].arrays()
            parquets[name].append(str(path.with_suffix(".parquet")))
            ak.to_parquet(columns, parquets[name][-1])
    return Format({"schema": schema, "format": "parquet"}, parquets)


@pytest.fixture(scope="module")
def roots(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[Path]]:
    """Two datasets of together three files."""
    directory = tmp_path_factory.mktemp("data")
    return {
        "DY": [write(directory / "a.root", 250, seed=1), write(directory / "b.root", 130, seed=2)],
        "TT": [write(directory / "c.root", 90, seed=3)],
    }


@pytest.fixture
def fileset(roots: dict[str, list[Path]]) -> dict[str, list[str]]:
    return {name: [str(path) for path in paths] for name, paths in roots.items()}


class Look(ProcessorABC):  # type: ignore[misc]  # coffea is not typed
    """Looks at some columns; its sums are of whole numbers, so that any order gives the same."""

    def process(self, events: Any) -> dict[str, Any]:
        meta = events.metadata
        muons = events.Muon.pt if hasattr(events, "Muon") else events.Muon_pt
        return {
            meta["dataset"]: {
                "events": len(events),
                "muons": int(ak.sum(ak.num(muons))),
                "numbers": int(ak.sum(events.event)),
                "starts": [meta["entrystart"]],
            },
            "files": {Path(meta["filename"]).name},
        }

    def postprocess(self, accumulator: Any) -> Any:
        return {**accumulator, "post": sorted(accumulator)}


def runner(executor: Any, **arguments: Any) -> Runner:
    return Runner(**{"executor": executor, "chunksize": 60, "metadata_cache": {}, **arguments})


def reference(**arguments: Any) -> Runner:
    return runner(IterativeExecutor(status=False), **arguments)


def test_the_output_what_was_processed_and_the_metrics_are_coffeas(executor: PocketExecutor, given: Format) -> None:
    ours, coffeas = (
        make(savemetrics=True, **given.arguments).run(given.fileset, Look(), treename="Events")
        for make in (partial(runner, executor), reference)
    )
    assert ours.keys() == coffeas.keys()
    assert ours["out"] == coffeas["out"]
    assert list(ours["out"]) == list(coffeas["out"])
    assert ours["processed"] == coffeas["processed"]
    assert ours["exception"] == coffeas["exception"] == 0
    mine, theirs = ours["metrics"], coffeas["metrics"]
    assert mine.keys() == theirs.keys()
    assert (mine["entries"], mine["chunks"]) == (theirs["entries"], theirs["chunks"]) == (470, 8)
    assert isinstance(mine["columns"], list)
    assert set(mine["columns"]) == set(theirs["columns"])
    assert mine["processtime"] > 0
    if "bytesread" in theirs:
        # Neighbouring chunks do not read a basket twice.
        assert isinstance(mine["bytesread"], int)
        assert 0 < mine["bytesread"] <= theirs["bytesread"]


def test_runner_itself_gives_output_and_metrics_as_a_pair(executor: PocketExecutor, given: Format) -> None:
    output, metrics = runner(executor, savemetrics=True, **given.arguments)(given.fileset, Look(), treename="Events")
    assert output == reference(**given.arguments)(given.fileset, Look(), treename="Events")
    assert metrics["entries"] == 470


@pytest.mark.parametrize("more", [{}, {"align_clusters": True}, {"maxchunks": 2}])
def test_chunks_are_those_that_coffea_makes(
    executor: PocketExecutor, fileset: dict[str, list[str]], more: dict[str, Any]
) -> None:
    ours, coffeas = (
        list(one.preprocess(fileset, treename="Events")) for one in (runner(executor, **more), reference(**more))
    )
    assert ours == coffeas
    assert [item.usermeta for item in ours] == [item.usermeta for item in coffeas]


def entries(item: FileMeta) -> Any:
    with uproot.open(item.filename) as file:
        return set_accumulator([FileMeta(item.dataset, item.filename, "Events", {"n": file["Events"].num_entries})])


def test_a_set_of_files_is_answered_with_a_set_added_to_the_one_that_was_given(
    executor: PocketExecutor, fileset: dict[str, list[str]]
) -> None:
    before = set_accumulator([FileMeta("earlier", "z.root", "Events", {"n": 1})])
    files = {FileMeta(name, path, "Events") for name, paths in fileset.items() for path in paths}
    one = executor.copy(unit="file", desc="Preprocessing", function_name="get_metadata", compression=None)
    found, error = one(files, entries, before)
    assert error == 0
    assert sorted((Path(meta.filename).name, meta.metadata["n"]) for meta in found) == [
        ("a.root", 250),
        ("b.root", 130),
        ("c.root", 90),
        ("z.root", 1),
    ]


def test_a_file_that_cannot_be_opened_is_raised_as_what_it_is_with_its_name(
    executor: PocketExecutor, fileset: dict[str, list[str]], tmp_path: Path
) -> None:
    missing = {"DY": [*fileset["DY"], str(tmp_path / "missing.root")]}
    with pytest.raises(FileNotFoundError) as caught:
        runner(executor)(missing, Look(), treename="Events")
    assert any("missing.root" in note for note in caught.value.__notes__)
    with pytest.raises(UprootMissTreeError, match="NoSuchTree"):
        runner(executor)(fileset, Look(), treename="NoSuchTree")


def test_files_that_skipbadfiles_leaves_out_are_missing_without_an_error(
    executor: PocketExecutor, fileset: dict[str, list[str]], tmp_path: Path
) -> None:
    broken = {**fileset, "TT": [str(tmp_path / "missing.root"), *fileset["TT"]]}
    with pytest.warns(UserWarning, match="Skipping bad file"):
        output = runner(executor, skipbadfiles=True)(broken, Look(), treename="Events")
    assert output == reference()(fileset, Look(), treename="Events")


class Fails(ProcessorABC):  # type: ignore[misc]  # coffea is not typed
    """Fails in one chunk, with a KeyError that coffea's own wrapper hides."""

    def process(self, events: Any) -> dict[str, Any]:
        if events.metadata["entrystart"] == 120:
            raise KeyError("no such trigger")
        return {"n": len(events)}


@pytest.fixture
def chunks(fileset: dict[str, list[str]]) -> list[WorkItem]:
    """Two chunks, the second of which fails."""
    return [WorkItem("DY", fileset["DY"][0], "Events", start, start + 60, b"") for start in (60, 120)]


def test_a_chunk_that_raises_leaves_the_others_as_partial_output_with_its_error_as_the_cause(
    executor: PocketExecutor, chunks: list[WorkItem]
) -> None:
    with pytest.raises(PartialResult, match="no such trigger") as caught:
        runner(executor)(chunks, Fails())
    error: Any = caught.value
    assert isinstance(error.__cause__, KeyError)
    assert error.partial_output == {"n": 60}
    assert [failure.entries for failure in error.failures] == ["120-180"]


def test_an_exception_that_skipbadfiles_names_makes_its_chunk_missing(
    executor: PocketExecutor, chunks: list[WorkItem]
) -> None:
    with pytest.warns(UserWarning, match="Skipping bad file"):
        done = runner(executor, skipbadfiles=(KeyError,)).run(chunks, Fails())
    assert done["exception"] == 0
    assert done["out"] == {"n": 60}
    assert done["processed"] == {chunks[0]}
    (failure,) = executor.report.failures
    assert (failure.entries, failure.skipped) == ("120-180", True)


def test_use_result_type_gives_ok_or_err_with_what_there_is(executor: PocketExecutor, chunks: list[WorkItem]) -> None:
    one = runner(executor, skipbadfiles=(KeyError,), use_result_type=True)
    whole = one(chunks[:1], Fails())
    assert isinstance(whole, Ok)
    assert whole.unwrap() == {"n": 60}
    partial = one(chunks, Fails())
    assert isinstance(partial, Err)
    assert isinstance(partial.exception, PartialResult)
    assert partial.value == {"n": 60}


def test_use_result_type_gives_err_for_a_file_that_cannot_be_opened(executor: PocketExecutor, tmp_path: Path) -> None:
    one = runner(executor, skipbadfiles=True, use_result_type=True)
    result = one({"DY": [str(tmp_path / "missing.root")]}, Fails(), treename="Events")
    assert isinstance(result, Err)
    assert isinstance(result.exception, FileNotFoundError)


class Noted(ProcessorABC):  # type: ignore[misc]  # coffea is not typed
    """Writes down each chunk that it processes."""

    def __init__(self, path: Path) -> None:
        self.path = str(path)

    def process(self, events: Any) -> dict[str, Any]:
        with open(self.path, "a") as stream:  # noqa: PTH123 - one write, of several processes
            stream.write(f"{Path(events.metadata['filename']).name} {events.metadata['entrystart']}\n")
        return {"numbers": np.array([int(ak.sum(events.event))]), "n": len(events)}


def test_a_checkpointer_keeps_each_chunk_and_gives_it_back(
    executor: PocketExecutor, given: Format, tmp_path: Path
) -> None:
    kept = SimpleCheckpointer(str(tmp_path / "kept"))
    one = runner(executor, checkpointer=kept, **given.arguments)
    first = one(given.fileset, Noted(tmp_path / "seen"), treename="Events")
    seen = (tmp_path / "seen").read_text().splitlines()
    files = [path for path in (tmp_path / "kept").rglob("*") if path.is_file()]
    assert len(set(seen)) == len(seen) == len(files) == 8
    files[0].unlink()
    second = one(given.fileset, Noted(tmp_path / "seen"), treename="Events")
    again = (tmp_path / "seen").read_text().splitlines()[8:]
    assert len(again) == 1
    assert again[0] in seen
    assert (second["n"], second["numbers"].tobytes()) == (first["n"], first["numbers"].tobytes())


def test_a_copy_has_all_fields_but_those_that_are_named_and_shares_pool_and_report(executor: PocketExecutor) -> None:
    copied = executor.copy(unit="chunk", function_name="Look", compression=None)
    assert type(copied) is type(executor)
    changed = {"unit": "chunk", "function_name": "Look", "compression": None}
    for field in fields(executor):
        value = getattr(copied, field.name)
        assert value == changed[field.name] if field.name in changed else value is getattr(executor, field.name)
    assert set(vars(copied)) == {field.name for field in fields(executor)}


NUMBERS = sum(range(250)) + sum(range(130))


def test_work_items_may_be_given_instead_of_a_fileset(executor: PocketExecutor, fileset: dict[str, list[str]]) -> None:
    items = list(reference().preprocess(fileset, treename="Events"))
    assert runner(executor)(items, Look())["DY"]["numbers"] == NUMBERS
    assert runner(executor)((item for item in items), Look())["DY"]["numbers"] == NUMBERS


def test_the_chunksize_may_change_on_the_way(executor: PocketExecutor, fileset: dict[str, list[str]]) -> None:
    chunks = runner(executor, chunksize=100).preprocess(fileset, treename="Events")
    items = [next(chunks)]
    # What is sent is the chunksize from then on.
    while len(items) < 3:
        items.append(chunks.send(30))
    items += chunks
    assert len({len(item) for item in items if "a.root" in item.filename}) > 1
    assert runner(executor)(items, Look())["DY"]["numbers"] == NUMBERS


@pytest.mark.parametrize("compression", [None, 1])
def test_a_function_is_a_processor_packed_or_not(
    executor: PocketExecutor, fileset: dict[str, list[str]], compression: int | None
) -> None:
    one = runner(executor, processor_compression=compression)
    assert one(fileset, lambda events: {"n": len(events)}, treename="Events") == {"n": 470}


def test_a_processor_without_a_result_anywhere_is_an_error_and_no_sum_of_nothing(
    executor: PocketExecutor, fileset: dict[str, list[str]]
) -> None:
    with pytest.raises(ProcessingError, match="should not be None"):
        runner(executor)(fileset, lambda events: None, treename="Events")


def test_no_chunks_give_the_accumulator_back(executor: PocketExecutor) -> None:
    assert executor([], entries, {"n": 5}) == ({"n": 5}, 0)


def test_the_workers_are_other_processes_unless_the_executor_is_iterative(
    executor: PocketExecutor, fileset: dict[str, list[str]]
) -> None:
    seen = runner(executor)(fileset, lambda events: {"pids": {os.getpid()}}, treename="Events")["pids"]
    assert (os.getpid() in seen) == (type(executor.pool).__name__ == "SerialPool")
