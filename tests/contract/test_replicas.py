"""A worker remembers which replicas it could not read, and begins with one that it can; the content stays the same."""

from __future__ import annotations

import http.server
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np
import pytest
import uproot
from coffea.nanoevents import BaseSchema
from coffea.processor import Runner
from coffea.processor.executor import WorkItem

import pocket_exec
from pocket_exec.engine.identity import Checked

FILES = 5
EVENTS = 40
EXECUTORS: dict[str, dict[str, Any]] = {
    "futures": {"executor": "futures", "scaleout": 1},
    "dask": {"executor": "dask", "scaleout": 1, "worker_timeout": 60},
}


class Server(http.server.ThreadingHTTPServer):
    """Serves a directory, with ranges, or answers 503 to each request."""

    daemon_threads = True

    def __init__(self, directory: Path) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.directory = directory
        self.refuses = False
        self.asked: list[str] = []

    def url(self, name: str) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/{name}"


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_HEAD(self) -> None:
        self._answer(with_content=False)

    def do_GET(self) -> None:
        self._answer(with_content=True)

    def _answer(self, *, with_content: bool) -> None:
        assert isinstance(self.server, Server)
        self.server.asked.append(self.path)
        path = self.server.directory / self.path.lstrip("/")
        if self.server.refuses or not path.exists():
            self.send_response(503 if self.server.refuses else 404)
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        part = content = path.read_bytes()
        asked = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range") or "")
        if asked:
            first, last = int(asked[1]), min(int(asked[2] or len(content) - 1), len(content) - 1)
            part = content[first : last + 1]
        self.send_response(206 if asked else 200)
        if asked:
            self.send_header("Content-Range", f"bytes {first}-{last}/{len(content)}")
        self.send_header("Content-Length", str(len(part)))
        self.send_header("Accept-Ranges", "bytes")
        self.end_headers()
        if with_content:
            self.wfile.write(part)

    def log_message(self, format: str, *args: Any) -> None: ...


@contextmanager
def serving(directory: Path) -> Iterator[Server]:
    with Server(directory) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make files of different content, and a cache of metadata of their own."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    (tmp_path / "served").mkdir()
    for number in range(FILES):
        write(tmp_path / "served" / f"{number}.root", float(number))
    return tmp_path / "served"


def write(path: Path, value: float) -> None:
    with uproot.recreate(path) as out:
        out.mktree("Events", {"x": "float64"})
        out["Events"].extend({"x": np.full(EVENTS, value)})


def total(events: Any) -> dict[str, Any]:
    return {"n": len(events), "x": float(ak.sum(events.x)), "from": {events.metadata["filename"]}}


ALL = {"n": FILES * EVENTS, "x": float(EVENTS * sum(range(FILES)))}


def run(fileset: Any, name: str, **more: Any) -> dict[str, Any]:
    options = {"schema": BaseSchema, "chunksize": 10, "retries": 3, **EXECUTORS[name], **more}
    output: dict[str, Any] = pocket_exec.run(fileset, total, **options).output
    return output


@pytest.mark.parametrize("name", EXECUTORS)
def test_a_server_that_refuses_is_asked_for_one_file_and_not_for_each(name: str, directory: Path) -> None:
    with serving(directory) as down, serving(directory) as up:
        down.refuses = True
        names = [f"{number}.root" for number in range(FILES)]
        fileset = {"DY": {"files": [[down.url(file), up.url(file)] for file in names]}}
        output = run(fileset, name)
        assert output == {**ALL, "from": {up.url(file) for file in names}}
        assert len(set(down.asked)) == 1


@pytest.mark.parametrize("name", EXECUTORS)
def test_a_copy_that_is_missing_says_nothing_of_the_servers_other_files(name: str, directory: Path) -> None:
    with serving(directory) as first, serving(directory) as second:
        names = [f"{number}.root" for number in range(FILES)]
        missing = [first.url("missing.root"), *map(first.url, names[1:])]
        fileset = {"DY": {"files": [[one, second.url(file)] for one, file in zip(missing, names, strict=True)]}}
        output = run(fileset, name)
        assert output == {**ALL, "from": {second.url(names[0]), *missing[1:]}}
        # The first chunk that comes to the file asks for it, and no other.
        assert first.asked.count("/missing.root") <= 4


@pytest.mark.parametrize("name", EXECUTORS)
def test_a_replica_with_other_content_is_not_taken_however_well_its_server_works(name: str, directory: Path) -> None:
    write(directory / "other.root", 99.0)
    uuid = bytes(uproot.open(directory / "1.root").file.fUUID)
    with serving(directory) as down, serving(directory) as up:
        addresses = (down.url("1.root"), up.url("other.root"), up.url("1.root"))
        chunks = [WorkItem("DY", addresses[0], "Events", first, first + 10, uuid) for first in range(0, EVENTS, 10)]
        down.refuses = True
        with pocket_exec.open_executor(**EXECUTORS[name], retries=3) as opened:
            executor = replace(opened, replicas={addresses[0]: addresses})
            runner = Runner(executor=executor, schema=BaseSchema, metadata_cache={})
            output = runner.run(chunks, Checked(total))["out"]
    assert output == {"n": EVENTS, "x": float(EVENTS), "from": {addresses[2]}}
    assert "/other.root" in up.asked
