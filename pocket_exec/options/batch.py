"""Options of workers that are started as jobs of a batch system."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Literal

from pydantic import Field, SecretStr

from pocket_exec.errors import did_you_mean
from pocket_exec.options.fields import (
    Commands,
    Durations,
    Flag,
    Kind,
    NotNegative,
    Positive,
    Settings,
    Share,
    Text,
    Texts,
    TextTable,
    Unit,
    known_as,
)
from pocket_exec.options.kinds import DaskOptions
from pocket_exec.options.ports import PortRange
from pocket_exec.options.quantities import Duration, Seconds, Size


class BatchOptions(DaskOptions):
    """Options of every batch system."""

    batch_system: Annotated[Text, Kind("auto | htcondor | slurm | lsf | pbs | sge, or a plug-in's name")]
    """What starts the jobs; `auto` takes the batch system whose commands are here."""
    queue: Annotated[Text | None, known_as("partition", "job-flavour", "jobflavour", "flavour")]
    """Queue, partition or job flavour; null for the batch system's own choice."""
    queue_limits: Annotated[Durations, known_as("partitions", "job-flavours")]
    """Longest walltime in each queue, so that a walltime is checked before anything is submitted."""
    walltime: Annotated[Annotated[Duration, Field(ge=1)] | None, known_as("time", "max-runtime", "request-runtime")]
    """Time after which the batch system ends a job; null for the queue's own."""
    accounting_group: Annotated[Text | None, known_as("account", "project", "acctgroup")]
    """Account, project or accounting group that is charged; null for your default."""
    mem_per_worker_limit: Size | None
    """The most memory that a job may ask for here; null where no limit is known."""
    cores_per_worker_limit: Annotated[Positive | None, Unit("cores")]
    """The most cores that a job may ask for here; null where no limit is known."""
    disk_per_worker: Annotated[Size | None, known_as("disk", "request-disk")]
    """Scratch disk of a job; null for the batch system's own."""
    gpus_per_worker: Annotated[NotNegative, Unit("GPUs"), known_as("gpus", "request-gpus")]
    """GPUs of a job."""
    memory_fraction: Annotated[Share, Field(gt=0)]
    """Part of a job's memory that Dask's worker may fill; the rest is left to container, nanny and page cache."""
    scheduler_host: Annotated[Text | None, known_as("host")]
    """Name or address of this machine that the workers find the scheduler at; `fqdn` and `hostname` are worked out,
    null leaves it to Dask."""
    scheduler_interface: Annotated[Text | None, known_as("interface")]
    """Network interface of the scheduler, such as `ib0`; null for that of `scheduler-host`."""
    worker_interface: Text | None
    """Network interface of the workers, such as `ib0`, by which client and other workers reach them; null leaves it to
    Dask."""
    scheduler_ports: PortRange | None
    """Ports that the scheduler may take, where a firewall leaves only some open; null for any from
    `dask-scheduler-port` on."""
    worker_ports: Annotated[PortRange | None, known_as("worker-port", "port-range")]
    """Ports that the workers may take; null for any."""
    nanny_ports: Annotated[PortRange | None, known_as("nanny-port")]
    """Ports that the workers' nannies may take; null for any."""
    jobs_per_submission: Annotated[Positive | None, Unit("jobs")]
    """The most jobs in one submission; null for any number."""
    jobs_per_owner: Annotated[Positive | None, Unit("jobs")]
    """The most jobs that one user may have in the queue; null for any number."""
    poll_interval: Annotated[Seconds, Field(ge=1)]
    """Time between two looks at the queue."""

    worker_image: Annotated[Text | None, known_as("image", "container", "container-image", "singularity-image")]
    """Image of the workers: a directory under /cvmfs, a `.sif` file, `docker://registry/name:tag`, `name:tag`. `auto`
    is the image that this process runs in, else the public coffea image of this coffea's version; null for none."""
    container_runtime: Annotated[
        Literal["auto", "apptainer", "singularity", "docker", "podman", "udocker", "site", "none"],
        known_as("runtime", "virtualization"),
    ]
    """What runs the image; `auto` is apptainer, else singularity; `site` leaves it to the batch system."""
    container_binary: Text | None
    """Path of the runtime on the worker; null for the one on its PATH."""
    container_options: Texts
    """Further arguments of the runtime, as they are."""
    container_home: Flag
    """Let the image see your home directory."""
    container_cache: Text | None
    """Where the runtime keeps images that it has fetched; null for its own place, or /tmp where your home is on AFS."""
    unpacked_directory: Text | None
    """Where unpacked images are mounted; an image that is there is not fetched, and one that is not there is refused.
    Null, or a directory that this machine has not: each worker fetches its image."""
    mounts: Annotated[TextTable, known_as("binds", "bind", "volumes")]
    """Directories and files of the worker machine, and where the image sees them; one that is missing is left out with
    a warning, null takes one away."""
    tokenuser: Text | None
    """User name of a deploy token for a private registry; null for none."""
    tokenpassword: SecretStr | None
    """Password of the deploy token; never shown and in no script."""

    env_script: Annotated[Text | None, known_as("setup-script")]
    """Bash script that is sourced inside the image before anything else; null for none."""
    env: Annotated[TextTable, known_as("environment")]
    """Variables of the workers' environment, set after `env-script`; null takes one away."""
    pass_environment: Texts
    """Names of variables of this process that the workers get."""
    custom_setup_commands: Annotated[Commands, known_as("setup-commands", "env-extra", "job-script-prologue")]
    """Shell commands that run inside the image before the worker; one that fails stops it. A text of several lines is
    the commands in it."""
    host_setup_commands: Commands
    """Shell commands that run before the image is entered; one that fails stops the worker."""
    executable: Annotated[Texts, known_as("python")]
    """Python of the workers, with arguments; empty for the image's, the chosen environment's, or this process's own."""
    conda_env: Flag
    """Activate the conda, mamba or micromamba environment in which the run is started; needs a shared file system."""
    local_virtualenv: Annotated[Flag, known_as("virtualenv", "venv")]
    """Activate the virtual environment in which the run is started; needs a shared file system."""
    working_dir: Text | None
    """Directory in which a worker starts, and which relative paths start from; null for cfg.py's."""

    shared_filesystem: Flag
    """Workers see the files of this machine under the same paths; if not, all they need is transferred."""
    transfer_files: Annotated[Texts, known_as("transfer-input-files")]
    """Further files (or patterns, relative to cfg.py) that travel to the directory of each worker's job where no file
    system is shared; input files of the fileset among them are read there."""
    log_directory: Annotated[Text | None, known_as("log-folder", "logs")]
    """Where the jobs' logs go, in a directory of each run's own; null for `log/` in the output directory."""
    proxy_directory: Text | None
    """Where the grid proxy is copied to so that the workers can read it, with mode 0600; `.` is the worker's working
    directory. Null leaves it where it is if the workers see it there; if not, it travels with what else they need."""
    submit_host: Text | None
    """What the name of the machine must contain on which the run is started; null for any name."""
    no_submit_from: Texts
    """Directories in which the batch system takes no submission."""
    submit_env: TextTable
    """Variables of the environment in which the batch system's commands run; null takes one away."""

    def _walltime_replaces_queue(self) -> bool:
        return False

    def contradictions(self) -> Iterator[tuple[str, str]]:
        """Compare walltime and queue, environments and file system."""
        yield from super().contradictions()
        if self.queue is not None and self.queue_limits and self.queue not in self.queue_limits:
            there = f"'{self.queue}' is none of the queues here ({', '.join(self.queue_limits)})"
            hint = (
                did_you_mean(self.queue, self.queue_limits) or "; a new one is named with its walltime in queue-limits"
            )
            yield "queue", f"{there}{hint}"
        limit = None if self._walltime_replaces_queue() else self.queue_limits.get(self.queue or "")
        if why := beyond_all_queues(self.walltime, self.queue_limits):
            yield "walltime", why
        elif limit is not None and self.walltime is not None and self.walltime > limit:
            long = [queue for queue, limit in self.queue_limits.items() if limit >= self.walltime]
            hint = f"; '{long[0]}' lets it" if long else ""
            yield "walltime", f"'{self.walltime}' is longer than queue '{self.queue}' lets a job run ('{limit}'){hint}"
        if self.conda_env and self.local_virtualenv:
            yield "local-virtualenv", "conda-env is on as well; choose one of them"
        for key in ("conda-env", "local-virtualenv"):
            if self.option_value(key) and not self.shared_filesystem:
                yield key, "needs a shared file system, and shared-filesystem is false; use worker-image"
        if (self.tokenuser is None) != (self.tokenpassword is None):
            given, other = ("user", "password") if self.tokenpassword is None else ("password", "user")
            yield f"token{given}", f"needs token{other} as well"

    def bounded(self) -> Iterator[tuple[str, str]]:
        """Bound what a job asks for by what the site gives."""
        yield from super().bounded()
        yield "mem-per-worker", "mem-per-worker-limit"
        yield "cores-per-worker", "cores-per-worker-limit"

    def idle(self) -> Iterator[tuple[tuple[str, ...], str]]:
        """Tell of what only the script's own start of an image obeys."""
        yield from super().idle()
        if self.worker_image is None or self.container_runtime == "none":
            yield _OF_OWN_RUNTIME, "the workers run in no image (worker-image, container-runtime)"
        elif self.container_runtime == "site":
            why = "the batch system starts the image (container-runtime: site) as the site has set it up"
            yield _OF_OWN_RUNTIME, why


