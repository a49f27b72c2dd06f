"""File metadata are read several files at a time by every executor, and reading them can be stopped."""

from __future__ import annotations

import http.server
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import uproot
from coffea.nanoevents import BaseSchema

import pocket_exec
from pocket_exec.errors import PartialResult, ProcessingError
from tests.contract.command_line import cfg_of

FILES = 8

PLAIN = """\
from coffea.processor import IterativeExecutor
from pocket_exec.executors import ExecutorFactory


class Plain(ExecutorFactory):
    def setup(self): ...

    def get(self):
        return IterativeExecutor

    def close(self): ...


def get_executor_factory(name, run_options, outputdir):
    return Plain(run_options, outputdir)
"""
"""A module whose executor is coffea's own."""


class Server(http.server.ThreadingHTTPServer):
    """Serves copies of one file, and answers the first request for each only when it ``may``."""

    daemon_threads = True
    content = b""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.may = threading.Event()
        self.lock = threading.Lock()
        self.asked: set[str] = set()
        self.one_by_one = False
        self.answers_at = FILES

    def urls(self, n: int = FILES) -> list[str]:
        return [f"http://127.0.0.1:{self.server_address[1]}/{number}.root" for number in range(n)]

    def comes(self, path: str) -> None:
        """Hold the request until there are requests for as many files as must come together."""
        with self.lock:
            self.asked.add(path)
            if len(self.asked) >= self.answers_at:
                self.may.set()
        if not self.may.wait(60):
            self.one_by_one = True
            self.may.set()


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_HEAD(self) -> None:
        self._answer(with_content=False)

    def do_GET(self) -> None:
        self._answer(with_content=True)

    def _answer(self, *, with_content: bool) -> None:
        assert isinstance(self.server, Server)
        self.server.comes(self.path)
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
        self.end_headers()
        if with_content:
            self.wfile.write(part)

    def log_message(self, format: str, *args: Any) -> None: ...


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    """Serve on the loopback."""
    with uproot.recreate(tmp_path / "served.root") as out:
        out.mktree("Events", {"x": "float64"})
        out["Events"].extend({"x": np.arange(10.0)})
    with Server() as serving:
        serving.content = (tmp_path / "served.root").read_bytes()
        thread = threading.Thread(target=serving.serve_forever, daemon=True)
        thread.start()
        yield serving
        serving.may.set()
        serving.shutdown()
        thread.join()


@pytest.fixture(autouse=True)
def _fresh_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def count(events: Any) -> dict[str, Any]:
    return {"n": len(events), "files": [events.metadata["filename"]]}


@pytest.mark.parametrize("whose", ["own", "coffea's"])
def test_several_files_are_opened_at_a_time_also_where_chunks_run_one_by_one(
    whose: str, server: Server, tmp_path: Path
) -> None:
    (tmp_path / "plain.py").write_text(PLAIN)
    server.answers_at = 4
    custom = None if whose == "own" else tmp_path / "plain.py"
    output = pocket_exec.run({"DY": server.urls()}, count, schema=BaseSchema, custom_setup=custom, retries=0).output
    # The server answers nobody before four are there, or a minute is over.
    assert not server.one_by_one
    assert output == {"n": 10 * FILES, "files": server.urls()}


def test_ctrl_c_does_not_wait_for_a_server_that_does_not_answer(server: Server, tmp_path: Path) -> None:
    server.answers_at = FILES + 1
    (tmp_path / "cfg.py").write_text(cfg_of({"DY": server.urls()}))
    command = [sys.executable, "-c", "from pocket_exec.cli import runner; runner()", "--cfg", "cfg.py", "-o", "out"]
    with (tmp_path / "stderr").open("wb") as err:
        process = subprocess.Popen(command, cwd=tmp_path, stderr=err, stdout=subprocess.DEVNULL, env=dict(os.environ))
    end = time.monotonic() + 60
    while len(server.asked) < 2:
        assert process.poll() is None, (tmp_path / "stderr").read_text()
        assert time.monotonic() < end
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    # The server holds its requests for a minute.
    assert process.wait(30) == 130, (tmp_path / "stderr").read_text()
    assert not server.may.is_set()
    assert json.loads((tmp_path / "out" / "run.json").read_text())["interrupted"] == "SIGINT"


