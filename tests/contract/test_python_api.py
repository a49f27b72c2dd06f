"""The Python API from scripts, threads and notebooks: results, errors and files as they are promised."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import awkward as ak
import pytest
from coffea.nanoevents import NanoAODSchema
from coffea.processor import ProcessorABC, Runner
from coffea.util import load

import pocket_exec
from pocket_exec.engine.outcome import FaultKind
from pocket_exec.errors import CfgError, OptionsError, OutputDirectoryError, PartialResult, ProcessingError

EXECUTORS: dict[str, dict[str, Any]] = {
    "iterative": {},
    "futures": {"scaleout": 2},
    "dask": {"scaleout": 2, "worker_timeout": 60},
}


class Count(ProcessorABC):  # type: ignore[misc]  # coffea is not typed
    """Count events, and fail where it is told to."""

    def __init__(self, fails_in: str = "", at: int = -1) -> None:
        self.fails_in = fails_in
        self.at = at

    def process(self, events: Any) -> dict[str, Any]:
        meta = events.metadata
        if meta["dataset"] == self.fails_in and self.at in (-1, meta["entrystart"]):
            raise ValueError("as told")
        return {meta["dataset"]: {"n": len(events), "pt": float(ak.sum(events.Muon.pt))}}

    def postprocess(self, accumulator: Any) -> None:
        accumulator["post"] = True


class FailsOnce(ProcessorABC):  # type: ignore[misc]  # coffea is not typed
    """Count events, and fail in one dataset until a file is there."""

    def __init__(self, marker: Path, dataset: str) -> None:
        self.marker = marker
        self.dataset = dataset

    def process(self, events: Any) -> dict[str, Any]:
        if events.metadata["dataset"] == self.dataset and len(self.attempts()) < 2:
            self.marker.with_name(f"{self.marker.name} {len(self.attempts())}").touch()
            raise ValueError("as told")
        return {"n": len(events)}

    def attempts(self) -> list[Path]:
        return sorted(self.marker.parent.glob(f"{self.marker.name} *"))


class WithPostprocess(ProcessorABC):  # type: ignore[misc]  # coffea is not typed
    """Count events, with a postprocess that is given."""

    def __init__(self, postprocess: Callable[[Any], Any]) -> None:
        self.given = postprocess

    def process(self, events: Any) -> dict[str, Any]:
        return {"n": len(events)}

    def postprocess(self, accumulator: Any) -> Any:
        return self.given(accumulator)


@pytest.fixture
def files(zmumu_files: dict[str, list[Path]]) -> list[str]:
    """Two files with events."""
    return [str(path) for path in next(iter(zmumu_files.values()))][:2]


@pytest.fixture
def fileset(files: list[str]) -> dict[str, Any]:
    return {
        "DY": {"files": files[:1], "metadata": {"sample": "DY"}},
        "TT": {"files": files[1:2], "metadata": {"sample": "TT"}},
    }


def names(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.glob("*.coffea"))


def made(path: Path) -> tuple[int, int]:
    return path.stat().st_ino, path.stat().st_mtime_ns


def status(directory: Path) -> int:
    code: int = json.loads((directory / "run.json").read_text())["status"]["code"]
    return code


@pytest.mark.parametrize("name", EXECUTORS)
def test_a_run_in_a_thread_gives_the_result_and_touches_no_signal_handler(name: str, fileset: Any) -> None:
    numbers = sorted(signal.valid_signals())
    before = [signal.getsignal(number) for number in numbers]
    got: list[Any] = []
    seen: list[Any] = []

    def work() -> None:
        got.append(pocket_exec.run(fileset, Count(), executor=name, chunksize=100, **EXECUTORS[name]))
        seen.append([signal.getsignal(number) for number in numbers])

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert got[0].output == pocket_exec.run(fileset, Count(), chunksize=100).output
    assert seen == [before]
    assert [signal.getsignal(number) for number in numbers] == before


def test_two_runs_in_two_threads_do_not_mix(fileset: Any) -> None:
    got: dict[str, Any] = {}

    def work(dataset: str) -> None:
        part = {dataset: fileset[dataset]}
        got[dataset] = pocket_exec.run(part, Count(), executor="futures", scaleout=1, chunksize=100).output

    threads = [threading.Thread(target=work, args=(dataset,)) for dataset in fileset]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert got == {
        dataset: pocket_exec.run({dataset: fileset[dataset]}, Count(), chunksize=100).output for dataset in fileset
    }


SCRIPT = """
import sys
import pocket_exec
from coffea.nanoevents import BaseSchema

