"""Runs Dask's own worker program in this process, with the arguments that the settings say."""

from __future__ import annotations

from pocket_exec.worker.preflight import WorkerFaultError
from pocket_exec.worker.settings import WorkerSettings
from pocket_exec.worker.statuses import WorkerExit

LEAVE_APART = 0.1
"""Part of their lifetime by which workers that came together leave apart, so that not all are missed at once."""


def arguments(settings: WorkerSettings, name: str, directory: str) -> list[str]:
    """Return the arguments of ``dask worker``.

    Its web page stays off, and the port that answers for it all the same on this machine: it knows no encryption.
    """
    words = [settings.scheduler, "--name", name, "--nthreads", str(settings.nthreads)]
    words += ["--memory-limit", str(settings.memory_limit), "--death-timeout", str(settings.death_timeout_s)]
    words += ["--local-directory", directory, "--no-dashboard", "--dashboard-address", "127.0.0.1:0"]
    words.append("--nanny" if settings.nanny else "--no-nanny")
    if settings.tls is not None:
        words += ["--tls-ca-file", settings.tls.ca, "--tls-cert", settings.tls.cert, "--tls-key", settings.tls.key]
    given = {
        "--worker-port": settings.worker_port,
        "--nanny-port": settings.nanny_port if settings.nanny else None,
        "--interface": settings.interface,
        **_lifetime(settings.lifetime_s),
    }
    return words + [word for option, value in given.items() if value is not None for word in (option, value)]


def told_to_end() -> bool:
    """Whether the worker of this process has been told to end by its scheduler, or has ended already."""
    from distributed import Nanny
    from distributed.core import Status

    # A nanny that the scheduler's word has reached waits for the end of its worker, so as not to start another.
    nannies = list(Nanny._instances)
    return bool(nannies) and all(nanny.status is Status.closing_gracefully or not nanny.is_alive() for nanny in nannies)


def _lifetime(longest_s: int | None) -> dict[str, str]:
    if longest_s is None:
        return {}
    # Dask adds up to the stagger, or takes it away.
    stagger = longest_s * LEAVE_APART / 2
    return {"--lifetime": f"{longest_s - stagger:.0f}s", "--lifetime-stagger": f"{stagger:.0f}s"}


def run(settings: WorkerSettings, name: str, directory: str) -> None:
    """Run the worker to its end.

    Raises:
        WorkerFaultError: it could not be started, or lost its scheduler.
    """
    import dask
    from distributed.cli import dask_worker

    # Its HTTP server starts all the same; it tells nothing without these.
    dask.config.set({**settings.dask_config, "distributed.worker.http.routes": []})
    try:
        dask_worker.main.main(
            args=arguments(settings, name, directory), prog_name="pocket-exec-worker", standalone_mode=False
        )
    except SystemExit as end:
        if end.code:
            raise WorkerFaultError(
                WorkerExit.NO_WORKER, "Dask's worker found no scheduler in time (death-timeout); see the lines above"
            ) from end
    except Exception as error:
        raise WorkerFaultError(
            WorkerExit.NO_WORKER, f"Dask's worker could not be started: {type(error).__name__}: {error}"
        ) from error
