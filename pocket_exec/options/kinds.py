"""Options of the kinds of executors: what every run has, and what Dask adds."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Annotated, Literal

from pocket_exec.options.base import Options
from pocket_exec.options.fields import (
    Address,
    Anything,
    ChunkSize,
    Flag,
    Groups,
    NotNegative,
    Port,
    Positive,
    Share,
    Text,
    Texts,
    TextTable,
    Unit,
    WithoutEffect,
    known_as,
)
from pocket_exec.options.quantities import Duration, Seconds, Size, TimeOfDay


class GeneralOptions(Options):
    """Options of every executor."""

    scaleout: Annotated[Positive, Unit("workers"), known_as("workers", "n-workers", "max-scaleout", "jobs")]
    """Number of workers: processes for `futures`, Dask workers for `dask`; with `adaptive` the most there may be."""
    chunksize: Annotated[ChunkSize, Unit("events"), known_as("chunk-size", "step-size")]
    """Events in a chunk, about: a file is cut into equal parts of nearly this length. With `auto` it follows from what
    each file says of itself: the size of an event, and where baskets, clusters or row groups end."""
    limit_files: Annotated[Positive | None, Unit("files"), known_as("max-files", "maxfiles")]
    """Files to take of each dataset, the first ones; null for all."""
    limit_chunks: Annotated[Positive | None, Unit("chunks"), known_as("max-chunks", "maxchunks")]
    """Chunks to take of each dataset, the first ones; null for all."""
    retries: Annotated[NotNegative, Unit("attempts")]
    """Further attempts at a chunk whose file could not be read, for ten minutes at most, or whose worker was lost,
    until four have died of it alone. An error of the processor's own is not repeated, only confirmed."""
    max_failures: Annotated[NotNegative | None, Unit("chunks")]
    """Chunks that may fail before the run stops; null for 1 % of all chunks, at least 10."""
    tree_reduction: Annotated[
        Positive, Unit("results"), WithoutEffect("results are merged in an order of their own, the same everywhere")
    ]
    """Partial results that coffea's DaskExecutor merges at a time. Only a factory of your own that gives a plain
    coffea executor uses it."""
    skip_bad_files: Annotated[Flag, known_as("skipbadfiles")]
    """Leave out what cannot be read of a file, and list it at the end, instead of counting it as failed."""
    voms_proxy: Annotated[Text | None, known_as("proxy", "x509-user-proxy")]
    """Path of the grid proxy that workers read data with; null for `$X509_USER_PROXY` where it is set. Workers that
    are jobs get the one that `voms-proxy-init` has left in /tmp, too."""
    ignore_grid_certificate: Flag
    """Start without a look at the grid proxy: whether it is there, and valid for long enough."""
    group_samples: Groups
    """Sample names by group: with `--process-separately`, datasets whose `metadata.sample` is in a group are saved
    together as `output_<group>.coffea`."""
    starting_time: TimeOfDay | None
    """Time of day to wait for before anything starts, by this machine's clock; null to start at once."""
    format: Literal["root", "parquet"]
    """Format of the input files."""
    uproot_options: Anything
    """Arguments of `uproot.open` for each file."""
    xrootd_timeout: Annotated[Seconds, known_as("xrootdtimeout")]
    """Longest wait for a remote file to answer."""
    align_clusters: Flag
    """Cut files into chunks at the boundaries of their clusters of baskets, so that no basket is read twice."""
    kept_files: Annotated[Positive, Unit("files")]
    """Input files that each worker thread keeps open, with what it knows of them, for the next chunks."""
    read_block: Size
    """Uncompressed size of the columns that a worker thread reads at once, for several chunks; one chunk may be
    larger."""
    read_ahead: Flag
    """Read the next columns of a remote file while these are processed, a quarter of `read-block` at a time."""
    cpu_baseline: Literal["x86-64-v2", "x86-64-v3", "x86-64-v4"] | None
    """Most that numpy uses of the workers' CPUs (v2: SSE4.2, v3: AVX2, v4: AVX-512), so that CPUs of several kinds give
    the same last bits; null for all that each of them has."""
    depends_on: Texts
    """Files beside the processor's code that decide the result (weights, corrections), by path relative to cfg.py. A
    result made with another content of theirs is out of date."""


class IterativeOptions(GeneralOptions):
    """Options of `iterative`: one chunk after the other in one process."""


class FuturesOptions(GeneralOptions):
    """Options of `futures`: a pool of processes on this machine."""