def count(events):
    return {"n": len(events)}

options = {"executor": sys.argv[1], "scaleout": 1, "schema": BaseSchema, **eval(sys.argv[3])}
print(pocket_exec.run({"DY": [sys.argv[2]]}, count, **options).output)
"""


def script(name: str, file: str, directory: Path) -> subprocess.CompletedProcess[str]:
    (directory / "script.py").write_text(SCRIPT)
    options = {key: value for key, value in EXECUTORS[name].items() if key != "scaleout"}
    return subprocess.run(
        [sys.executable, "script.py", name, file, repr(options)],
        cwd=directory,
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )


@pytest.mark.parametrize("name", ["iterative", "futures"])
def test_a_script_needs_no_main_guard(name: str, files: list[str], tmp_path: Path) -> None:
    done = script(name, files[0], tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"{pocket_exec.run({'DY': files[:1]}, lambda events: {'n': len(events)}).output}\n"
    assert done.stderr == ""


def test_a_script_without_a_main_guard_ends_with_a_word_on_it_where_dask_starts_processes(
    files: list[str], tmp_path: Path
) -> None:
    done = script("dask", files[0], tmp_path)
    assert done.returncode != 0
    assert 'start the run under `if __name__ == "__main__":`' in done.stderr


def test_an_executor_has_its_output_directory_alone(fileset: Any, tmp_path: Path) -> None:
    out = tmp_path / "out"
    with (
        pocket_exec.open_executor("iterative", outputdir=out),
        pytest.raises(OutputDirectoryError, match="is in use by another run"),
    ):
        pocket_exec.run(fileset, Count(), outputdir=out)
    assert list(out.iterdir()) == []
    pocket_exec.run(fileset, Count(), outputdir=out)
    with pocket_exec.open_executor("iterative", outputdir=out):
        assert (out / "run.lock").exists()
    assert status(out) == 0


@pytest.mark.parametrize("name", EXECUTORS)
def test_an_executor_serves_ones_own_runner_with_its_metadata_and_metrics(name: str, fileset: Any) -> None:
    with pocket_exec.open_executor(name, **EXECUTORS[name]) as executor:
        runner = Runner(executor=executor, schema=NanoAODSchema, chunksize=100, metadata_cache={}, savemetrics=True)
        output, metrics = runner(fileset, Count(), treename="Events")
        once_more, _ = runner(fileset, Count(), treename="Events")
    assert output == once_more == pocket_exec.run(fileset, Count(), chunksize=100).output
    assert metrics["entries"] == sum(part["n"] for key, part in output.items() if key != "post")
    assert metrics["chunks"] == len(executor.report.total["processed"])
    assert "Muon_pt-data" in metrics["columns"]


def test_ones_own_runner_skips_bad_files_when_it_is_told_to(files: list[str], tmp_path: Path) -> None:
    (tmp_path / "bad.root").write_text("not a ROOT file")
    given = {"DY": [str(tmp_path / "missing.root"), *files]}
    with pocket_exec.open_executor("futures", scaleout=1, retries=0) as executor:
        runner = Runner(executor=executor, schema=NanoAODSchema, skipbadfiles=True, metadata_cache={})
        with pytest.warns(UserWarning, match="Skipping bad file"):
            output = runner(given, Count(), treename="Events")
    assert output == pocket_exec.run({"DY": files}, Count()).output


def test_ones_own_runner_may_ask_for_coffeas_result_type(fileset: Any) -> None:
    with pocket_exec.open_executor(retries=0) as executor:
        runner = Runner(
            executor=executor, schema=NanoAODSchema, use_result_type=True, skipbadfiles=True, metadata_cache={}
        )
        assert runner(fileset, Count(), treename="Events").unwrap()["post"]
        with pytest.raises(PartialResult):
            runner(fileset, Count("DY"), treename="Events")


def test_ones_own_runner_gets_the_partial_sum_with_the_error(fileset: Any) -> None:
    with pocket_exec.open_executor(retries=0) as executor:
        runner = Runner(executor=executor, schema=NanoAODSchema, metadata_cache={})
        with pytest.raises(PartialResult) as caught:
            runner(fileset, Count("DY"), treename="Events")
    assert caught.value.partial_output["TT"]["n"] > 0  # type: ignore[attr-defined]  # Runner sets it
    assert [failure.dataset for failure in caught.value.failures] == ["DY"]


def test_a_metadata_call_that_fails_names_the_file(tmp_path: Path) -> None:
    with pocket_exec.open_executor(retries=0) as executor, pytest.raises(FileNotFoundError, match=r"missing\.root"):
        Runner(executor=executor, metadata_cache={})({"DY": [str(tmp_path / "missing.root")]}, Count(), treename="E")


def test_nothing_is_written_without_an_output_directory(
    fileset: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    result = pocket_exec.run(fileset, Count())
    assert (result.whole, result.outputdir, list(result.saved)) == (True, None, [])
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("results", "written"),
    [
        ("both", ["output_DY.coffea", "output_TT.coffea", "output_all.coffea"]),
        ("all", ["output_all.coffea"]),
        ("separate", ["output_DY.coffea", "output_TT.coffea"]),
    ],
)
def test_results_says_which_files_are_written(results: Any, written: list[str], fileset: Any, tmp_path: Path) -> None:
    result = pocket_exec.run(fileset, Count(), outputdir=tmp_path / "out", results=results)
    assert names(tmp_path / "out") == written
    assert [saved.path.name for saved in result.saved] == written
    assert sorted(result.output) == ["DY", "TT", "post"]


def test_a_file_holds_what_coffeas_runner_returns_for_its_datasets(fileset: Any, tmp_path: Path) -> None:
    pocket_exec.run(fileset, Count(), outputdir=tmp_path)
    runner = Runner(executor=pocket_exec_free_iterative(), schema=NanoAODSchema, metadata_cache={})
    for dataset in fileset:
        assert load(tmp_path / f"output_{dataset}.coffea") == runner(
            {dataset: fileset[dataset]}, Count(), treename="Events"
        )
    assert load(tmp_path / "output_all.coffea") == runner(fileset, Count(), treename="Events")


def pocket_exec_free_iterative() -> Any:
    from coffea.processor import IterativeExecutor

    return IterativeExecutor(status=False)


def test_grouped_samples_share_a_file(fileset: Any, tmp_path: Path) -> None:
    pocket_exec.run(fileset, Count(), outputdir=tmp_path, run_options={"group-samples": {"MC": ["DY", "TT"]}})
    assert names(tmp_path) == ["output_MC.coffea", "output_all.coffea"]
    assert load(tmp_path / "output_MC.coffea") == load(tmp_path / "output_all.coffea")


def apart(events: Any) -> dict[str, Any]:
    return {"n": len(events) if events.metadata["dataset"] == "DY" else {"a": "dictionary"}}


def test_datasets_that_do_not_add_are_partial_together_and_whole_apart(fileset: Any, tmp_path: Path) -> None:
    with pytest.raises(PartialResult, match="does not add"):
        pocket_exec.run(fileset, apart, outputdir=tmp_path)
    assert names(tmp_path) == ["output_DY.coffea", "output_TT.coffea", "output_all.partial.coffea"]


def test_a_group_whose_datasets_do_not_add_is_partial(fileset: Any, tmp_path: Path) -> None:
    with pytest.raises(PartialResult, match="does not add"):
        pocket_exec.run(
            fileset,
            apart,
            outputdir=tmp_path,
            results="separate",
            run_options={"group-samples": {"MC": ["DY", "TT"]}},
        )
    assert names(tmp_path) == ["output_MC.partial.coffea"]


def test_one_dataset_that_fails_leaves_the_other_whole(fileset: Any, tmp_path: Path) -> None:
    with pytest.raises(PartialResult) as caught:
        pocket_exec.run(fileset, Count("DY"), outputdir=tmp_path)
    assert sorted(caught.value.output) == ["TT", "post"]
    assert {(failure.dataset, failure.kind) for failure in caught.value.failures} == {("DY", FaultKind.USER)}
    assert names(tmp_path) == ["output_TT.coffea", "output_all.partial.coffea"]
    assert status(tmp_path) == 6


def test_one_chunk_that_fails_is_missing_from_its_dataset(fileset: Any, tmp_path: Path) -> None:
    whole = pocket_exec.run(fileset, Count(), chunksize=100).output
    with pytest.raises(PartialResult) as caught:
        pocket_exec.run(fileset, Count("TT", 0), outputdir=tmp_path, chunksize=100)
    (failure,) = caught.value.failures
    assert caught.value.output["TT"]["n"] == whole["TT"]["n"] - failure.entrystop
    assert caught.value.output["DY"] == whole["DY"]
    assert names(tmp_path) == ["output_DY.coffea", "output_TT.partial.coffea", "output_all.partial.coffea"]


def test_completing_a_partial_result_removes_it(fileset: Any, tmp_path: Path) -> None:
    with pytest.raises(PartialResult):
        pocket_exec.run(fileset, Count("TT"), outputdir=tmp_path)
    pocket_exec.run(fileset, Count(), outputdir=tmp_path, force=True)
    assert names(tmp_path) == ["output_DY.coffea", "output_TT.coffea", "output_all.coffea"]
    assert status(tmp_path) == 0


def test_a_result_that_is_there_already_is_returned_as_it_is(fileset: Any, tmp_path: Path) -> None:
    first = pocket_exec.run(fileset, Count(), outputdir=tmp_path)
    before = (tmp_path / "output_all.coffea").stat().st_mtime_ns
    second = pocket_exec.run(fileset, Count(), outputdir=tmp_path)
    assert second.output == first.output
    assert (tmp_path / "output_all.coffea").stat().st_mtime_ns == before
    assert "output_all.coffea" in second.already_done


def test_separate_results_that_are_finished_are_left_as_they_are_by_the_next_run(fileset: Any, tmp_path: Path) -> None:
    with pytest.raises(PartialResult):
        pocket_exec.run(fileset, FailsOnce(tmp_path / "failed", "TT"), outputdir=tmp_path / "out", results="separate")
    assert names(tmp_path / "out") == ["output_DY.coffea"]
    before = made(tmp_path / "out" / "output_DY.coffea")
    result = pocket_exec.run(
        fileset, FailsOnce(tmp_path / "failed", "TT"), outputdir=tmp_path / "out", results="separate"
    )
    assert made(tmp_path / "out" / "output_DY.coffea") == before
    assert list(result.left_as_they_are) == ["output_DY.coffea"]
    assert [saved.path.name for saved in result.saved] == ["output_TT.coffea"]
    assert [outcome.plan.dataset for outcome in result.datasets] == ["TT"]
    # It is a part only: the whole is in the files.
    assert result.output is None
    assert names(tmp_path / "out") == ["output_DY.coffea", "output_TT.coffea"]
    third = pocket_exec.run(
        fileset, FailsOnce(tmp_path / "failed", "TT"), outputdir=tmp_path / "out", results="separate"
    )
    assert sorted(third.already_done) == ["output_DY.coffea", "output_TT.coffea"]
    assert made(tmp_path / "out" / "output_DY.coffea") == before


def test_a_result_of_another_processor_is_not_overwritten(fileset: Any, tmp_path: Path) -> None:
    pocket_exec.run(fileset, Count(), outputdir=tmp_path)
    with pytest.raises(OutputDirectoryError, match="processor state changed: at"):
        pocket_exec.run(fileset, Count(at=7), outputdir=tmp_path)


def test_nothing_that_succeeds_is_an_error_with_the_users_traceback(fileset: Any, tmp_path: Path) -> None:
    with pytest.raises(ProcessingError) as caught:
        pocket_exec.run({"DY": fileset["DY"]}, Count("DY"), outputdir=tmp_path)
    assert 'raise ValueError("as told")' in "".join(caught.value.__notes__)
    assert names(tmp_path) == []
    assert status(tmp_path) == 5


def test_files_that_are_all_skipped_leave_nothing_to_save(tmp_path: Path) -> None:
    with pytest.raises(ProcessingError, match=r"missing\.root"):
        pocket_exec.run({"DY": [str(tmp_path / "missing.root")]}, Count(), outputdir=tmp_path, skip_bad_files=True)
    assert names(tmp_path) == []


class Interrupting:
    """A viewer of somebody who loses patience."""

    def __init__(self, after: int) -> None:
        self._left = after

    def stage(self, text: str, done: int | None = None, total: int | None = None) -> None: ...

    def planned(self, plans: Any) -> None: ...

    def resumed(self, dataset: str, chunks: int, events: int) -> None:
        pass

    def chunk_done(self, dataset: str, events: int, seconds: float) -> None:
        self._left -= 1
        if self._left < 0:
            raise KeyboardInterrupt

    def chunk_failed(self, failure: Any) -> None: ...

    def dataset_done(self, outcome: Any, total: Any) -> None: ...


@pytest.mark.parametrize("name", EXECUTORS)
def test_an_interrupt_comes_through_and_what_is_there_is_saved(name: str, fileset: Any, tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        pocket_exec.run(
            fileset, Count(), executor=name, outputdir=tmp_path, viewer=Interrupting(3), chunksize=50, **EXECUTORS[name]
        )
    assert "output_all.partial.coffea" in names(tmp_path)
    assert load(tmp_path / "output_all.partial.coffea")["DY"]["n"] > 0
    assert status(tmp_path) == 130


def test_an_interrupt_before_the_first_result_leaves_nothing_but_its_record(fileset: Any, tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        pocket_exec.run(fileset, Count(), outputdir=tmp_path, viewer=Interrupting(0), chunksize=50)
    assert names(tmp_path) == []
    assert status(tmp_path) == 130


def test_postprocess_may_change_the_sum_or_return_another(fileset: Any) -> None:
    def changes(accumulator: Any) -> None:
        accumulator["half"] = accumulator["n"] / 2

    changed = pocket_exec.run(fileset, WithPostprocess(changes)).output
    returned = pocket_exec.run(fileset, WithPostprocess(lambda accumulator: {"new": accumulator["n"]})).output
    assert changed == {"n": returned["new"], "half": returned["new"] / 2}


def test_postprocess_works_on_copies_of_the_sum_and_of_the_processor(fileset: Any, tmp_path: Path) -> None:
    class Once(ProcessorABC):  # type: ignore[misc]  # coffea is not typed
        calls = 0

        def process(self, events: Any) -> dict[str, Any]:
            return {"n": len(events)}

        def postprocess(self, accumulator: Any) -> None:
            self.calls += 1
            accumulator["calls"] = self.calls

    output = pocket_exec.run(fileset, Once(), outputdir=tmp_path).output
    assert output["calls"] == 1
    assert [load(tmp_path / f"output_{dataset}.coffea")["calls"] for dataset in fileset] == [1, 1]
    assert output["n"] == sum(load(tmp_path / f"output_{dataset}.coffea")["n"] for dataset in fileset)


def raises(accumulator: Any) -> Any:
    accumulator["spoilt"] = True
    raise RuntimeError("no such histogram")


def test_a_postprocess_that_raises_leaves_the_sum_as_it_was_as_partial(fileset: Any, tmp_path: Path) -> None:
    with pytest.raises(PartialResult, match="no such histogram") as caught:
        pocket_exec.run(fileset, WithPostprocess(raises), outputdir=tmp_path)
    assert set(caught.value.output) == {"n"}
    assert names(tmp_path) == ["output_DY.partial.coffea", "output_TT.partial.coffea", "output_all.partial.coffea"]
    assert load(tmp_path / "output_all.partial.coffea") == caught.value.output
    assert status(tmp_path) == 6


def test_an_output_that_cannot_be_pickled_is_named_and_the_others_are_saved(fileset: Any, tmp_path: Path) -> None:
    def lock(accumulator: Any) -> Any:
        return {**accumulator, "tools": [threading.Lock()]} if accumulator["n"] > alone else accumulator

    alone = max(
        pocket_exec.run({name: fileset[name]}, lambda events: {"n": len(events)}).output["n"] for name in fileset
    )
    with pytest.raises(PartialResult, match=r"output\['tools'\]\[0\]"):
        pocket_exec.run(fileset, WithPostprocess(lock), outputdir=tmp_path)
    assert names(tmp_path) == ["output_DY.coffea", "output_TT.coffea"]


class Refuses:
    """A result whose own pickling fails as storage does."""

    def __init__(self, number: int) -> None:
        self.number = number

    def __add__(self, other: Any) -> Refuses:
        return self

    def __reduce__(self) -> Any:
        raise OSError(self.number, os.strerror(self.number))


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.ENOENT])
def test_an_output_whose_pickling_raises_an_oserror_is_not_taken_for_a_full_disk(
    number: int, fileset: Any, tmp_path: Path
) -> None:
    def process(events: Any) -> dict[str, Any]:
        return {"n": len(events), **({"x": Refuses(number)} if events.metadata["dataset"] == "TT" else {})}

    with pytest.raises(PartialResult) as caught:
        pocket_exec.run(fileset, process, outputdir=tmp_path)
    # To add it up is to copy it, which fails likewise.
    assert names(tmp_path) == ["output_DY.coffea", "output_all.partial.coffea"]
    told = str(caught.value)
    assert "First: TT, " in told
    assert "result['x'] cannot be pickled (" in told
    assert os.strerror(number) in told
    assert "make room" not in told


def test_options_are_keywords_that_beat_mappings_that_beat_earlier_ones(fileset: Any) -> None:
    def starts(events: Any) -> Any:
        return {"starts": {events.metadata["entrystart"]}}

    given = [{"chunksize": 10_000, "limit-chunks": 1}, {"chunksize": 100}]
    assert pocket_exec.run(fileset, starts, run_options=given).output == {"starts": {0}}
    assert pocket_exec.run(fileset, starts, run_options=given, limit_chunks=2).output["starts"] > {0}


def test_all_faults_of_the_options_are_told_at_once(fileset: Any) -> None:
    with pytest.raises(OptionsError) as caught:
        pocket_exec.run(fileset, Count(), chunksize=-1, scaleuot=3)
    assert len(caught.value.faults) == 2
    assert "scaleout" in str(caught.value)


@pytest.mark.parametrize(
    ("processor", "told"),
    [(Count, "processor = Count()"), (3, "is a int"), (None, "NoneType")],
)
def test_what_is_no_processor_is_named(processor: Any, told: str, fileset: Any) -> None:
    with pytest.raises(CfgError, match=told.replace("(", r"\(").replace(")", r"\)")):
        pocket_exec.run(fileset, processor)


def test_a_processor_that_cannot_be_pickled_is_named_by_its_attribute(fileset: Any) -> None:
    processor = WithPostprocess(lambda accumulator: None)
    processor.tools = {"lock": threading.Lock()}
    with pytest.raises(CfgError, match=r"processor\.tools\['lock'\] cannot be pickled"):
        pocket_exec.run(fileset, processor)


def test_what_getstate_leaves_out_is_not_what_is_named(fileset: Any) -> None:
    class Two(WithPostprocess):
        def __init__(self) -> None:
            super().__init__(lambda accumulator: None)
            self.left_out, self.kept = threading.Lock(), threading.Lock()

        def __getstate__(self) -> dict[str, Any]:
            return {key: value for key, value in vars(self).items() if key != "left_out"}

    with pytest.raises(CfgError, match=r"processor\.kept cannot be pickled"):
        pocket_exec.run(fileset, Two())


def test_a_partial_function_is_a_processor(fileset: Any) -> None:
    from functools import partial

    def times(events: Any, factor: int) -> Any:
        return {"n": factor * len(events)}

    once, twice = (pocket_exec.run(fileset, partial(times, factor=factor)).output["n"] for factor in (1, 2))
    assert twice == 2 * once


def test_modules_beside_the_processor_are_found_by_workers(files: list[str], tmp_path: Path) -> None:
    (tmp_path / "physics.py").write_text(
        "from beside import factor\ndef process(events):\n    return {'n': factor()}\n"
    )
    (tmp_path / "beside.py").write_text("def factor():\n    from later import number\n    return number\n")
    (tmp_path / "later.py").write_text("number = 7\n")
    code = "import sys, pocket_exec; sys.path.insert(0, sys.argv[1]); from physics import process\n"
    code += "if __name__ == '__main__':\n"
    code += "    print([pocket_exec.run({'DY': [sys.argv[2]]}, process, executor=e, **o).output for e, o in "
    code += f"{list(EXECUTORS.items())!r}])\n"
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "script.py").write_text(code)
    done = subprocess.run(
        [sys.executable, "script.py", str(tmp_path), files[0]],
        cwd=tmp_path / "elsewhere",
        env={**os.environ},
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )
    assert done.stdout == f"{[{'n': 7}] * 3}\n", done.stderr