def files(directory: Path, n: int) -> list[str]:
    names = []
    for number in range(n):
        path = directory / f"{number}.root"
        with uproot.recreate(path) as out:
            out.mktree("Events", {"x": "float64"})
            out["Events"].extend({"x": np.arange(10.0)})
        names.append(str(path))
    return names


@pytest.mark.parametrize("bad_first", [True, False])
def test_unreadable_files_of_one_dataset_do_not_stop_the_run_wherever_it_stands(
    bad_first: bool, tmp_path: Path
) -> None:
    good, bad = {"good": files(tmp_path, 2)}, {"bad": [str(tmp_path / f"missing {n}.root") for n in range(6)]}
    fileset = {**bad, **good} if bad_first else {**good, **bad}
    with pytest.raises(PartialResult) as caught:
        pocket_exec.run(fileset, count, schema=BaseSchema, outputdir=tmp_path / "out", retries=0)
    assert caught.value.output["n"] == 20
    assert [failure.file for failure in caught.value.failures] == bad["bad"]
    written = sorted(path.name for path in (tmp_path / "out").glob("*.coffea"))
    assert written == ["output_all.partial.coffea", "output_good.coffea"]


@pytest.mark.parametrize("bad_first", [True, False])
def test_more_unreadable_files_than_max_failures_stop_the_run_wherever_they_stand(
    bad_first: bool, tmp_path: Path
) -> None:
    good, bad = {"good": files(tmp_path, 2)}, {"bad": [str(tmp_path / f"missing {n}.root") for n in range(6)]}
    fileset = {**bad, **good} if bad_first else {**good, **bad}
    out = tmp_path / "out"
    with pytest.raises(ProcessingError, match=r"files cannot be read, more than max-failures \(2\)\. First: bad, "):
        pocket_exec.run(fileset, count, schema=BaseSchema, outputdir=out, retries=0, max_failures=2)
    record = json.loads((out / "run.json").read_text())
    assert record["status"]["code"] == 5
    assert {row["dataset"] for row in record["failures"]} == {"bad"}
    assert list(out.glob("*.coffea")) == []


def test_unreadable_files_and_failed_chunks_count_together(tmp_path: Path) -> None:
    def fails(events: Any) -> dict[str, Any]:
        if events.metadata["filename"].endswith(("2.root", "3.root")):
            raise ValueError("as told")
        return count(events)

    missing = [str(tmp_path / f"missing {n}.root") for n in range(2)]
    fileset = {"DY": [*missing, *files(tmp_path, 6)]}
    for most, done in ((4, 40), (3, 20)):
        with pytest.raises(PartialResult) as caught:
            pocket_exec.run(fileset, fails, schema=BaseSchema, retries=0, max_failures=most)
        assert caught.value.output["n"] == done
        assert ("more than max-failures (3)" in str(caught.value)) == (most == 3)


def test_a_file_in_two_datasets_that_cannot_be_read_is_missing_from_both(tmp_path: Path) -> None:
    good, shared = files(tmp_path, 1), str(tmp_path / "missing.root")
    fileset = {"one": [*good, shared], "two": [*good, shared]}
    with pytest.raises(PartialResult) as caught:
        pocket_exec.run(fileset, count, schema=BaseSchema, outputdir=tmp_path / "out", retries=0)
    assert [failure.dataset for failure in caught.value.failures] == ["one", "two"]
    written = sorted(path.name for path in (tmp_path / "out").glob("*.coffea"))
    assert written == ["output_all.partial.coffea", "output_one.partial.coffea", "output_two.partial.coffea"]


def test_without_skipped_files_the_rest_is_whole_however_many_they_are(tmp_path: Path) -> None:
    missing = [str(tmp_path / f"missing {n}.root") for n in range(12)]
    fileset = {"DY": [*missing, *files(tmp_path, 1)]}
    result = pocket_exec.run(fileset, count, schema=BaseSchema, retries=0, max_failures=0, skip_bad_files=True)
    assert result.whole
    assert len(result.failures) == 12
