"""A run of runner.py that measures what its ledger takes of the engine's call.

    python ledger_share.py SHARE RUNNER_ARGUMENTS...

Leaves in the file SHARE the seconds that the engine's call took, and those of them that its thread spent in the ledger:
keys, pickles, checksums, files, and waiting for the disk. Where SHARE is ``profile``, the last line printed says where
all of the time goes.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

# Those who start this have it beside them.
sys.path.insert(0, str(Path(__file__).absolute().parents[1]))

from profiling import profile

from pocket_exec.cli import runner
from pocket_exec.engine.executor import PocketExecutor
from pocket_exec.runs.ledger import FileLedger

seconds = {"call": 0.0, "ledger": 0.0}


@contextmanager
def timed(what: str) -> Iterator[None]:
    """Add what the block takes."""
    begin = time.perf_counter()
    try:
        yield
    finally:
        seconds[what] += time.perf_counter() - begin


def watch(of: type, method: str, what: str) -> None:
    """Time each call of a method that returns a value."""
    plain = getattr(of, method)

    def call(self: Any, *arguments: Any) -> Any:
        with timed(what):
            # What is known is read as the engine takes it.
            out = plain(self, *arguments)
            return list(out) if method == "known" else out

    setattr(of, method, call)


def main(share: str, *arguments: str) -> None:
    """Run, and leave what it took."""
    if share == "profile":
        sys.argv = ["runner.py", *arguments]
        print("\n" + json.dumps(profile(runner)))
        return
    watch(PocketExecutor, "__call__", "call")
    for method in ("known", "note", "flush"):
        watch(FileLedger, method, "ledger")
    sys.argv = ["runner.py", *arguments]
    try:
        runner()
    finally:
        Path(share).write_text(json.dumps(seconds))


if __name__ == "__main__":
    main(*sys.argv[1:])
