"""Decides where the logs and the private files of a run's jobs lie, and makes these directories."""

from __future__ import annotations

import logging
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from pocket_exec.batch.jobs_file import JOBS_FILE
from pocket_exec.errors import ExecutorError
from pocket_exec.executors.host import directory_fault
from pocket_exec.options.batch import BatchOptions

log = logging.getLogger(__name__)

REMOVED_S = 5.0
"""How long a directory with keys may resist."""
WITHOUT_OUTPUT = "pocket-exec-logs"
"""Directory for the logs of runs without an output directory, in the current one."""


@dataclass(frozen=True)
class RunPlaces:
    """Where the files of one run's jobs are."""

    logs: Path
    """Of the jobs' own output, a directory of this run's; it stays."""
    private: Path
    """Of what the workers read, keys among it; for the user alone, and removed at the end."""
    jobs_file: Path
    """Which jobs there are, while there are any; this run's own, since an earlier one's guardian may be at work."""

    @property
    def directories(self) -> tuple[Path, ...]:
        """The directories of both kinds."""
        return (self.logs, self.private)

    @property
    def guardian_log(self) -> Path:
        """Where the guardian process writes what it did, if it had to do something."""
        return self.logs / "guardian.log"


def run_places(options: BatchOptions, outputdir: Path | None, tag: str) -> RunPlaces:
    """Return the places of the run with this tag; nothing is made.

    The private files are in the output directory, which the workers see if they share a file system with this machine,
    unless no job may be submitted from there.
    """
    base = Path.cwd() / WITHOUT_OUTPUT if outputdir is None else outputdir.absolute() / "log"
    logs = base if options.log_directory is None else _expanded(options.log_directory)
    private = logs if outputdir is None or directory_fault("", base, options.no_submit_from) else base
    known = logs if outputdir is None else base
    return RunPlaces(logs / tag, private / tag / "private", known / tag / JOBS_FILE)


def _expanded(path: str) -> Path:
    return Path(os.path.expandvars(path)).expanduser().absolute()


@contextmanager
def made(places: RunPlaces) -> Iterator[None]:
    """Make the directories; at the end the private one is removed, and those in which nothing was left.

    Raises:
        ExecutorError: they cannot be made.
    """
    try:
        places.logs.mkdir(parents=True, exist_ok=True)
        places.private.parent.mkdir(parents=True, exist_ok=True)
        places.private.mkdir(mode=0o700)
    except OSError as error:
        raise ExecutorError(f"log-directory: {error.filename}: {error.strerror}") from error
    try:
        yield
    finally:
        _remove(places.private)
        for directory in (places.private.parent, places.jobs_file.parent, places.logs, places.logs.parent):
            if directory.name in (places.logs.name, WITHOUT_OUTPUT):
                with suppress(OSError):
                    directory.rmdir()


def _remove(private: Path) -> None:
    """Remove a directory with keys; where a job still writes to it, or has a file open on NFS, a little later."""
    end = time.monotonic() + REMOVED_S
    while True:
        shutil.rmtree(private, ignore_errors=True)
        if not private.exists():
            return
        if time.monotonic() > end:
            # It may be gone by now.
            with suppress(FileNotFoundError):
                names = ", ".join(sorted(path.name for path in private.iterdir()))
                log.warning("%s: cannot be removed; it still holds %s", private, names or "nothing")
            return
        time.sleep(0.1)
