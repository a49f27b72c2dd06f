"""Cancels a run's jobs once its client has gone: a program of its own, which needs nothing but the standard library.

It is told what to do by lines of JSON on its standard input, and does it when that ends, or when the client does: a
process that the client has forked may hold the other end of the pipe.
"""

from __future__ import annotations

import json
import os
import select
import shutil
import signal
import subprocess  # noqa: TID251 - it stands alone, without this package
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

READY = "ready"
CLIENT_SEEN_EVERY_S = 2.0
COMMAND_S = 30.0
ROUNDS_AT_S = (0, 3, 10, 25, 60, 120)
"""Seconds after the client's end: a submission that was under way then becomes known to the batch system later."""


class Orders:
    """What to do when the client is gone."""

    def __init__(self, said: dict[str, object]) -> None:
        self.ways = [[[str(word) for word in _list(words)] for words in _list(way)] for way in _list(said.get("ways"))]
        self.private = [str(path) for path in _list(said.get("private"))]
        self.submitting = bool(said.get("submitting"))
        self.log = Path(str(said["log"])) if said.get("log") else None


def _list(value: object) -> list[object]:
    return list(value) if isinstance(value, list) else []


def listen(client: int) -> Orders | None:
    """Return the last orders once the client has gone, or None when it says that all is well."""
    orders = Orders({})
    rest = b""
    while True:
        if select.select([0], [], [], CLIENT_SEEN_EVERY_S)[0]:
            read = os.read(0, 65536)
            if not read:
                return orders
            # A line without an end is one that the client could not finish.
            *lines, rest = (rest + read).split(b"\n")
            for line in lines:
                said = json.loads(line)
                if said.get("end"):
                    return None
                orders = Orders(said)
        elif os.getppid() != client:
            return orders


def carry_out(orders: Orders, client: int) -> None:
    """Cancel what there is, several times, and remove the private files."""
    if not orders.ways:
        for path in orders.private:
            remove(path)
        return
    note(orders, f"the run's process {client} has gone")
    start = time.monotonic()
    commands = [words for way in orders.ways for words in way]
    done: list[list[str]] = []
    for number, at in enumerate(ROUNDS_AT_S):
        # What succeeded once has nothing left to find, unless a submission was under way.
        if number > 1 and not orders.submitting and any(all(words in done for words in way) for way in orders.ways):
            break
        time.sleep(max(0.0, start + at - time.monotonic()))
        done += one_round(commands, orders)
        for path in orders.private:
            remove(path)
    note(orders, "done")


def one_round(commands: list[list[str]], orders: Orders) -> list[list[str]]:
    """Run all commands side by side, and return those that succeeded."""
    started: list[tuple[list[str], subprocess.Popen[bytes]]] = []
    for words in commands:
        try:
            with log_of(orders) as log:
                process = subprocess.Popen(
                    words, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
                )
        except OSError as error:
            note(orders, f"{words}: {error}")
        else:
            started.append((words, process))
    end = time.monotonic() + COMMAND_S
    return [words for words, process in started if succeeded(process, end, orders)]


def succeeded(process: subprocess.Popen[bytes], end: float, orders: Orders) -> bool:
    """Wait for a command's end, kill it if it takes too long, and return whether its exit status is 0."""
    try:
        status = process.wait(max(0.1, end - time.monotonic()))
    except subprocess.TimeoutExpired:
        try:
            os.killpg(process.pid, signal.SIGKILL)
        except OSError:
            process.kill()
        process.wait()
        note(orders, f"{process.args!r}: no end after {COMMAND_S:g} s")
        return False
    note(orders, f"{process.args!r}: exit status {status}")
    return status == 0


def log_of(orders: Orders) -> BinaryIO:
    """Open the log, or nothing in its place: a disk that is full or a ticket that has run out must stop no command."""
    with suppress(OSError):
        if orders.log is not None:
            return orders.log.open("ab")
    return Path(os.devnull).open("ab")


def remove(path: str) -> None:
    """Remove a file, or a directory with all that is in it."""
    if Path(path).is_dir() and not Path(path).is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with suppress(OSError):
            Path(path).unlink()


def note(orders: Orders, text: str) -> None:
    """Write a line into the log, where that can be written."""
    if orders.log is not None:
        with suppress(OSError), orders.log.open("a", encoding="utf-8") as log:
            log.write(f"{time.strftime('%Y-%m-%dT%H:%M:%SZ', time.gmtime())} guardian: {text}\n")


def main() -> None:
    """Listen to the client whose process id is the only argument."""
    client = int(sys.argv[1])
    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGTERM):
        # Not SIG_IGN: the commands would inherit that.
        signal.signal(number, lambda *_: None)
    os.write(1, f"{READY}\n".encode())
    os.close(1)
    os.open(os.devnull, os.O_WRONLY)
    orders = listen(client)
    if orders is not None:
        carry_out(orders, client)


if __name__ == "__main__":
    main()
