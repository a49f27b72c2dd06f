"""The file that knows a run's jobs while they are in the queue, for whoever has to cancel them by hand."""

from __future__ import annotations

import json
import logging
import os
import shlex
import socket
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO

from pocket_exec.errors import OutputDirectoryError
from pocket_exec.runs.atomic import atomic_write

log = logging.getLogger(__name__)

JOBS_FILE = "jobs.json"
"""Its name, in the run's own directory of the output directory's ``log/``."""


class JobsFile:
    """``jobs.json``: the run's tag, its jobs' ids, and the commands that cancel them; gone once no job is left.

    Of the variables that the commands need only the names are written: their values may be secret.

    A disk that is full or read-only is warned of once, and stops no run.
    """

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._warned = False

    def write(
        self,
        *,
        system: str,
        tag: str,
        jobs: Mapping[str, str],
        commands: Sequence[Sequence[str]],
        environment: Mapping[str, str | None],
    ) -> None:
        """Write all that is known now; ``jobs`` are ids by the names of their workers.

        ``environment`` is what the commands need changed in the user's.
        """
        if self._path is None:
            return
        content = {
            "batch_system": system,
            "tag": tag,
            "host": socket.gethostname(),
            "pid": os.getpid(),
            "written": datetime.now(UTC).isoformat(timespec="seconds"),
            "cancel": [shlex.join([*_without(environment), *words]) for words in commands],
            "submit_env": sorted(name for name, value in environment.items() if value is not None),
            "jobs": dict(jobs),
        }
        text = json.dumps(content, indent=1).encode()

        def write(stream: BinaryIO) -> None:
            stream.write(text)

        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            atomic_write(self._path, write)
        except (OSError, OutputDirectoryError) as error:
            if not self._warned:
                log.warning("the jobs of this run are not written down: %s", error)
            self._warned = True

    def remove(self) -> None:
        """Remove it: no job is left."""
        if self._path is not None:
            try:
                self._path.unlink(missing_ok=True)
            except OSError as error:
                log.warning("cannot remove %s: %s", self._path, error)


def warn_of_earlier_runs(logs: Path) -> None:
    """Warn of jobs that runs which ended together with their guardians may have left, by their files in ``logs``."""
    for path in sorted(logs.glob(f"*/{JOBS_FILE}")):
        try:
            said = json.loads(path.read_text())
            whose = "run {tag}, process {pid} on {host}, {written}".format_map(said)
            commands = [command for command in said["cancel"] if said["tag"] in command]
        except FileNotFoundError:
            # Its guardian has done its work.
            continue
        except (OSError, ValueError, LookupError, TypeError) as error:
            whose, commands = f"not known: {error}", []
        log.warning(
            "jobs of an earlier run may still be in the queue (%s): unless %s goes by itself, which the guardian of "
            "that run sees to, cancel them and remove it%s",
            whose,
            path,
            "".join(f"\n  {command}" for command in commands),
        )


def _without(environment: Mapping[str, str | None]) -> list[str]:
    """Return the words before a command that take away variables which the user has set."""
    unset = [name for name, value in environment.items() if value is None and name in os.environ]
    return ["env", *(word for name in unset for word in ("-u", name))] if unset else []
