"""Dask workers that are jobs of a batch system: all is looked at first, then submitted, and taken away at the end."""

from __future__ import annotations

import logging
import secrets
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import MappingProxyType
from typing import Any, ClassVar

import dask
from distributed import Client

from pocket_exec.analysis.pickling import modules_named
from pocket_exec.batch.cluster import SupervisedCluster
from pocket_exec.batch.guardian import Guardian
from pocket_exec.batch.jobs_file import warn_of_earlier_runs
from pocket_exec.batch.ports import SchedulerPlace
from pocket_exec.batch.supervisor import Supervision
from pocket_exec.batch.system import BatchSystem, Limits
from pocket_exec.executors.before_submission import look
from pocket_exec.executors.certificates import run_certificates
from pocket_exec.executors.dashboard import tell_of_dashboard
from pocket_exec.executors.dask import DaskExecutorFactory, worker_config
from pocket_exec.executors.dask_client import OwnClient
from pocket_exec.executors.dask_config import changed_config
from pocket_exec.executors.dask_pool import DaskPool
from pocket_exec.executors.dry_run import dry_run_text
from pocket_exec.executors.run_places import made, run_places
from pocket_exec.executors.worker_jobs import WorkerJobs, resources, runs_for_s
from pocket_exec.interrupts import interrupts_held
from pocket_exec.options.model import BatchOptions, HTCondorOptions, SlurmOptions
from pocket_exec.runs.workers import WorkersRecord
from pocket_exec.worker.statuses import LOG_MARK, WorkerExit

log = logging.getLogger(__name__)

HOPELESS = frozenset({int(WorkerExit.VERSIONS)})
DOUBTFUL = frozenset(int(status) for status in WorkerExit if not status.machines_fault) - HOPELESS


class BatchExecutorFactory(DaskExecutorFactory):
    """Workers as jobs of the batch system that ``batch-system`` names; a site's factory names its string only."""

    options_model: ClassVar[type[BatchOptions]] = BatchOptions

    cluster: SupervisedCluster | None = None
    _moved: Mapping[str, str] = MappingProxyType({})

    def connect(self) -> Client:
        """Submit the jobs and wait for the first worker.

        Raises:
            ExecutorError, OptionsError: what was asked for cannot be submitted, all of it at once where it can be.
            FarmError: the farm cannot give it, or no worker comes.
        """
        jobs, system = self._jobs(lenient=False)
        options = self.options
        if self.outputdir is not None:
            warn_of_earlier_runs(jobs.places.jobs_file.parent.parent)
        self.stack.enter_context(made(jobs.places))
        guardian = self.stack.enter_context(self._guarded(jobs))
        security = run_certificates() if options.security == "tls" else None
        if security is None:
            log.warning(
                "security: none; whoever reaches the scheduler's port can run code in your name, on all workers"
            )
        jobs.write_files(security)
        started = time.monotonic()
        with dask.config.set(worker_config(options)), interrupts_held():
            cluster = SupervisedCluster(
                system,
                jobs.write_settings,
                guardian=guardian,
                n_workers=options.adaptive_minimum if options.adaptive else options.scaleout,
                resources=resources(options, runs_for_s(options)),
                supervision=Supervision(
                    poll_interval_s=float(options.poll_interval),
                    log_mark=LOG_MARK,
                    limits=Limits(options.jobs_per_submission, options.jobs_per_owner),
                    hopeless_exits=HOPELESS,
                    doubtful_exits=DOUBTFUL,
                ),
                place=scheduler_place(options),
                security=security,
                jobs_file=jobs.places.jobs_file,
            )
            self.stack.callback(cluster.close)
        self.cluster, self._moved = cluster, jobs.moved
        if options.adaptive:
            cluster.adapt(minimum=options.adaptive_minimum, maximum=options.scaleout)
        tell_of_dashboard(options, cluster.scheduler)
        client = OwnClient(self.stack, cluster, security=security)
        cluster.wait_for_first_worker(float(options.worker_timeout))
        log.info("the first worker is there after %.0f s", time.monotonic() - started)
        return client

    def wait_for_worker(self, client: Client) -> None:
        """Do nothing: ``connect`` has waited, and has looked after the jobs meanwhile."""

    def send_code(self, client: Client) -> None:
        """Do nothing: the code travels with the jobs."""

    def customize_args(self, args: dict[str, Any]) -> dict[str, Any]:
        """Run on the workers, and stop when none of them can live."""
        assert self.client is not None
        assert self.cluster is not None
        patience_s = float(self.options.worker_timeout)
        return {**args, "pool": DaskPool(self.client, patience_s, self.cluster.trouble, self._moved)}

    def dry_run(self) -> str:
        """Return what would be submitted; what would be refused on this machine is a warning."""
        jobs, system = self._jobs(lenient=True)
        return dry_run_text(system, jobs, scheduler_place(self.options))

    def _jobs(self, *, lenient: bool) -> tuple[WorkerJobs, BatchSystem]:
        """Look at everything that can be wrong, and decide what the jobs are made of."""
        options: BatchOptions = self.options
        tag = f"pocket-exec-{secrets.token_hex(6)}"
        places = run_places(options, self.outputdir, tag)
        found = look(options, places, tag, lenient=lenient)
        jobs = WorkerJobs(
            options=options,
            tag=tag,
            places=places,
            image=found.image,
            proxy=found.proxy,
            outputdir=self.outputdir,
            module_dirs=self.module_dirs,
            modules=modules_named(self.processor) if self.processor is not None else (),
            dask_config={**changed_config(), **worker_config(options)},
        )
        found.look_at(jobs)
        found.settle(self.name or f"dask@{options.batch_system}", lenient=lenient)
        # Without one, there would have been something to settle.
        assert found.system is not None
        image = found.image
        self.workers = WorkersRecord(
            image=image.reference if image else None,
            image_digest=image.digest if image else None,
            image_date=image.dated if image else None,
            jobs_tag=tag,
        )
        return jobs, found.system

    @contextmanager
    def _guarded(self, jobs: WorkerJobs) -> Iterator[Guardian]:
        """Have the guardian process for the length of the block; it knows what to remove before that is written."""
        copy = jobs.proxy.copy if jobs.proxy is not None else None
        with Guardian(jobs.places.guardian_log, jobs.places.jobs_file) as guardian:
            guardian.remove([jobs.places.private, *([copy] if copy else [])])
            try:
                yield guardian
            finally:
                if copy is not None:
                    copy.unlink(missing_ok=True)


class HTCondorExecutorFactory(BatchExecutorFactory):
    """Workers as HTCondor jobs."""

    name = "dask@htcondor"
    options_model = HTCondorOptions


class SlurmExecutorFactory(BatchExecutorFactory):
    """Workers as Slurm jobs."""

    name = "dask@slurm"
    options_model = SlurmOptions


def scheduler_place(options: BatchOptions) -> SchedulerPlace:
    """Return where the scheduler listens, and what the workers are told of it."""
    host = options.scheduler_host
    if options.scheduler_interface is not None and host in ("fqdn", "hostname"):
        # The machine's name may belong to another interface.
        host = None
    return SchedulerPlace(
        host=host,
        interface=options.scheduler_interface,
        port=options.dask_scheduler_port,
        ports=options.scheduler_ports.ports if options.scheduler_ports is not None else None,
        dashboard_address=options.dashboard_address,
    )
