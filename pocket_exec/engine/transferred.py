"""Files that come with a worker's job: they are in a directory that only the worker knows."""

from __future__ import annotations

import os
from pathlib import Path

JOB_DIRECTORY = "POCKET_EXEC_JOB_DIRECTORY"
"""Variable of a worker's environment: the directory that the files of its job are in."""


class Transferred(str):
    """The name of such a file, relative to that directory; unpickled on a worker, it is one that opens the file."""

    __slots__ = ()

    def __reduce__(self) -> tuple[object, ...]:
        return on_worker, (str(self),)


def on_worker(name: str) -> str:
    """Return the name under which this process opens the file.

    It stays relative, and so the same on all workers, unless ``working-dir`` or a setup command has led elsewhere.
    """
    directory = os.environ.get(JOB_DIRECTORY)
    if directory is None or Path(directory).samefile(os.curdir):
        return name
    return str(Path(directory, name))
