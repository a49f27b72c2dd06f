"""The grid proxy that remote data are read with: found, looked at, named to this process, brought to the workers."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from pocket_exec.errors import ExecutorError
from pocket_exec.options.model import BatchOptions, GeneralOptions

log = logging.getLogger(__name__)

VARIABLE = "X509_USER_PROXY"
SHORT = timedelta(hours=1)
OPTION = "voms-proxy"
COPY = "x509up"
_EACH_MACHINES_OWN = ("/tmp", "/var/tmp", "/run", "/dev/shm")
RENEW = "voms-proxy-init -voms cms -rfc --valid 168:0"


@contextmanager
def proxy_named(options: GeneralOptions, *, looked_at_later: bool = False) -> Iterator[None]:
    """Set X509_USER_PROXY to the option ``voms-proxy`` for the time of the block; without the option nothing changes.

    With ``looked_at_later`` it is looked at with all else that goes to the workers (``worker_proxy``).

    Raises:
        ExecutorError: the proxy is missing or expired, unless ``ignore-grid-certificate`` is set.
    """
    if options.voms_proxy is None:
        yield
        return
    path = _expanded(options.voms_proxy)
    if not (options.ignore_grid_certificate or looked_at_later):
        left = _left(path, OPTION)
        if left < SHORT:
            _warn_short(path, left)
    before = os.environ.get(VARIABLE)
    os.environ[VARIABLE] = str(path)
    try:
        yield
    finally:
        if before is None:
            os.environ.pop(VARIABLE, None)
        else:
            os.environ[VARIABLE] = before


@dataclass(frozen=True)
class Place:
    """Where a grid proxy was found."""

    path: Path
    said_by: str
    """The option or variable that names it; empty for the one where the grid's tools put it."""


def proxy_place(options: GeneralOptions) -> Place | None:
    """Return the proxy that the workers are to read data with: that of ``voms-proxy``, X509_USER_PROXY, or in /tmp."""
    if options.voms_proxy is not None:
        return Place(_expanded(options.voms_proxy), OPTION)
    if said := os.environ.get(VARIABLE):
        return Place(_expanded(said), VARIABLE)
    usual = usual_place()
    return Place(usual, "") if usual.is_file() else None


def usual_place() -> Path:
    """Return where the grid's tools put a proxy."""
    return Path(f"/tmp/x509up_u{os.getuid()}")


def worker_proxy(options: GeneralOptions, runs_for_s: float | None) -> Path | None:
    """Return the grid proxy that goes with the jobs, or None where there is none to go.

    Args:
        options: of the run.
        runs_for_s: the jobs' walltime in seconds, which the proxy should outlive; None where it is not known.

    Raises:
        ExecutorError: the one that the user names is missing or expired, unless ``ignore-grid-certificate`` is set.
    """
    place = proxy_place(options)
    if place is None:
        return None
    if options.ignore_grid_certificate:
        return place.path if place.path.is_file() else None
    try:
        left = _left(place.path, place.said_by)
    except ExecutorError as error:
        if place.said_by:
            raise
        log.warning("%s; the workers get none", error)
        return None
    outlived = runs_for_s is not None and left.total_seconds() < runs_for_s
    if outlived or left < SHORT:
        _warn_short(place.path, left, runs_for_s)
    return place.path


@dataclass(frozen=True)
class WorkerProxy:
    """How a grid proxy reaches the workers."""

    source: Path
    copy: Path | None = None
    """A copy of this run's own, mode 0600, which is removed at the end."""
    shipped: bool = False
    """The batch system takes it along and names it to the jobs."""

    @property
    def file(self) -> Path:
        """The file of this machine that is read or shipped."""
        return self.copy or self.source

    @property
    def seen(self) -> str | None:
        """Its path on a worker; None where the batch system says it."""
        return None if self.shipped else str(self.file)


def on_workers(
    options: BatchOptions, source: Path | None, private: Path, tag: str, *, ships: bool
) -> WorkerProxy | None:
    """Decide how the proxy reaches the workers; ``ships`` is whether the batch system takes it along.

    It stays where it is if they see it there, which ``proxy-directory: null`` says; in a directory that each machine
    has for itself they do not, so that it is copied into the run's ``private`` one.
    """
    if source is None:
        return None
    if options.proxy_directory not in (None, "."):
        return WorkerProxy(source, copy=_expanded(options.proxy_directory) / f"x509up_{tag}")
    if ships:
        return WorkerProxy(source, shipped=True)
    own = options.proxy_directory == "." or any(source.is_relative_to(place) for place in _EACH_MACHINES_OWN)
    return WorkerProxy(source, copy=private / COPY if own else None)


def _expanded(path: str) -> Path:
    return Path(os.path.expandvars(path)).expanduser().absolute()


def _left(path: Path, said_by: str) -> timedelta:
    """Return how long a proxy is still valid.

    Raises:
        ExecutorError: it is not there, is none, or has expired.
    """
    from cryptography.x509 import load_pem_x509_certificates

    what = f"{said_by or 'grid proxy'} {path}"
    try:
        certificates = load_pem_x509_certificates(path.read_bytes())
    except OSError as error:
        raise ExecutorError(f"{what}: {error.strerror}; make one with `{RENEW}`") from error
    except ValueError as error:
        raise ExecutorError(f"{what}: not a proxy ({error}); make one with `{RENEW}`") from error
    left = min(certificate.not_valid_after_utc for certificate in certificates) - datetime.now(UTC)
    if left <= timedelta(0):
        # One that nobody has named is left out by itself.
        without = ", or go on all the same with --ignore-grid-certificate" if said_by else ""
        raise ExecutorError(f"{what}: it has expired; renew it with `{RENEW}`{without}")
    return left


def _warn_short(path: Path, left: timedelta, runs_for_s: float | None = None) -> None:
    minutes = left.total_seconds() // 60
    ends = f"{minutes:.0f} minutes" if minutes < 120 else f"{minutes // 60:.0f} hours"
    outlived = runs_for_s is not None and left.total_seconds() < runs_for_s
    why = f", before a job that may run {(runs_for_s or 0) / 3600:.1f} hours" if outlived else ""
    log.warning("the proxy %s ends in %s%s; renew it with `%s`", path, ends, why, RENEW)