_OF_OWN_RUNTIME = (
    "container-binary",
    "container-options",
    "container-home",
    "container-cache",
    "mounts",
    "tokenuser",
    "tokenpassword",
)
"""Options that are words of apptainer's or singularity's command line."""


def beyond_all_queues(walltime_s: int | None, limits: Mapping[str, Duration]) -> str | None:
    """Say that no queue lets a job run for so long; None where one does, or where no limit is known.

    >>> beyond_all_queues(7200, {"short": Duration(3600)})
    "'02:00:00' is longer than any queue lets a job run; the longest is 'short' ('01:00:00')"
    """
    if walltime_s is None or not limits or walltime_s <= max(limits.values()):
        return None
    longest = max(limits, key=lambda queue: limits[queue])
    return (
        f"'{Duration(walltime_s)}' is longer than any queue lets a job run; "
        f"the longest is '{longest}' ('{limits[longest]}')"
    )


class HTCondorOptions(BatchOptions):
    """Options of HTCondor."""

    htcondor_settings: Annotated[Settings, known_as("job-extra-directives")]
    """Further lines of the submit file, as they are: text values of ClassAd attributes need quotes of their own
    (`MY.WantOS: '"el9"'`); null takes one away."""
    spool: Flag
    """Copy the job's files to the schedd (`condor_submit -spool`)."""
    schedds: Annotated[Texts, known_as("schedd")]
    """Schedds to submit to, in the order in which they are tried; empty for the local one."""
    requirements: Texts
    """ClassAd expressions that a machine must fulfil, joined by `&&`."""
    site_names: Annotated[Texts, known_as("sites")]
    """Sites whose machines may run the jobs, joined by `||`; empty for all."""
    site_attribute: Text
    """ClassAd attribute of a machine that holds its site's name."""
    queue_attribute: Text | None
    """ClassAd attribute of the job that names its `queue`; null where the pool has no queues."""
    walltime_attribute: Text | None
    """ClassAd attribute of the job that holds its `walltime` in seconds; null where the pool has none. A walltime then
    stands in place of the queue's."""
    image_attribute: Text | None
    """ClassAd attribute of the job that names its image, with `container-runtime: site`; null for the container
    universe."""

    def _walltime_replaces_queue(self) -> bool:
        return self.walltime_attribute is not None


