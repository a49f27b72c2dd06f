"""``chunksize: auto``: the files say where they are cut, the same for each executor and each run."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np
import pytest
import uproot
from coffea.nanoevents import BaseSchema
from coffea.processor.executor import FileMeta
from coffea.util import load

import pocket_exec
from pocket_exec.engine.metadata import ReadMetadata
from tests.contract.command_line import cfg_of, record, runner

CLUSTERS = (70_000, 80_000, 60_000, 90_000, 30_000, 150_000, 10_000, 120_000)
CHUNKS = [(0, 210_000), (210_000, 480_000), (480_000, 610_000)]
"""Whole clusters, and as near to 200 000 events as they allow."""
EXECUTORS = [("iterative", 1), ("futures", 1), ("futures", 3), ("dask", 1), ("dask", 2)]


def numbers() -> list[np.ndarray[Any, Any]]:
    """Return the events of each cluster; their sum depends on the order in which they are added."""
    return [np.random.default_rng(number).normal(size=length) for number, length in enumerate(CLUSTERS)]


def ttree(path: Path) -> str:
    with uproot.recreate(path, compression=None) as out:
        out.mktree("Events", {"x": "float64"})
        for part in numbers():
            out["Events"].extend({"x": part})
    return str(path)


def rntuple(path: Path) -> str:
    first, *others = numbers()
    with uproot.recreate(path, compression=None) as out:
        ntuple = out.mkrntuple("Events", {"x": first})
        for other in others:
            ntuple.extend({"x": other})
    return str(path)


def parquet(path: Path) -> str:
    import pyarrow as pa
    from pyarrow import parquet as pq

    tables = [pa.table({"x": part}) for part in numbers()]
    with pq.ParquetWriter(path, tables[0].schema, use_dictionary=False) as out:
        for table in tables:
            out.write_table(table)
    return str(path)


FORMATS = {"ttree": (ttree, "root"), "rntuple": (rntuple, "root"), "parquet": (parquet, "parquet")}


def summed(events: Any) -> dict[str, Any]:
    metadata = events.metadata
    return {"chunks": [(metadata["entrystart"], metadata["entrystop"])], "x": float(ak.sum(events.x)), "n": len(events)}


@pytest.fixture(autouse=True)
def _fresh_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.mark.parametrize("name", FORMATS)
def test_a_file_tells_its_size_and_its_clusters_without_an_event_being_read(name: str, tmp_path: Path) -> None:
    write, format_ = FORMATS[name]
    info = ReadMetadata(format_, 60, True)(FileMeta("DY", write(tmp_path / "a"), "Events"))
    assert info.clusters == tuple(int(end) for end in np.cumsum((0, *CLUSTERS)))
    assert info.basket == sum(CLUSTERS) / len(CLUSTERS)
    assert info.bytes == pytest.approx(8 * info.entries, rel=0.02)
    assert ReadMetadata(format_, 60, False)(FileMeta("DY", str(tmp_path / "a"), "Events")).clusters is None


@pytest.mark.parametrize("name", FORMATS)
def test_chunks_end_where_the_files_clusters_do(name: str, tmp_path: Path) -> None:
    write, format_ = FORMATS[name]
    fileset = {"DY": [write(tmp_path / "a")]}
    for _ in range(2):  # from the file, then from the cache
        output = pocket_exec.run(fileset, summed, schema=BaseSchema, format=format_, chunksize="auto").output
        assert output["chunks"] == CHUNKS
        assert output["n"] == sum(CLUSTERS)


@pytest.mark.parametrize(("executor", "scaleout"), EXECUTORS)
def test_every_executor_has_the_same_chunks_and_the_same_bits(executor: str, scaleout: int, tmp_path: Path) -> None:
    fileset = {"DY": [ttree(tmp_path / "a"), rntuple(tmp_path / "b")], "TT": [ttree(tmp_path / "c")]}
    options: dict[str, Any] = {"schema": BaseSchema, "chunksize": "auto"}
    reference = pocket_exec.run(fileset, summed, **options).output
    assert reference["chunks"] == CHUNKS * 3
    result = pocket_exec.run(fileset, summed, executor=executor, scaleout=scaleout, **options)
    assert result.output == reference


CFG = """
import os
import awkward as ak
from coffea.nanoevents import BaseSchema as schema


def processor(events):
    metadata = events.metadata
    chunk = metadata["entrystart"], metadata["entrystop"]
    if os.path.exists("fails") and metadata["dataset"] == "TT" and chunk[0]:
        raise RuntimeError("not today")
    return {"chunks": [chunk], "x": float(ak.sum(events.x)), "n": len(events)}
"""


def test_a_resumed_run_has_the_chunks_of_the_one_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    fileset = {"DY": {"files": [ttree(tmp_path / "a")]}, "TT": {"files": [ttree(tmp_path / "b")]}}
    Path("cfg.py").write_text(cfg_of(fileset, text=CFG))
    Path("fails").touch()
    words = ("--cfg", "cfg.py", "-o", "out", "-c", "auto")
    assert runner(*words).status == 6
    assert record("out")["options"]["chunksize"] == {"value": "auto", "origin": "--chunksize"}
    Path("fails").unlink()
    # As if the cache of metadata had been lost in between.
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "other"))
    again = runner(*words)
    assert again.status == 0, again.err
    rows = {row["name"]: (row["chunks_done"], row["chunks_resumed"]) for row in record("out")["datasets"]}
    assert rows == {"DY": (3, 3), "TT": (3, 1)}
    assert load("out/output_all.coffea")["chunks"] == CHUNKS * 2


@pytest.mark.parametrize(("chunksize", "told"), [(10_000, True), (50_000, False), ("auto", False)])
def test_a_number_far_below_a_basket_is_taken_and_told(
    chunksize: int | str, told: bool, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    fileset = {"DY": [ttree(tmp_path / "a"), ttree(tmp_path / "b")], "TT": [ttree(tmp_path / "c")]}
    with caplog.at_level(logging.WARNING, "pocket_exec"):
        output = pocket_exec.run(fileset, summed, schema=BaseSchema, chunksize=chunksize).output
    assert output["n"] == 3 * sum(CLUSTERS)
    assert len(output["chunks"]) == {10_000: 183, 50_000: 36, "auto": 9}[chunksize]
    lines = [message for message in caplog.messages if "basket" in message]
    assert lines == ([FAR_BELOW] if told else [])


FAR_BELOW = (
    "chunksize 10000 is far below a basket of dataset 'DY' (about 76250 events), which is decompressed as a whole; "
    "'chunksize: auto' follows the files"
)


@pytest.mark.parametrize("word", ["Auto", "automatic", "0", "1.5"])
def test_what_is_neither_a_number_nor_auto_is_refused(word: str, tmp_path: Path) -> None:
    (tmp_path / "cfg.py").write_text(cfg_of({"DY": {"files": ["none.root"]}}))
    ended = runner("--cfg", tmp_path / "cfg.py", "-o", tmp_path / "out", "-c", word, "--show-options")
    words = {"automatic": "'automatic' is neither a whole number nor 'auto'", "0": "must be 1 or more, not 0"}
    if word == "Auto":
        assert ended.status == 0
    else:
        assert ended.status == 3
        assert words.get(word, "'1.5' is neither a whole number nor 'auto'") in ended.err
