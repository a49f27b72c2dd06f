"""Runs the command line as a user does, in this process, and hands back what it printed and its exit status."""

from __future__ import annotations

import importlib
import io
import json
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

from pocket_exec.cli.commands import program, run_command
from pocket_exec.cli.program import execute

COUNT = """\
from coffea.nanoevents import BaseSchema
from coffea.processor import ProcessorABC


class Count(ProcessorABC):
    def process(self, events):
        meta = events.metadata
        return {"events": len(events), "files": {meta["filename"]}, "chunks": [meta["entrystart"]]}


schema = BaseSchema
processor = Count()
"""
"""A cfg.py without its fileset."""


@dataclass(frozen=True)
class Ended:
    """How a command ended."""

    status: int
    out: str
    err: str


def runner(*words: object) -> Ended:
    """Run ``runner.py`` with ``words``."""
    return _called(lambda: execute(run_command, "runner.py"), ("runner.py", *words))


def pocket_exec(*words: object) -> Ended:
    """Run ``pocket-exec`` with ``words``."""
    return _called(lambda: execute(program, "pocket-exec"), ("pocket-exec", *words))


def refused(*words: object, status: int = 3) -> str:
    """Run ``runner.py``, which must end before it begins, with one message and no traceback of this project's own."""
    ended = runner(*words)
    assert ended.status == status, ended
    assert ended.out == ""
    assert "bug in pocket-exec" not in ended.err
    assert not re.search(r'File "[^"]*/pocket_exec/', ended.err), ended.err
    return ended.err


def _called(call: Callable[[], int], words: Sequence[object]) -> Ended:
    out, err = io.StringIO(), io.StringIO()
    modules, path = set(sys.modules), list(sys.path)
    here = str(Path.cwd())
    try:
        with mock.patch.object(sys, "argv", [str(word) for word in words]), redirect_stdout(out), redirect_stderr(err):
            status = call()
    finally:
        sys.path[:] = path
        # The next command may read another text of the same name.
        for name in set(sys.modules) - modules:
            if str(getattr(sys.modules[name], "__file__", None) or "").startswith(here):
                del sys.modules[name]
        importlib.invalidate_caches()
    return Ended(status, out.getvalue(), err.getvalue())


def cfg_of(fileset: object, extra: str = "", text: str = COUNT) -> str:
    """Return the text of a cfg.py that counts the events of ``fileset``."""
    return f"{text}\nfileset = {_plain(fileset)!r}\n{extra}"


def _plain(fileset: object) -> object:
    if isinstance(fileset, Mapping):
        return {name: _plain(entry) for name, entry in fileset.items()}
    if isinstance(fileset, list):
        return [_plain(entry) for entry in fileset]
    return str(fileset) if isinstance(fileset, Path) else fileset


def record(outputdir: str | Path) -> dict[str, Any]:
    """Return ``run.json``."""
    content: dict[str, Any] = json.loads((Path(outputdir) / "run.json").read_text())
    return content


def results(outputdir: str | Path) -> list[str]:
    """Return the names of the result files, sorted."""
    return sorted(path.name for path in Path(outputdir).glob("*.coffea"))
