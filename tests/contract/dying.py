"""Ends a process at its n-th write, fsync, rename or removal: what ``kill -9`` or a dead node does at that moment.

Run as a program, it takes a ledger through every such instant of a small run, each in a process of its own, and prints
for each what had been computed before, and whether going on from there gave the right result.
"""

from __future__ import annotations

import json
import os
import random
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

KILLED = 9


class Mortal:
    """Counts what changes the disk; the last of it does not come to its end."""

    def __init__(self, last: int = 0) -> None:
        self._last = last
        self.calls: list[str] = []

    def install(self) -> None:
        """Count from now on; a write is torn, of the others none is begun."""
        os.fsync = self._counted("fsync", os.fsync)
        Path.replace = self._counted("rename", Path.replace)  # type: ignore[method-assign]
        Path.unlink = self._counted("removal", Path.unlink)  # type: ignore[method-assign]
        opened = os.fdopen

        def fdopen(descriptor: int, mode: str = "r", *rest: Any, **named: Any) -> Any:
            stream: Any = opened(descriptor, mode, *rest, **named)
            return _Torn(self, stream) if mode == "wb" else stream

        os.fdopen = fdopen  # type: ignore[assignment]

    def is_last(self, kind: str) -> bool:
        """Count one of a kind, and say whether it is the last."""
        self.calls.append(kind)
        return len(self.calls) == self._last

    def _counted(self, kind: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **named: Any) -> Any:
            if self.is_last(kind):
                os._exit(KILLED)
            return function(*arguments, **named)

        return call


class _Torn:
    """A file of which a write may come to its half only."""

    def __init__(self, mortal: Mortal, stream: BinaryIO) -> None:
        self._mortal, self._stream = mortal, stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, data: bytes) -> int:
        if self._mortal.is_last("write"):
            self._stream.write(bytes(data)[: len(data) // 2])
            self._stream.flush()
            os._exit(KILLED)
        return self._stream.write(data)

    def writelines(self, lines: Any) -> None:
        for line in lines:
            self.write(line)


def die_at_the_call_that_the_environment_says() -> None:
    """Install the counting in a command, which writes down at its end what there was to count."""
    import atexit

    mortal = Mortal(int(os.environ["DIES_AT"]))
    mortal.install()
    atexit.register(lambda: Path(os.environ["CALLS"]).write_text(json.dumps(mortal.calls)))


def main(directory: Path) -> None:
    """Print the number of instants, then for each a line: how it ended, what was computed before and after."""
    from coffea.processor.executor import WorkItem

    from pocket_exec.engine.executor import PocketExecutor
    from pocket_exec.runs import ledger
    from pocket_exec.runs.ledger import FileLedger

    ledger.FIRST_FLUSH_S, ledger.SHARE, ledger.ROOM, ledger.SEGMENTS = 0.0, 1e9, 600, 4
    work = [
        WorkItem("DY", f"{file}.root", "Events", 10 * chunk, 10 * chunk + 10, bytes([file]) * 16)
        for file in range(5)
        for chunk in range(3)
    ]

    def run(out: Path, seen: Path) -> Any:
        def function(item: WorkItem) -> Any:
            with seen.open("a") as told:
                told.write(f"{item.filename}:{item.entrystart}\n")
            number = random.Random(f"{item.filename}{item.entrystart}").random() * 10.0 ** (item.entrystart - 10)
            return {"out": {"x": number, "seen": [item.entrystart]}, "processed": {item}}

        return PocketExecutor(ledger=FileLedger(out, {"DY": "DY"}))(work, function, None)[0]

    def child(number: int, last: int) -> int:
        pid = os.fork()
        if not pid:
            mortal = Mortal(last)
            mortal.install()
            run(directory / f"{number}", directory / f"{number}.seen")
            (directory / f"{number}.calls").write_text(json.dumps(mortal.calls))
            os._exit(0)
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])

    assert child(0, 0) == 0
    calls = json.loads((directory / "0.calls").read_text())
    expected = run(directory / "plain", directory / "plain.seen")
    print(json.dumps(calls))
    for number in range(1, len(calls) + 1):
        status = child(number, number)
        seen = [directory / f"{number}.seen", directory / f"{number}.again"]
        right = run(directory / f"{number}", seen[1]) == expected
        before, after = (len(path.read_text().splitlines()) if path.exists() else 0 for path in seen)
        print(json.dumps({"status": status, "right": right, "twice": before + after - len(work)}))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
