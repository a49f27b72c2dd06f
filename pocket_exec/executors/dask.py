"""Dask executors on this machine and on a scheduler that is already there, and the base of all others."""

from __future__ import annotations

import errno
import functools
import logging
import os
import shutil
import sys
import tempfile
from abc import abstractmethod
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import dask
from distributed import Client, LocalCluster
from distributed.security import Security

from pocket_exec.batch.ports import SchedulerPlace, taken
from pocket_exec.errors import ExecutorError, FarmError
from pocket_exec.executors import cpu_baseline
from pocket_exec.executors.code_plugin import CodePlugin, archive, claimed, shared
from pocket_exec.executors.dashboard import tell_of_dashboard
from pocket_exec.executors.dask_client import OwnClient
from pocket_exec.executors.dask_pool import DaskPool
from pocket_exec.executors.factory import ExecutorFactory
from pocket_exec.executors.host import workers_here
from pocket_exec.executors.versions import compare_versions
from pocket_exec.interrupts import ctrl_c_kept_from_children, interrupts_held
from pocket_exec.options.model import DaskOptions, SchedulerOptions
from pocket_exec.options.quantities import Duration

log = logging.getLogger(__name__)

LOOPBACK = "127.0.0.1"


class DaskExecutorFactory(ExecutorFactory):
    """A factory whose workers are Dask's: a subclass says in ``connect`` where they come from.

    ``connect`` puts what it acquires on ``self.stack``, which is unwound by ``close``, last thing first, also when
    ``connect`` itself fails half-way.
    """

    options_model = DaskOptions

    client: Client | None = None
    _stack: ExitStack | None = None

    @abstractmethod
    def connect(self) -> Client:
        """Start the workers, or find them, and return a client of their scheduler."""

    @property
    def stack(self) -> ExitStack:
        """What has been acquired, to be released by ``close``."""
        if self._stack is None:
            self._stack = ExitStack()
        return self._stack

    def setup(self) -> None:
        """Connect, wait for the first worker, and send the user's modules."""
        self.client = self.connect()
        self.wait_for_worker(self.client)
        self.send_code(self.client)
        if self.options.performance_report and self.outputdir is not None:
            self.stack.enter_context(_performance_report(self.client, self.outputdir / "dask-report.html"))

    def wait_for_worker(self, client: Client) -> None:
        """Wait for the first worker."""
        wait_for_workers(client, self.options.worker_timeout)

    def send_code(self, client: Client) -> None:
        """Make the user's modules importable on each worker; they share this machine's file system."""
        self.stack.enter_context(_plugin(client, shared(self.module_dirs)))

    def customize_args(self, args: dict[str, Any]) -> dict[str, Any]:
        """Run on the workers of the client's scheduler."""
        assert self.client is not None
        return {**args, "pool": DaskPool(self.client, float(self.options.worker_timeout))}

    def close(self) -> None:
        """Release everything, in the reverse order."""
        if self._stack is not None:
            self._stack.close()


class LocalDaskExecutorFactory(DaskExecutorFactory):
    """A Dask cluster on this machine: ``scaleout`` workers, TLS between all parts (login nodes are shared)."""

    name = "dask@local"

    def connect(self) -> Client:
        """Start scheduler and workers."""
        options = self.options
        try:
            directory = Path(tempfile.mkdtemp(prefix="pocket-exec-dask-", dir=options.local_directory))
        except OSError as error:
            raise ExecutorError(f"local-directory {options.local_directory}: {error.strerror or error}") from error
        self.stack.callback(shutil.rmtree, directory, ignore_errors=True)
        secure = options.security == "tls"
        if not secure:
            log.warning("security: none; anyone on this machine can run code in the workers")
        log.info("starting %s", workers_here(options.scaleout))
        # Workers of an adaptive cluster, and those that take the place of others, start later.
        self.stack.enter_context(cpu_baseline.inherited(options))
        start = functools.partial(
            LocalCluster,
            n_workers=options.adaptive_minimum if options.adaptive else options.scaleout,
            threads_per_worker=options.cores_per_worker,
            memory_limit=int(options.mem_per_worker),
            processes=True,
            host=LOOPBACK,
            protocol="tls://" if secure else "tcp://",
            security=Security.temporary() if secure else None,
            dashboard_address=options.dashboard_address,
            local_directory=str(directory),
            death_timeout=int(options.death_timeout),
            silence_logs=logging.CRITICAL,
            # For workers that an adaptive cluster starts later.
            config=worker_config(options),
        )
        # Dask leaves processes and tracebacks of a start that is cut in two; it takes some seconds.
        with dask.config.set(worker_config(options)), _start_told(), ctrl_c_kept_from_children(), interrupts_held():
            try:
                cluster = start(scheduler_port=_free_port(options.dask_scheduler_port))
            except RuntimeError as error:
                if not _port_taken(error):
                    raise
                # Somebody was faster, between looking and taking it.
                cluster = start(scheduler_port=0)
            self.stack.callback(cluster.close)
        if options.adaptive:
            cluster.adapt(minimum=options.adaptive_minimum, maximum=options.scaleout)
        tell_of_dashboard(options, cluster.scheduler)
        return OwnClient(self.stack, cluster, security=cluster.security)


