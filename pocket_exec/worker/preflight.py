"""Looks, before Dask is imported, at whether a worker can work here; standard library only."""

from __future__ import annotations

import getpass
import importlib.metadata
import importlib.util
import os
import re
import socket
import ssl
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

from pocket_exec.worker.settings import TLSFiles, WorkerSettings
from pocket_exec.worker.statuses import WorkerExit

DECIDING = ("coffea", "dask", "distributed")
"""Packages whose versions must be the client's; a difference in the others is told, and goes on."""
CONNECT_TIMEOUT_S = 5.0
"""A scheduler that is busy with other things answers late."""
CONNECT_TRIES = 6
PAUSE_S = 1.0

_SCRATCH = ("_CONDOR_SCRATCH_DIR", "SLURM_TMPDIR", "TMPDIR")


class WorkerFaultError(Exception):
    """What keeps a worker from starting: one line for the user, and the exit status."""

    def __init__(self, status: WorkerExit, text: str) -> None:
        super().__init__(text)
        self.status = status


def check_files(settings: WorkerSettings) -> None:
    """Look for the certificates."""
    for name in (settings.tls.ca, settings.tls.cert, settings.tls.key) if settings.tls else ():
        if not os.access(name, os.R_OK):
            raise WorkerFaultError(
                WorkerExit.FILES,
                f"the certificate {name} cannot be read here: the run that made it is over, or its directory is not "
                "visible here (see mounts, and shared-filesystem: false)",
            )


def private_directory(settings: WorkerSettings, name: str) -> str:
    """Make this worker's own directory and return its path: that of ``local-directory``, or in the job's scratch."""
    if settings.local_directory is not None:
        places = [re.sub(r"\$(?:USER\b|\{USER\})", lambda _: _user(), settings.local_directory)]
    else:
        places = [place for variable in _SCRATCH if (place := os.environ.get(variable))]
        places += [tempfile.gettempdir(), str(Path.cwd())]
    problem = ""
    for place in places:
        try:
            if settings.local_directory is not None:
                Path(place).mkdir(parents=True, exist_ok=True)
            return tempfile.mkdtemp(prefix=f"{name}-", dir=place)
        except OSError as error:
            problem = problem or f"{place}: {error.strerror}"
    raise WorkerFaultError(WorkerExit.DIRECTORY, f"no directory for Dask's files: {problem}; see local-directory")


def _user() -> str:
    try:
        return os.environ.get("USER") or getpass.getuser()
    except (KeyError, OSError):
        return str(os.getuid())


def compare_versions(wanted: Mapping[str, str]) -> str:
    """Compare versions of packages with the client's, and return what differs in the ones that need not be equal."""
    differing = {package: _version(package) for package in wanted if package != "python"}
    differing = {package: here for package, here in differing.items() if here != wanted[package]}
    deciding = [package for package in DECIDING if package in differing]
    if deciding:
        raise WorkerFaultError(
            WorkerExit.VERSIONS,
            f"Python at {sys.executable} has " + _side_by_side(deciding, differing, wanted),
        )
    return _side_by_side(sorted(differing), differing, wanted)


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _side_by_side(packages: list[str], here: Mapping[str, str | None], there: Mapping[str, str]) -> str:
    return ", ".join(
        f"{package} {here[package]} ({there[package]} where the run was started)"
        if here[package]
        else f"no {package} ({there[package]} where the run was started)"
        for package in packages
    )


def check_modules(names: tuple[str, ...]) -> None:
    """Look for the modules that tasks need, without importing them."""
    missing = [name for name in names if not _is_there(name)]
    if missing:
        raise WorkerFaultError(WorkerExit.MODULES, f"Python at {sys.executable} has no module {', '.join(missing)}")


def _is_there(name: str) -> bool:
    try:
        return importlib.util.find_spec(name) is not None
    except (ImportError, ValueError):
        return False


def check_interface(name: str | None) -> None:
    """Look for the network interface that the worker is to listen on."""
    there = [interface for _, interface in socket.if_nameindex()]
    if name is not None and name not in there:
        raise WorkerFaultError(
            WorkerExit.NO_WORKER,
            f"no network interface {name} on {socket.gethostname()}, which has {', '.join(there)} (worker-interface)",
        )


def check_scheduler(
    address: str, tls: TLSFiles | None, *, tries: int = CONNECT_TRIES, pause_s: float = PAUSE_S
) -> None:
    """Connect to the scheduler and shake hands: a scheduler is told nothing, and logs less, than without the latter."""
    host, port = _host_and_port(address)
    for attempt in range(tries):
        if attempt:
            time.sleep(pause_s)
        try:
            with socket.create_connection((host, port), CONNECT_TIMEOUT_S) as connection:
                if tls is not None:
                    _context(tls).wrap_socket(connection).close()
                return
        except ssl.SSLError as error:
            problem = f"the scheduler at {host}:{port} answers, but not with this run's certificate ({error})"
            if isinstance(error, ssl.SSLCertVerificationError):
                break
        except OSError as error:
            problem = (
                f"the scheduler at {host}:{port} cannot be reached from {socket.gethostname()} "
                f"({error.strerror or error}); is the run still there, and the port open to this machine? "
                "see scheduler-host, scheduler-interface and scheduler-ports"
            )
    raise WorkerFaultError(WorkerExit.UNREACHABLE, problem)


def _host_and_port(address: str) -> tuple[str, int]:
    host, _, port = address.partition("://")[2].rpartition(":")
    return host.strip("[]"), int(port)


def _context(tls: TLSFiles) -> ssl.SSLContext:
    """Return what Dask uses (``distributed.security``): one authority has signed both sides, and names do not count."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.load_verify_locations(tls.ca)
    context.load_cert_chain(tls.cert, tls.key)
    return context
