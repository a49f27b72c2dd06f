"""Runs Dask's own worker program in this process, with the arguments that the settings say."""

from __future__ import annotations

import os
import random
import time

from pocket_exec.collector import collect_as_before
from pocket_exec.engine.leaving import LEAVES_AT
from pocket_exec.worker.preflight import WorkerFaultError
from pocket_exec.worker.settings import WorkerSettings
from pocket_exec.worker.statuses import WorkerExit

LEAVE_APART = 0.1
"""Part of their lifetime by which workers that came together leave apart, so that not all are missed at once."""


def arguments(settings: WorkerSettings, name: str, directory: str, lifetime_s: int | None = None) -> list[str]:
    """Return the arguments of ``dask worker``, which leaves after ``lifetime_s`` seconds.

    Its web page stays off, and the port that answers for it all the same on this machine: it knows no encryption.
    """
    words = [settings.scheduler, "--name", name, "--nthreads", str(settings.nthreads)]
    words += ["--memory-limit", str(settings.memory_limit), "--death-timeout", str(settings.death_timeout_s)]
    words += ["--local-directory", directory, "--no-dashboard", "--dashboard-address", "127.0.0.1:0", "--nanny"]
    if settings.tls is not None:
        words += ["--tls-ca-file", settings.tls.ca, "--tls-cert", settings.tls.cert, "--tls-key", settings.tls.key]
    given = {
        "--worker-port": settings.worker_port,
        "--nanny-port": settings.nanny_port,
        "--interface": settings.interface,
        "--lifetime": f"{lifetime_s}s" if lifetime_s is not None else None,
    }
    return words + [word for option, value in given.items() if value is not None for word in (option, value)]


def told_to_end() -> bool:
    """Whether the worker of this process has been told to end by its scheduler, or has ended already."""
    from distributed import Nanny
    from distributed.core import Status

    # A nanny that the scheduler's word has reached waits for the end of its worker, so as not to start another.
    nannies = list(Nanny._instances)
    return bool(nannies) and all(nanny.status is Status.closing_gracefully or not nanny.is_alive() for nanny in nannies)


def run(settings: WorkerSettings, name: str, directory: str) -> None:
    """Run the worker to its end.

    Raises:
        WorkerFaultError: it could not be started, or lost its scheduler.
    """
    import dask
    from distributed.cli import dask_worker

    collect_as_before()
    # Its HTTP server starts all the same; it tells nothing without these.
    dask.config.set({**settings.dask_config, "distributed.worker.http.routes": []})
    lifetime_s = None
    if settings.lifetime_s is not None:
        lifetime_s = int(settings.lifetime_s * (1 - LEAVE_APART * random.random()))
        os.environ[LEAVES_AT] = str(time.time() + lifetime_s)
    words = arguments(settings, name, directory, lifetime_s)
    try:
        dask_worker.main.main(args=words, prog_name="pocket-exec-worker", standalone_mode=False)
    except SystemExit as end:
        if end.code:
            raise WorkerFaultError(
                WorkerExit.NO_WORKER, "Dask's worker found no scheduler in time (death-timeout); see the lines above"
            ) from end
    except Exception as error:
        raise WorkerFaultError(
            WorkerExit.NO_WORKER, f"Dask's worker could not be started: {type(error).__name__}: {error}"
        ) from error
