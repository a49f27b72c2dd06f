"""Starts processes: a list of words, no shell, a timeout; nothing else in this project does."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
from collections.abc import Sequence
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

    def __call__(self, args: Sequence[str], *, timeout_s: float, cwd: Path | None = None) -> Completed:
        """Run a command."""


def run(args: Sequence[str], *, timeout_s: float, cwd: Path | None = None) -> Completed:
    """Run a command and return its status and its output, read as UTF-8.

    Its input is empty. It has a process group of its own, which is killed after ``timeout_s`` seconds and at any
    exception here, Ctrl-C included. Raises ``CommandMissingError`` and ``CommandTimeoutError``.
    """
    try:
        process = subprocess.Popen(
            list(args),
            cwd=cwd,
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
    except subprocess.TimeoutExpired:
        raise CommandTimeoutError(f"{shlex.join(args)}: no end after {timeout_s:g} s") from None
    finally:
        _end(process)
    return Completed(tuple(args), process.returncode, stdout, stderr)


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
