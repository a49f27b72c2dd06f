"""Files are cut as coffea cuts them, known again by the next run, and read in each format that coffea reads."""

from __future__ import annotations

import hashlib
import http.server
import itertools
import re
import threading
from collections.abc import Iterator
from email.utils import formatdate
from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np
import pytest
import uproot
from coffea.nanoevents import BaseSchema
from coffea.processor import IterativeExecutor, Runner

import pocket_exec
from pocket_exec.analysis.fileset_forms import read_fileset
from pocket_exec.engine.chunks import Cut, needed, read_metadata, work_items
from pocket_exec.engine.metadata import ReadMetadata
from pocket_exec.engine.policy import Policy
from pocket_exec.engine.pool import SerialPool
from pocket_exec.errors import CfgError, PartialResult, ProcessingError

CLUSTERS = {"one": [70, 30, 55], "two": [10] * 9, "three": [200], "empty": []}


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Small files by name, whose clusters have the numbers of entries above."""
    directory = tmp_path_factory.mktemp("clusters")
    return {name: str(written(directory / f"{name}.root", sizes)) for name, sizes in CLUSTERS.items()}


def written(path: Path, sizes: list[int]) -> Path:
    with uproot.recreate(path) as out:
        out.mktree("Events", {"x": "float64"})
        start = 0
        for size in sizes:
            out["Events"].extend({"x": np.arange(start, start + size, dtype=float)})
            start += size
    return path


def count(events: Any) -> dict[str, Any]:
    return {"n": len(events), "x": float(ak.sum(events.x)), "starts": [events.metadata["entrystart"]]}


def fileset_of(files: dict[str, str]) -> dict[str, Any]:
    return {
        "DY": {"files": [files["one"], files["empty"], files["two"]], "metadata": {"year": "2018"}},
        "TT": {"files": [files["three"], files["one"]]},
    }


@pytest.mark.parametrize(
    ("chunksize", "align", "limit"),
    [
        (c, a, n)
        for c, a, n in itertools.product([1, 25, 64, 100_000], [False, True], [None, 1, 3])
        if (c, n) != (1, None)
    ],
)
def test_the_work_items_are_those_of_coffea(
    chunksize: int, align: bool, limit: int | None, files: dict[str, str]
) -> None:
    raw = fileset_of(files)
    runner = Runner(
        executor=IterativeExecutor(status=False),
        schema=BaseSchema,
        chunksize=chunksize,
        maxchunks=limit,
        align_clusters=align,
        metadata_cache={},
    )
    theirs = list(runner.preprocess(raw, treename="Events"))
    fileset, cut = read_fileset(raw, None, Path("/")), Cut(chunksize, align, limit)
    read = ReadMetadata("root", 60, align)
    infos, failures = read_metadata(needed(fileset, cut), read, SerialPool(), Policy(), lambda done, total: None)
    ours = work_items(fileset, infos, cut)
    assert failures == []
    assert ours == theirs
    assert [item.usermeta for item in ours] == [item.usermeta or {} for item in theirs]


def test_align_clusters_cuts_at_clusters(files: dict[str, str]) -> None:
    fileset = {"DY": [files["one"]]}
    output = pocket_exec.run(fileset, count, schema=BaseSchema, chunksize=50, align_clusters=True).output
    assert output["starts"] == [0, 70, 155][: len(output["starts"])]
    assert output["n"] == 155


def test_steps_of_a_preprocessed_fileset_are_what_is_read(files: dict[str, str]) -> None:
    steps = {files["one"]: {"object_path": "Events", "steps": [[0, 20], [100, 155]]}}
    output = pocket_exec.run({"DY": {"files": steps}}, count, schema=BaseSchema).output
    assert output == {"n": 75, "x": float(sum(range(20)) + sum(range(100, 155))), "starts": [0, 100]}


def test_steps_of_a_file_that_is_shorter_by_now_are_refused(files: dict[str, str]) -> None:
    steps = {files["one"]: {"object_path": "Events", "steps": [[0, 156]]}}
    with pytest.raises(CfgError, match="has 155 entries, its steps go to 156"):
        pocket_exec.run({"DY": {"files": steps}}, count, schema=BaseSchema)


def test_limit_files_and_limit_chunks_take_the_first(files: dict[str, str]) -> None:
    fileset = {"DY": [files["one"], files["three"]]}
    options = {"schema": BaseSchema, "chunksize": 50}
    assert pocket_exec.run(fileset, count, limit_files=1, **options).output["n"] == 155
    assert pocket_exec.run(fileset, count, limit_chunks=4, **options).output["starts"] == [0, 52, 104, 0]


def test_uproot_options_reach_uproot(files: dict[str, str]) -> None:
    fileset = {"DY": [files["one"]]}
    good = pocket_exec.run(fileset, count, schema=BaseSchema, run_options={"uproot-options": {"timeout": 5}})
    assert good.output["n"] == 155
    with pytest.raises(ProcessingError, match="'handler' is not a class"):
        pocket_exec.run(fileset, count, schema=BaseSchema, run_options={"uproot-options": {"handler": "mine"}})


@pytest.mark.parametrize("executor", ["iterative", "futures"])
def test_parquet_is_read(executor: str, tmp_path: Path) -> None:
    for number in (1, 2):
        table = ak.Array({"x": np.arange(100.0 * number), "y": np.arange(100 * number)})
        ak.to_parquet(table, tmp_path / f"{number}.parquet")
    fileset = {"DY": [str(tmp_path / "1.parquet"), str(tmp_path / "2.parquet")]}
    output = pocket_exec.run(
        fileset, count, executor=executor, schema=BaseSchema, format="parquet", chunksize=100, scaleout=1
    ).output
    assert output == {"n": 300, "x": float(sum(range(100)) + sum(range(200))), "starts": [0, 0, 100]}


def test_a_parquet_file_that_is_none_is_named(tmp_path: Path) -> None:
    ak.to_parquet(ak.Array({"x": [1.0]}), tmp_path / "good.parquet")
    (tmp_path / "bad.parquet").write_text("no parquet")
    fileset = {"DY": [str(tmp_path / "good.parquet"), str(tmp_path / "bad.parquet")]}
    with pytest.raises(PartialResult) as caught:
        pocket_exec.run(fileset, count, schema=BaseSchema, format="parquet", retries=0)
    assert [failure.file for failure in caught.value.failures] == [fileset["DY"][1]]
    assert caught.value.output["n"] == 1


class Stages:
    """A viewer that notes which files are opened before the first chunk."""

    def __init__(self) -> None:
        self.read = 0

    def stage(self, text: str, done: int | None = None, total: int | None = None) -> None:
        self.read = max(self.read, done or 0)

    def planned(self, plans: Any) -> None: ...

    def resumed(self, dataset: str, chunks: int, events: int) -> None: ...
    def chunk_done(self, dataset: str, events: int, seconds: float) -> None: ...

    def chunk_failed(self, failure: Any) -> None: ...

    def dataset_done(self, outcome: Any, total: Any) -> None: ...


def run(name: str, **metadata: Any) -> tuple[int, int]:
    """Return how many files were opened for their metadata, and how many events there are."""
    stages = Stages()
    fileset = {"DY": {"files": [name], "metadata": metadata}}
    result = pocket_exec.run(fileset, count, schema=BaseSchema, viewer=stages)
    return stages.read, result.output["n"]


@pytest.fixture(autouse=True)
def _fresh_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def test_a_file_is_opened_once_for_its_metadata_until_it_changes(tmp_path: Path) -> None:
    path = written(tmp_path / "a.root", [10])
    assert [run(str(path)), run(str(path))] == [(1, 10), (0, 10)]
    written(path, [25])
    assert [run(str(path)), run(str(path))] == [(1, 25), (0, 25)]


def test_the_users_metadata_are_fresh_although_the_files_are_known(tmp_path: Path) -> None:
    path = str(written(tmp_path / "a.root", [10]))

    def weight(events: Any) -> Any:
        return {"weight": {events.metadata["weight"]}}

    for value in (1, 2):
        fileset = {"DY": {"files": [path], "metadata": {"weight": value}}}
        assert pocket_exec.run(fileset, weight, schema=BaseSchema).output == {"weight": {value}}


def test_clusters_are_read_when_they_are_needed_first(tmp_path: Path) -> None:
    path = str(written(tmp_path / "a.root", [60, 60, 60]))
    assert run(path) == (1, 180)
    for _ in range(2):
        result = pocket_exec.run({"DY": [path]}, count, schema=BaseSchema, align_clusters=True, chunksize=50)
        assert result.output["starts"] == [0, 60, 120]


class Server(http.server.ThreadingHTTPServer):
    """Serves one file, with ranges and with whatever tells its version."""

    content = b""
    version: tuple[str, str] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/a.root"


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_HEAD(self) -> None:
        self._answer(with_content=False)

    def do_GET(self) -> None:
        self._answer(with_content=True)

    def _answer(self, *, with_content: bool) -> None:
        assert isinstance(self.server, Server)
        content = self.server.content
        asked = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range") or "")
        part = content
        if asked:
            first, last = int(asked[1]), min(int(asked[2] or len(content) - 1), len(content) - 1)
            part = content[first : last + 1]
        self.send_response(206 if asked else 200)
        if asked:
            self.send_header("Content-Range", f"bytes {first}-{last}/{len(content)}")
        self.send_header("Content-Length", str(len(part)))
        self.send_header("Accept-Ranges", "bytes")
        if self.server.version is not None:
            self.send_header(*self.server.version)
        self.end_headers()
        if with_content:
            self.wfile.write(part)

    def log_message(self, format: str, *args: Any) -> None: ...


@pytest.fixture
def server() -> Iterator[Server]:
    """Serve on the loopback."""
    with Server(("127.0.0.1", 0), Handler) as serving:
        thread = threading.Thread(target=serving.serve_forever, daemon=True)
        thread.start()
        yield serving
        serving.shutdown()
        thread.join()


def etag(content: bytes) -> tuple[str, str]:
    return "ETag", f'"{hashlib.sha256(content).hexdigest()}"'


def last_modified(content: bytes) -> tuple[str, str]:
    return "Last-Modified", formatdate(int(hashlib.sha256(content).hexdigest()[:7], 16), usegmt=True)


@pytest.mark.parametrize("version", [etag, last_modified])
def test_a_file_on_a_web_server_is_known_until_its_version_changes(
    version: Any, server: Server, tmp_path: Path
) -> None:
    for events in (10, 25):
        server.content = written(tmp_path / "a.root", [events]).read_bytes()
        server.version = version(server.content)
        assert [run(server.url), run(server.url)] == [(1, events), (0, events)]


def test_a_file_on_a_server_that_tells_no_version_is_read_each_time(server: Server, tmp_path: Path) -> None:
    for events in (10, 25):
        server.content = written(tmp_path / "a.root", [events]).read_bytes()
        assert [run(server.url), run(server.url)] == [(1, events), (1, events)]


def test_a_file_that_is_gone_from_its_server_is_named(server: Server, tmp_path: Path) -> None:
    server.content = written(tmp_path / "a.root", [10]).read_bytes()
    server.version = etag(server.content)
    assert run(server.url) == (1, 10)
    server.content = b"gone"
    server.version = etag(server.content)
    with pytest.raises(ProcessingError, match=r"a\.root"):
        pocket_exec.run({"DY": [server.url]}, count, schema=BaseSchema, retries=0)
