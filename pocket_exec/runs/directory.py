"""The output directory of one run: made, tried, locked, and given back."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from pocket_exec.errors import OutputDirectoryError
from pocket_exec.runs.atomic import free_bytes, remove_leftovers, size_text
from pocket_exec.runs.lock import check_lock, held_lock

SPARE_BYTES = 1_000_000
"""Room for run.json, the log and the lock; a file system with less counts as full."""


@dataclass(frozen=True)
class OutputDirectory:
    """A directory that this run alone writes to, for as long as ``open`` lasts."""

    path: Path
    """Absolute, so that a processor that changes the working directory does no harm."""

    @property
    def record_path(self) -> Path:
        """The run's record."""
        return self.path / "run.json"

    @property
    def log_dir(self) -> Path:
        """Where logs go; made by who writes the first."""
        return self.path / "log"

    @property
    def lock_path(self) -> Path:
        """The lock, there for the time of a run."""
        return self.path / "run.lock"

    @classmethod
    @contextmanager
    def open(cls, path: Path, command: str | None = None) -> Iterator[OutputDirectory]:
        """Make ``path`` with its parents, show that it can be written to, and hold its lock for the time of the block.

        ``command``: the run as the lock names it, by default this process's command line. A directory made here for a
        run that could not begin is taken away again. Raises OutputDirectoryError.
        """
        out = cls.check(path)
        made = _make(out.path)
        try:
            with held_lock(out.lock_path, command):
                remove_leftovers(out.path)
                made = []
                yield out
        finally:
            for directory in made:
                _remove_if_empty(directory)

    @classmethod
    def check(cls, path: Path) -> OutputDirectory:
        """Raise OutputDirectoryError for what keeps a run out of ``path``, as far as looking shows; change nothing."""
        out = cls(Path(os.path.abspath(path)))
        existing = _nearest(out.path)
        if not existing.is_dir():
            raise _unusable(path, f"{existing} is {_kind(existing)}, not a directory", "give another one (-o)")
        _check_writable(path, existing)
        free = free_bytes(existing)
        if free is not None and free < SPARE_BYTES:
            wanted = size_text(SPARE_BYTES)
            raise _unusable(path, f"{size_text(free)} free, {wanted} needed", "make room, or give another one (-o)")
        if existing == out.path:
            check_lock(out.lock_path)
        return out


def _nearest(path: Path) -> Path:
    """Return ``path`` or the nearest of its parents that is there; a dangling link is there."""
    for candidate in (path, *path.parents):
        if os.path.lexists(candidate):
            return candidate
    return path


def _kind(path: Path) -> str:
    if path.is_symlink() and not path.exists():
        return f"a link to {path.readlink()}, which is not there"
    return "a file"


def _check_writable(path: Path, existing: Path) -> None:
    try:
        read_only = bool(os.statvfs(existing).f_flag & os.ST_RDONLY)
    except OSError:
        read_only = False
    if read_only:
        raise _unusable(path, f"the file system of {existing} is read-only", "give another one (-o)")
    if not os.access(existing, os.W_OK | os.X_OK):
        raise _unusable(
            path, f"you may not write to {existing}", "give another one (-o), or see 'ls -ld' and your tickets"
        )


def _make(path: Path) -> list[Path]:
    """Make a directory and return what was made, innermost first."""
    missing = [candidate for candidate in (path, *path.parents) if not os.path.lexists(candidate)]
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        for directory in missing:
            _remove_if_empty(directory)
        advice = "make room" if error.errno in (errno.ENOSPC, errno.EDQUOT) else "give another one (-o)"
        raise _unusable(path, f"it cannot be made: {error.strerror}", advice) from error
    return missing


def _remove_if_empty(directory: Path) -> None:
    # It may never have been made, or somebody has put something into it.
    with suppress(OSError):
        directory.rmdir()


def _unusable(path: Path, reason: str, advice: str) -> OutputDirectoryError:
    return OutputDirectoryError(f"cannot use the output directory {path}: {reason}; {advice}")
