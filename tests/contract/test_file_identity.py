"""What is processed is the file whose metadata were read: a copy with other content is named, and never in the sum."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path
from typing import Any

import awkward as ak
import cloudpickle
import numpy as np
import pytest
import uproot
from coffea.nanoevents import BaseSchema
from distributed import Client

import pocket_exec
from pocket_exec.engine.outcome import FaultKind
from pocket_exec.errors import OutputDirectoryError, PartialResult, ProcessingError
from tests.contract.test_existing_scheduler import elsewhere
from tests.contract.test_metadata_reading import PLAIN

EXECUTORS: dict[str, dict[str, Any]] = {
    "iterative": {},
    "futures": {"scaleout": 1},
    "dask": {"scaleout": 1, "worker_timeout": 60},
}
OPTIONS: dict[str, Any] = {"schema": BaseSchema, "retries": 0, "chunksize": 50}


@pytest.fixture(autouse=True)
def _fresh_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def written(path: Path, value: float) -> Path:
    """Write a file whose size depends on nothing."""
    with uproot.recreate(path, compression=None) as out:
        out.mktree("Events", {"x": "float64"})
        out["Events"].extend({"x": np.full(100, value)})
    return path


def replaced(path: Path, value: float) -> None:
    """Put other content in the place of a file so that size and modification time stay."""
    before = path.stat()
    written(path, value)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert path.stat().st_size == before.st_size


def damaged(path: Path) -> Path:
    """Let a file be whole up to its content."""
    with uproot.open(path) as file:
        (seek,) = file["Events"]["x"].member("fBasketSeek")[:1]
    content = bytearray(path.read_bytes())
    content[seek : seek + 400] = b"\0" * 400
    path.write_bytes(content)
    return path


def total(events: Any) -> dict[str, float]:
    return {"n": len(events), "x": float(ak.sum(events.x))}


@pytest.mark.parametrize("name", EXECUTORS)
def test_a_file_that_was_replaced_since_is_named_and_not_processed(name: str, tmp_path: Path) -> None:
    fileset = {"DY": [str(written(tmp_path / "a.root", 1.0)), str(written(tmp_path / "b.root", 1.0))]}
    options = {**OPTIONS, **EXECUTORS[name]}
    assert pocket_exec.run(fileset, total, **OPTIONS).output == {"n": 200, "x": 200.0}
    replaced(tmp_path / "a.root", 7.0)
    with pytest.raises(PartialResult) as caught:
        pocket_exec.run(fileset, total, executor=name, **options)
    assert caught.value.output == {"n": 100, "x": 100.0}
    assert [(failure.file, failure.entries) for failure in caught.value.failures] == [
        (fileset["DY"][0], "0-50"),
        (fileset["DY"][0], "50-100"),
    ]
    for failure in caught.value.failures:
        assert failure.kind is FaultKind.BAD_FILE
        assert failure.message.startswith(f"{fileset['DY'][0]} is not the file whose metadata were read (UUID ")
        assert failure.traceback == ""
    # What was wrong is known now.
    assert pocket_exec.run(fileset, total, **options).output == {"n": 200, "x": 800.0}


def test_a_file_that_is_replaced_while_the_run_goes_on_is_named(tmp_path: Path) -> None:
    path, new = written(tmp_path / "a.root", 1.0), written(tmp_path / "new.root", 7.0)

    def replacing(events: Any) -> dict[str, float]:
        out = total(events)
        if new.exists():
            new.replace(path)
        return out

    with pytest.raises(PartialResult, match=r"1 failed; 50 events are not in the result\. First: ") as caught:
        pocket_exec.run({"DY": [str(path)]}, replacing, **OPTIONS)
    assert caught.value.output == {"n": 50, "x": 50.0}
    assert "it was replaced" in caught.value.failures[0].message


def test_a_replica_with_other_content_is_not_processed_in_the_place_of_the_file(tmp_path: Path) -> None:
    one, two = damaged(written(tmp_path / "one.root", 1.0)), written(tmp_path / "two.root", 7.0)
    with pytest.raises(ProcessingError) as caught:
        pocket_exec.run({"DY": {"files": [[str(one), str(two)]]}}, total, **OPTIONS)
    assert f"{two} is not the file whose metadata were read" in str(caught.value)


def test_the_next_replica_is_read_where_one_has_other_content(tmp_path: Path) -> None:
    one = written(tmp_path / "one.root", 1.0)
    copy = Path(shutil.copy(one, tmp_path / "copy.root"))
    fileset = {"DY": {"files": [[str(one), str(tmp_path / "missing.root"), str(copy)]]}}
    assert pocket_exec.run(fileset, total, **OPTIONS).output == {"n": 100, "x": 100.0}
    replaced(one, 7.0)
    assert pocket_exec.run(fileset, total, **OPTIONS).output == {"n": 100, "x": 100.0}


def test_a_user_who_skips_bad_files_skips_these_too(tmp_path: Path) -> None:
    fileset = {"DY": [str(written(tmp_path / "a.root", 1.0)), str(written(tmp_path / "b.root", 1.0))]}
    pocket_exec.run(fileset, total, **OPTIONS)
    replaced(tmp_path / "a.root", 7.0)
    result = pocket_exec.run(fileset, total, skip_bad_files=True, **OPTIONS)
    assert result.whole
    assert result.output == {"n": 100, "x": 100.0}
    assert {failure.file for failure in result.failures} == {fileset["DY"][0]}


def test_coffeas_own_executor_does_not_process_other_content_either(tmp_path: Path) -> None:
    (tmp_path / "plain.py").write_text(PLAIN)
    fileset = {"one": [str(written(tmp_path / "a.root", 1.0))], "two": [str(written(tmp_path / "b.root", 1.0))]}
    options = {**OPTIONS, "custom_setup": tmp_path / "plain.py"}
    pocket_exec.run(fileset, total, **options)
    replaced(tmp_path / "a.root", 7.0)
    with pytest.raises(PartialResult) as caught:
        pocket_exec.run(fileset, total, **options)
    assert caught.value.output == {"n": 100, "x": 100.0}
    assert [(f.dataset, f.kind, f.error) for f in caught.value.failures] == [
        ("one", FaultKind.BAD_FILE, "OtherContent")
    ]


DASK = """\
from coffea.processor import DaskExecutor
from distributed import Client
from pocket_exec.executors import ExecutorFactory