class SlurmOptions(BatchOptions):
    """Options of Slurm."""

    slurm_settings: Settings
    """Further `#SBATCH` options by their long name (`qos: high`); `true` for one without a value, null takes one
    away."""


class LSFOptions(BatchOptions):
    """Options of LSF."""

    lsf_settings: Settings
    """Further `#BSUB` options by their name (`R: "select[avx2]"`); `true` for one without a value, null takes one
    away."""
    lsf_memory_unit: Literal["KB", "MB", "GB", "TB"] | None
    """Unit of memory limits (`LSF_UNIT_FOR_LIMITS`) at this site; null to write the unit behind each number."""


class PBSOptions(BatchOptions):
    """Options of PBS."""

    pbs_settings: Settings
    """Further `#PBS` options by their letter (`m: n`); `true` for one without a value, null takes one away."""
    pbs_flavour: Literal["pbspro", "torque"]
    """Which PBS it is: they write job arrays in different ways."""


class SGEOptions(BatchOptions):
    """Options of Grid Engine."""

    sge_settings: Settings
    """Further `#$` options by their letters (`P: hep`); `true` for one without a value, null takes one away."""
    parallel_environment: Text | None
    """Parallel environment for workers of more than one core; null where there is none."""
    memory_resource: Text | None
    """Resource with which memory is asked for, such as `h_vmem` or `m_mem_free`; null to ask for none."""
    memory_per_slot: Flag
    """The resource is counted for each core, not for the whole job."""
