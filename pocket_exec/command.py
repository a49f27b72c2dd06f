"""Starts processes: a list of words, no shell, a timeout; nothing else in this project does."""

from __future__ import annotations

import os
import select
import shlex
import signal
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from pocket_exec.errors import FarmError

_GRACE_S = 2.0


class CommandError(FarmError):
    """A command that could not be run to its end."""


class CommandMissingError(CommandError):
    """A command that is not there, or is no program."""


class CommandTimeoutError(CommandError):
    """A command that was stopped because it took too long."""


@dataclass(frozen=True)
class Completed:
    """A command that ended by itself; a returncode other than 0 is its caller's to judge."""

    args: tuple[str, ...]
    returncode: int
    """Exit status; ``-n`` when signal ``n`` ended it."""
    stdout: str
    stderr: str


class Run(Protocol):
    """``run`` below, or what a test puts in its place."""

    def __call__(
        self,
        args: Sequence[str],
        *,
        timeout_s: float,
        cwd: Path | None = None,
        env: Mapping[str, str | None] | None = None,
    ) -> Completed:
        """Run a command."""


def run(
    args: Sequence[str],
    *,
    timeout_s: float,
    cwd: Path | None = None,
    env: Mapping[str, str | None] | None = None,
) -> Completed:
    """Run a command and return its status and its output, read as UTF-8.

    Its input is empty; ``env`` changes variables of its environment, None takes one away. It has a process group of
    its own, which is killed after ``timeout_s`` seconds and at any exception here, Ctrl-C included. Raises
    ``CommandMissingError`` and ``CommandTimeoutError``.
    """
    try:
        process = subprocess.Popen(
            list(args),
            cwd=cwd,
            env=changed_environment(env) if env else None,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            encoding="utf-8",
            errors="replace",
            start_new_session=True,
        )
    except OSError as error:
        if cwd is not None and not cwd.is_dir():
            raise CommandError(f"cannot run {args[0]!r} in {cwd}: no such directory") from error
        raise CommandMissingError(f"cannot run {args[0]!r}: {error.strerror}; is it installed and in PATH?") from error
    try:
        stdout, stderr = process.communicate(timeout=timeout_s)
    except subprocess.TimeoutExpired as expired:
        said = (expired.stderr or b"").decode("utf-8", "replace").strip()
        said = f"; it said: {said}" if said else ""
        raise CommandTimeoutError(f"{shlex.join(args)}: no end after {timeout_s:g} s{said}") from None
    finally:
        _end(process)
    return Completed(tuple(args), process.returncode, stdout, stderr)


def changed_environment(changes: Mapping[str, str | None]) -> dict[str, str]:
    """Return this process's environment with variables changed, and without those that are None."""
    merged = {**os.environ, **changes}
    return {name: value for name, value in merged.items() if value is not None}


class Detached:
    """A process that outlives this one; it reads lines, and the end of this process is the end of its input."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process

    @property
    def pid(self) -> int:
        """Its process id, which is its session's as well."""
        return self._process.pid

    @property
    def ended(self) -> bool:
        """Whether it has ended."""
        return self._process.poll() is not None

    def send(self, line: str) -> None:
        """Send a line.

        Raises:
            CommandError: it reads no more.
        """
        if self._process.stdin is None or self._process.stdin.closed:
            raise CommandError(f"process {self.pid} reads no more")
        left = memoryview(f"{line}\n".encode())
        try:
            while left:
                left = left[os.write(self._process.stdin.fileno(), left) :]
        except OSError as error:
            raise CommandError(f"process {self.pid} reads no more: {error.strerror}") from error

    def first_line(self, timeout_s: float) -> str:
        """Return the first line that it prints, "" if it ends or the time is over before; it can be asked for once."""
        stdout = self._process.stdout
        assert stdout is not None
        end = time.monotonic() + timeout_s
        read = b""
        with stdout:
            while not read.endswith(b"\n") and (left := end - time.monotonic()) > 0:
                if select.select([stdout], [], [], left)[0]:
                    chunk = os.read(stdout.fileno(), 1024)
                    read += chunk
                    if not chunk:
                        break
        return read.decode("utf-8", "replace").strip()

    def release(self, timeout_s: float) -> bool:
        """End its input, and return whether it ends within the time; it is left to itself if not."""
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                with suppress(OSError):
                    pipe.close()
        try:
            self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            # So that it does not stay a zombie, should this process go on for longer.
            threading.Thread(target=self._process.wait, name=f"end of {self.pid}", daemon=True).start()
            return False
        return True


def detach(args: Sequence[str]) -> Detached:
    """Start a process in a session of its own, at ``/``, whose only ties to this one are two pipes.

    Raises ``CommandMissingError``.
    """
    try:
        process = subprocess.Popen(
            list(args),
            cwd="/",
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            bufsize=0,
            start_new_session=True,
        )
    except OSError as error:
        raise CommandMissingError(f"cannot run {args[0]!r}: {error.strerror}") from error
    return Detached(process)


def _end(process: subprocess.Popen[str]) -> None:
    if process.poll() is None:
        _signal_group(process, signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):
            process.wait(_GRACE_S)
        # The leader may be gone and leave children behind.
        _signal_group(process, signal.SIGKILL)
        process.wait()
    for pipe in (process.stdout, process.stderr):
        if pipe is not None:
            pipe.close()


def _signal_group(process: subprocess.Popen[str], signum: signal.Signals) -> None:
    # A session leader's group has its pid; the group may be empty by now.
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signum)