@contextmanager
def _start_told() -> Iterator[None]:
    """Say what keeps worker processes from starting, as a rule.

    Raises:
        FarmError: one did not start.
    """
    try:
        yield
    except (RuntimeError, OSError, TimeoutError) as error:
        script = getattr(sys.modules["__main__"], "__file__", None)
        guard = f'; in {script}, start the run under `if __name__ == "__main__":`' if script else ""
        raise FarmError(f"the workers on this machine did not start ({error}){guard}") from error


class SchedulerDaskExecutorFactory(DaskExecutorFactory):
    """A Dask scheduler that somebody else runs: it is used, and never restarted or closed."""

    name = "dask@tcp"
    options_model = SchedulerOptions

    def connect(self) -> Client:
        """Connect, and compare the versions on both sides."""
        address = self.options.sched_url
        if not address:
            raise ExecutorError(f"{self.name}: no address; write dask@tls://host:port, or set sched-url")
        timeout = float(self.options.worker_timeout)
        try:
            client = OwnClient(
                self.stack, address, security=client_security(address, self.options), timeout=min(timeout, 30.0)
            )
        except (OSError, TimeoutError, ValueError) as error:
            raise FarmError(f"no Dask scheduler answers at {address}: {error}") from error
        wait_for_workers(client, timeout)
        compare_versions(client)
        return client

    def send_code(self, client: Client) -> None:
        """Send this project and the user's modules: the workers may see none of this machine's files."""
        self.stack.enter_context(_plugin(client, claimed(archive(self.module_dirs), client)))


def client_security(address: str, options: SchedulerOptions) -> Any:
    """Return the TLS settings for ``address``: those of the options, else Dask's own (``distributed.comm.tls``).

    Raises:
        ExecutorError: the address needs certificates and there are none.
    """
    if not address.startswith("tls://"):
        log.warning("%s is not encrypted; anyone on the way can run code in your name (use tls://)", address)
        return None
    given = {
        "tls_ca_file": options.tls_ca_file,
        "tls_client_cert": options.tls_client_cert,
        "tls_client_key": options.tls_client_key,
    }
    security: Any = Security(
        require_encryption=True, **{name: path for name, path in given.items() if path is not None}
    )
    if security.tls_ca_file is None or security.tls_client_cert is None:
        raise ExecutorError(
            f"{address} needs certificates: set tls-ca-file, tls-client-cert and tls-client-key, "
            "or Dask's own distributed.comm.tls (DASK_DISTRIBUTED__COMM__TLS__CA_FILE, ...)"
        )
    return security


def _port_taken(error: BaseException | None) -> bool:
    while error is not None and getattr(error, "errno", None) != errno.EADDRINUSE:
        error = error.__cause__
    return error is not None


def _free_port(wanted: int) -> int:
    """Return ``wanted``, or the next free port after it; 0 stays 0, which is any."""
    return next(port for port in SchedulerPlace(port=wanted).candidates() if not taken(LOOPBACK, port))


def worker_config(options: DaskOptions) -> dict[str, Any]:
    """Return Dask's own settings that follow from the options."""
    return {
        "distributed.scheduler.allowed-failures": options.allowed_failures,
        "distributed.worker.memory.target": options.memory_target or False,
        "distributed.worker.memory.spill": options.memory_spill or False,
        "distributed.worker.memory.pause": options.memory_pause or False,
        "distributed.worker.memory.terminate": options.memory_terminate or False,
        "distributed.worker.profile.enabled": options.profiling,
        **cpu_baseline.nanny_config(options),
    }


def wait_for_workers(client: Client, timeout_s: float) -> None:
    """Wait for the first worker.

    Raises:
        FarmError: none came in time.
    """
    try:
        client.wait_for_workers(1, timeout=float(timeout_s))
    except TimeoutError as error:
        raise FarmError(f"no worker after {Duration(int(timeout_s))} (worker-timeout)") from error


@contextmanager
def _plugin(client: Client, plugin: CodePlugin | None) -> Iterator[None]:
    """Keep ``plugin`` on all workers, those that come later too, for the length of the block."""
    if plugin is None:
        yield
        return
    client.register_plugin(plugin)
    try:
        yield
    finally:
        if client.status == "running":
            # The scheduler may have gone, and this client not have noticed.
            with suppress(OSError):
                client.unregister_worker_plugin(plugin.name)


@contextmanager
def _performance_report(client: Client, path: Path) -> Iterator[None]:
    from distributed import performance_report

    # It asks for the current client of the thread; that of a notebook's other cluster is not ours.
    with client.as_current(), performance_report(filename=os.fspath(path)):
        yield
