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
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

READY = "ready"
CLIENT_SEEN_EVERY_S = 2.0
COMMAND_S = 30.0
ROUNDS_AT_S = (0, 3, 10, 25, 60, 120, 200, 300)
"""Seconds after the client's end: a submission that was under way then becomes known to the batch system later. Its
command may go on without the client, and sbatch tries for two minutes to reach a controller that is busy."""
AGAIN_EVERY_S = 600
"""Between the rounds after those: a batch system that is down comes back, as a rule within hours."""
GIVEN_UP_S = 12 * 3600


class Orders:
    """What to do when the client is gone."""

    def __init__(self, said: dict[str, object]) -> None:
        self.ways = [[[str(word) for word in _list(words)] for words in _list(way)] for way in _list(said.get("ways"))]
        self.left = [[str(word) for word in _list(words)] for words in _list(said.get("left"))]
        changes = said.get("environment")
        self.environment: dict[str, str | None] = dict(changes) if isinstance(changes, dict) else {}
        self.private = [str(path) for path in _list(said.get("private"))]
        self.submitting = bool(said.get("submitting"))
        self.jobs_file = Path(str(said["jobs_file"])) if said.get("jobs_file") else None
        self.log = Path(str(said["log"])) if said.get("log") else None


def _list(value: object) -> list[object]:
    return list(value) if isinstance(value, list) else []


class Ticket:
    """The Kerberos tickets in a file, kept in memory: sshd removes that file when its user logs out.

    ``KRB5CCNAME`` or its default names it (MIT Kerberos, "ccache types"); caches of other kinds stay by themselves.
    """

    def __init__(self) -> None:
        name = os.environ.get("KRB5CCNAME") or f"FILE:/tmp/krb5cc_{os.getuid()}"
        kind, colon, path = name.rpartition(":")
        self.path = Path(path) if kind in ("FILE", "") and (colon or name.startswith("/")) else None
        self._written = 0.0
        self._content = b""

    def look(self) -> None:
        """Read the file, if it is another one than the last time."""
        with suppress(OSError):
            if self.path is not None and (written := self.path.stat().st_mtime) != self._written:
                self._content, self._written = self.path.read_bytes(), written

    def restore(self) -> str | None:
        """Write a private file in place of one that has gone, for the commands to use, and return its directory."""
        if self.path is None or self.path.exists() or not self._content:
            return None
        with suppress(OSError):
            directory = tempfile.mkdtemp(prefix="pocket-exec-ticket-")
            path = Path(directory) / "krb5cc"
            path.touch(mode=0o600)
            path.write_bytes(self._content)
            os.environ["KRB5CCNAME"] = f"FILE:{path}"
            return directory
        return None


def listen(client: int, ticket: Ticket) -> Orders | None:
    """Return the last orders once the client has gone, or None when it says that all is well."""
    orders = Orders({})
    rest = b""
    while True:
        ticket.look()
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
    for number, at in enumerate(rounds()):
        # What succeeded once has nothing left to find, unless a submission was under way.
        enough = len(ROUNDS_AT_S) if orders.submitting else 2
        succeeded_once = any(all(words in done for words in way) for way in orders.ways)
        if number >= enough and (succeeded_once or nothing_left(orders)):
            note(orders, "done: no job is left")
            if orders.jobs_file is not None:
                remove(str(orders.jobs_file))
            return
        time.sleep(max(0.0, start + at - time.monotonic()))
        done += one_round(commands, orders)
        for path in orders.private:
            remove(path)
    note(orders, f"given up after {GIVEN_UP_S / 3600:g} hours; there may be jobs left")


def rounds() -> Iterator[float]:
    """Yield when the commands are run, in seconds after the client's end."""
    yield from ROUNDS_AT_S
    yield from range(ROUNDS_AT_S[-1] + AGAIN_EVERY_S, GIVEN_UP_S, AGAIN_EVERY_S)


def one_round(commands: list[list[str]], orders: Orders) -> list[list[str]]:
    """Run all commands side by side, and return those that succeeded."""
    started = [(words, launch(words, orders)) for words in commands]
    end = time.monotonic() + COMMAND_S
    return [words for words, process in started if succeeded(process, end, orders)]


def nothing_left(orders: Orders) -> bool:
    """Return whether the batch system says that no job is left: a cancellation that finds none may fail for that."""
    try:
        return bool(orders.left) and all(prints_nothing(words, orders) for words in orders.left)
    except OSError as error:
        note(orders, f"whether jobs are left is not known: {error}")
        return False


def prints_nothing(words: list[str], orders: Orders) -> bool:
    """Return whether a command succeeds, and prints nothing."""
    with tempfile.TemporaryFile() as answer:
        process = launch(words, orders, answer)
        return succeeded(process, time.monotonic() + COMMAND_S, orders) and not os.fstat(answer.fileno()).st_size


def launch(words: list[str], orders: Orders, answer: BinaryIO | None = None) -> subprocess.Popen[bytes] | None:
    """Start a command that prints into ``answer``, or into the log; None where it does not start."""
    try:
        with log_of(orders) as log:
            return subprocess.Popen(
                words,
                env=environment(orders),
                stdin=subprocess.DEVNULL,
                stdout=answer or log,
                stderr=log,
                start_new_session=True,
            )
    except OSError as error:
        note(orders, f"{words}: {error}")
        return None


def environment(orders: Orders) -> dict[str, str]:
    """Return the environment of the commands: not a word of theirs, for all to read, but a secret may be among it."""
    changed = {**os.environ, **orders.environment}
    return {name: value for name, value in changed.items() if value is not None}


def succeeded(process: subprocess.Popen[bytes] | None, end: float, orders: Orders) -> bool:
    """Wait for a command's end, kill it if it takes too long, and return whether its exit status is 0."""
    if process is None:
        return False
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
    ticket = Ticket()
    orders = listen(client, ticket)
    if orders is not None:
        private = ticket.restore()
        try:
            carry_out(orders, client)
        finally:
            if private is not None:
                remove(private)


if __name__ == "__main__":
    main()