class Plain(ExecutorFactory):
    def setup(self):
        self.client = Client({address!r}, set_as_default=False)

    def get(self):
        return DaskExecutor

    def customize_args(self, args):
        return {{**args, "client": self.client, "retries": 0}}

    def close(self):
        self.client.close()


def get_executor_factory(name, run_options, outputdir):
    return Plain(run_options, outputdir)
"""


def test_workers_that_do_not_know_this_project_check_the_file_for_coffeas_own_executor(tmp_path: Path) -> None:
    fileset = {"one": [str(written(tmp_path / "a.root", 1.0))], "two": [str(written(tmp_path / "b.root", 1.0))]}
    pocket_exec.run(fileset, total, **OPTIONS)
    replaced(tmp_path / "a.root", 7.0)
    # As the functions of a script, which workers need not have.
    cloudpickle.register_pickle_by_value(sys.modules[__name__])
    try:
        with elsewhere(tmp_path) as address, Client(address, set_as_default=False) as client:
            client.wait_for_workers(1, timeout=60)
            (tmp_path / "theirs.py").write_text(DASK.format(address=address))
            with pytest.raises(PartialResult) as caught:
                pocket_exec.run(fileset, total, custom_setup=tmp_path / "theirs.py", **OPTIONS)
    finally:
        cloudpickle.unregister_pickle_by_value(sys.modules[__name__])
    assert caught.value.output == {"n": 100, "x": 100.0}
    assert [(f.dataset, f.kind, f.error) for f in caught.value.failures] == [
        ("one", FaultKind.BAD_FILE, "OtherContent")
    ]


def test_parquet_files_have_no_identity_and_are_read(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    for value in (1.0, 7.0):
        ak.to_parquet(ak.Array({"x": np.full(100, value)}), path)
        output = pocket_exec.run({"DY": [str(path)]}, total, format="parquet", **OPTIONS).output
        assert output == {"n": 100, "x": 100 * value}


def test_a_parquet_file_that_was_written_anew_is_another_one(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    options = {"format": "parquet", "outputdir": tmp_path / "out", **OPTIONS}
    ak.to_parquet(ak.Array({"x": np.full(100, 1.0)}), path)
    pocket_exec.run({"DY": [str(path)]}, total, **options)
    ak.to_parquet(ak.Array({"x": np.full(100, 7.0)}), path)
    with pytest.raises(OutputDirectoryError, match="files"):
        pocket_exec.run({"DY": [str(path)]}, total, **options)
    assert pocket_exec.run({"DY": [str(path)]}, total, force=True, **options).output == {"n": 100, "x": 700.0}