class DaskOptions(GeneralOptions):
    """Options of every executor whose workers are Dask's, `dask@local` among them."""

    cores_per_worker: Annotated[Positive, Unit("cores"), known_as("cores", "cpus", "ncpus", "request-cpus")]
    """Cores of a worker, each of which processes chunks at the same time."""
    mem_per_worker: Annotated[Size, known_as("memory", "mem", "memory-per-worker", "request-memory")]
    """Memory of a worker, for all its cores together."""
    max_workers: Annotated[Positive | None, Unit("workers")]
    """The most workers that this place allows; null for any number."""
    adaptive: Annotated[Flag, known_as("adapt")]
    """Let the number of workers follow the work, between `adaptive-minimum` and `scaleout`, instead of holding
    `scaleout`."""
    adaptive_minimum: Annotated[Positive, Unit("workers"), known_as("minimum", "min-scaleout")]
    """Fewest workers with `adaptive`."""
    death_timeout: Seconds
    """How long a worker lives without its scheduler."""
    worker_timeout: Seconds
    """How long to wait for the first worker, and for another one when all are lost."""
    performance_report: Flag
    """Write Dask's performance report into the output directory as `dask-report.html`."""
    sched_url: Annotated[Address | None, known_as("scheduler", "scheduler-address", "scheduler-url")]
    """Address of a Dask scheduler that is already there, such as `tls://host:8786`; null to start one."""
    dask_scheduler_port: Annotated[Port, known_as("scheduler-port", "port")]
    """Port of the scheduler; the next free one if it is taken, 0 for any."""
    dashboard_address: Text | None
    """Host and port at which the scheduler serves its dashboard, which asks for no password; port 0 for any free one,
    null for no dashboard."""
    dashboard_link: Text | None
    """Address at which the dashboard is reached from outside, with `{host}`, `{port}` and `{VARIABLE}` of the
    environment filled in; null for the plain one."""
    security: Literal["tls", "none"]
    """Encryption between client, scheduler and workers. With `none`, whoever reaches the scheduler's port can run
    code in your name."""
    local_directory: Annotated[Text | None, known_as("scratch", "temporary-directory")]
    """Directory on the worker for what Dask spills to disk; `$USER` is filled in; null for the job's own scratch."""
    allowed_failures: Annotated[NotNegative, Unit("workers")]
    """Workers that may die over a task before it is given up; of one chunk alone, three at most."""
    memory_target: Share
    """Part of a worker's memory above which Dask moves the results it manages to disk; 0 turns it off."""
    memory_spill: Share
    """Part of a worker's memory, as the system counts it, above which Dask moves results to disk; 0 turns it off."""
    memory_pause: Share
    """Part of a worker's memory above which it takes no new task; 0 turns it off."""
    memory_terminate: Share
    """Part of a worker's memory above which it is killed and started anew; 0 turns it off."""
    profiling: Flag
    """Let Dask's workers sample their own calls for the dashboard; costs some time."""
    kerberos_ticket: Flag
    """Look for a valid Kerberos ticket (`kinit`) before anything is started."""

    def contradictions(self) -> Iterator[tuple[str, str]]:
        """Compare numbers of workers, and the steps of the memory."""
        yield from super().contradictions()
        if self.max_workers is not None and self.scaleout > self.max_workers:
            yield "scaleout", f"{self.scaleout} workers are more than this place allows ({self.max_workers})"
        if self.adaptive and self.adaptive_minimum > self.scaleout:
            yield "adaptive-minimum", f"{self.adaptive_minimum} is more than scaleout ({self.scaleout})"
        steps = ("memory-target", "memory-spill", "memory-pause", "memory-terminate")
        on = [(key, self.option_value(key)) for key in steps if self.option_value(key) > 0]
        for (low, below), (high, above) in itertools.pairwise(on):
            if below > above:
                yield high, f"{above:g} is less than {low} ({below:g})"


class SchedulerOptions(DaskOptions):
    """Options of `dask@tls://host:port` and of sites where a scheduler is already there."""

    tls_ca_file: Text | None
    """Certificate of the authority that the scheduler's is checked with; null for Dask's own configuration."""
    tls_client_cert: Text | None
    """Certificate of this client; null for Dask's own configuration."""
    tls_client_key: Text | None
    """Key of this client's certificate; null for Dask's own configuration."""
    worker_lifetime: Duration | None
    """How long this place lets a worker live; null for without end."""

    def contradictions(self) -> Iterator[tuple[str, str]]:
        """Ask for a client's certificate and its key together."""
        yield from super().contradictions()
        if (self.tls_client_cert is None) != (self.tls_client_key is None):
            given, other = ("cert", "key") if self.tls_client_key is None else ("key", "cert")
            yield f"tls-client-{given}", f"needs tls-client-{other} as well"


class GatewayOptions(DaskOptions):
    """Options of sites with a Dask Gateway."""

    gateway_address: Address | None
    """Address of the gateway's API; null for Dask Gateway's own configuration."""
    gateway_proxy_address: Text | None
    """Host and port of the gateway's proxy for schedulers; null for that of `gateway-address`."""
    gateway_auth: Literal["kerberos", "jupyterhub", "basic"] | None
    """How the gateway knows you; null for Dask Gateway's own configuration."""
    pass_environment: Texts
    """Names of variables of this process that the workers get."""
    env: TextTable
    """Variables of the workers' environment; null takes one away."""
    conda_env: Flag
    """Use the conda environment in which the run is started on the workers too."""
    shared_paths: Texts
    """Directories that the workers see as well; conda environment and proxy must lie in one of them."""
