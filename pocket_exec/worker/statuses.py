"""Exit statuses of a worker's script that say what kept the worker from starting."""

from __future__ import annotations

from enum import IntEnum


class WorkerExit(IntEnum):
    """Why a worker's job has ended before, or instead of, its Dask worker; each comes with a line in the job's log."""

    SETUP_COMMAND = 70
    """``env-script``, a setup command or a host setup command failed."""
    NO_PYTHON = 71
    """There is no Python, or it does not start."""
    NO_RUNTIME = 72
    """Neither apptainer nor singularity is on the machine."""
    NO_IMAGE = 73
    """The image is not there, or the runtime cannot start it."""
    UNREACHABLE = 74
    """The scheduler's host and port cannot be reached."""
    VERSIONS = 75
    """Another Python, coffea, dask or distributed than the client's."""
    MODULES = 76
    """Modules that the tasks need are not there."""
    DIRECTORY = 77
    """A directory is missing or cannot be written."""
    NO_WORKER = 78
    """Dask's worker could not be started, or lost its scheduler."""
    FILES = 79
    """The code archive, the settings or the certificates are missing."""

    @property
    def machines_fault(self) -> bool:
        """Whether another machine may do better; the others fail alike everywhere, unless one machine is broken."""
        return self not in (WorkerExit.SETUP_COMMAND, WorkerExit.NO_PYTHON, WorkerExit.VERSIONS, WorkerExit.MODULES)


LOG_MARK = "pocket-exec worker"
"""A line of a job's log that begins so is for the user."""
