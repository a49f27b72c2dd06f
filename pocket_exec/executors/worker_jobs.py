"""What the jobs of one run are made of: code, settings, certificates, proxy, script, and the submission of all that."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from pocket_exec.batch.system import Resources, Submission
from pocket_exec.engine.transferred import Transferred
from pocket_exec.errors import ExecutorError
from pocket_exec.executors.certificates import write_certificates, write_private
from pocket_exec.executors.proxy import WorkerProxy
from pocket_exec.executors.run_places import RunPlaces
from pocket_exec.options.batch import BatchOptions
from pocket_exec.worker.archive import code_archive
from pocket_exec.worker.container import own_runtime, registry_login
from pocket_exec.worker.environment import private_environment
from pocket_exec.worker.image import Image
from pocket_exec.worker.script import job_script
from pocket_exec.worker.settings import WorkerSettings
from pocket_exec.worker.start import RunFiles, WorkerStart, worker_settings, worker_start

SCRIPT = "worker.sh"
SHORT_WALLTIME_S = 120
"""Below it a worker stays until the batch system ends its job."""


@dataclass(frozen=True)
class WorkerJobs:
    """The jobs of a run, decided; nothing is written before ``write_files``."""

    options: BatchOptions
    tag: str
    places: RunPlaces
    image: Image | None
    proxy: WorkerProxy | None
    outputdir: Path | None
    module_dirs: Sequence[Path]
    modules: Sequence[str]
    """Names of the modules that the tasks need."""
    dask_config: dict[str, Any]

    @property
    def cfg_directory(self) -> Path:
        """Where relative paths start from."""
        return self.module_dirs[0] if self.module_dirs else Path.cwd()

    @cached_property
    def listed(self) -> tuple[Path, ...]:
        """The files of ``transfer-files``; each may be a pattern, or a directory.

        Raises:
            ExecutorError: one is not there.
        """
        found: list[Path] = []
        for text in self.options.transfer_files:
            given = self.cfg_directory / Path(os.path.expandvars(text)).expanduser()
            paths = [given] if given.exists() else sorted(Path(path) for path in glob.glob(str(given)))  # noqa: PTH207
            if not paths:
                raise ExecutorError(f"transfer-files: no file {given}")
            found += paths
        return tuple(dict.fromkeys(found))

    @property
    def read_by_workers(self) -> tuple[Path, ...]:
        """The files of this run that workers read; where no file system is shared, in one directory of the job's.

        Raises:
            ExecutorError: one is not there, or two would have one name.
        """
        proxy = [self.proxy.file] if self.proxy is not None else []
        own = (*self.files.travelling(), self.places.private / SCRIPT, *proxy)
        if self.options.shared_filesystem:
            script = self.start.environment.script
            return (*own, *([Path(script)] if script is not None else []))
        found: dict[str, Path] = {}
        for path in (*own, *self._further_files()):
            if found.setdefault(path.name, path) != path:
                raise ExecutorError(
                    f"{found[path.name]} and {path}: workers get both under one name (shared-filesystem: false)"
                )
        return tuple(found.values())

    @property
    def moved(self) -> Mapping[str, str]:
        """Names that files have on the workers, where these are others than here."""
        if self.options.shared_filesystem:
            return {}
        inside = [(top, path) for top in self.listed for path in (top.rglob("*") if top.is_dir() else [top])]
        return {os.path.abspath(path): Transferred(path.relative_to(top.parent).as_posix()) for top, path in inside}

    @cached_property
    def archive(self) -> tuple[bytes, str]:
        """The code that travels, and its digest.

        Raises:
            ExecutorError: the modules are too large to be code.
        """
        return code_archive(self.module_dirs)

    @cached_property
    def files(self) -> RunFiles:
        """The files that workers read, which need not be there yet."""
        directory = self.places.private
        secure = self.options.security == "tls"
        environment, login = self._private_texts
        return RunFiles(
            archive=directory / f"code-{self.archive[1][:12]}.zip",
            settings=directory / "worker.json",
            ca=directory / "ca.pem" if secure else None,
            cert=directory / "cert.pem" if secure else None,
            key=directory / "key.pem" if secure else None,
            environment=directory / "environment.sh" if environment else None,
            login=directory / "login.sh" if login else None,
        )

    @cached_property
    def start(self) -> WorkerStart:
        """What the script does.

        Raises:
            ExecutorError: options that do not go together.
        """
        return worker_start(
            self.options,
            self.image,
            self.files,
            cfg_directory=self.cfg_directory,
            output_directory=self.outputdir,
            proxy=self.proxy.seen if self.proxy else None,
        )

    @cached_property
    def script(self) -> str:
        """The script that each job runs.

        Raises:
            ExecutorError: options that do not go together, or words that no script can carry.
        """
        return job_script(self.start)

    def settings(self, scheduler: str) -> WorkerSettings:
        """Return what the workers are told of this scheduler."""
        return worker_settings(
            self.options,
            self.files,
            scheduler=scheduler,
            image=self.image,
            modules=self.modules,
            dask_config=self.dask_config,
            lifetime_s=lifetime_s(self.options),
        )

    @property
    def submission(self) -> Submission:
        """What is submitted, for no worker yet."""
        options = self.options
        by_system = self.image is not None and own_runtime(options) is None
        # Script, proxy, and an image that the batch system starts travel by words of their own.
        apart = {
            self.places.private / SCRIPT,
            self.proxy.file if self.proxy is not None else None,
            self.image.file if self.image is not None and by_system else None,
        }
        travelling = () if options.shared_filesystem else self.read_by_workers
        return Submission(
            tag=self.tag,
            names=(),
            script=self.places.private / SCRIPT,
            directory=self.places.private,
            log_directory=self.places.logs,
            resources=resources(options, options.walltime),
            queue=options.queue,
            account=options.accounting_group,
            image=self.image.reference if self.image is not None and by_system else None,
            image_travels=self.image is not None and by_system and self.image.file is not None,
            files=tuple(path for path in travelling if path not in apart),
            proxy=self.proxy.source if self.proxy is not None and self.proxy.shipped else None,
        )

    def example(self, count: int) -> Submission:
        """Return the submission of this many workers, which may be too many for one."""
        most = self.options.jobs_per_submission
        names = (f"{self.tag.removeprefix('pocket-exec-')[:8]}-{number}" for number in range(min(count, most or count)))
        return replace(self.submission, names=tuple(names))

    def write_files(self, security: Any) -> None:
        """Write all that does not depend on the scheduler's address; ``security`` is None without encryption.

        Raises:
            ExecutorError: the disk does not take them.
        """
        environment, login = self._private_texts
        with self._disk_faults():
            write_private(self.files.archive, self.archive[0])
            write_private(self.places.private / SCRIPT, self.script)
            (self.places.private / SCRIPT).chmod(0o700)
            if security is not None:
                write_certificates(security, self.places.private)
            if self.files.environment is not None and environment is not None:
                write_private(self.files.environment, environment)
            if self.files.login is not None and login is not None:
                write_private(self.files.login, login)
            if self.proxy is not None and self.proxy.copy is not None:
                self.proxy.copy.parent.mkdir(parents=True, exist_ok=True)
                write_private(self.proxy.copy, self.proxy.source.read_bytes())

    def write_settings(self, scheduler: str) -> Submission:
        """Write the settings file for the scheduler at this address, and return what is to be submitted.

        Raises:
            ExecutorError: the disk does not take it.
        """
        with self._disk_faults():
            write_private(self.files.settings, self.settings(scheduler).to_json())
        return self.submission

    @contextmanager
    def _disk_faults(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise ExecutorError(f"{error.filename or self.places.private}: {error.strerror or error}") from error

    @cached_property
    def _private_texts(self) -> tuple[str | None, str | None]:
        return private_environment(self.options, os.environ), registry_login(self.options)

    def _further_files(self) -> Sequence[Path]:
        """Return what else of the user's has to be in the job's directory."""
        further = list(self.listed)
        if self.image is not None and self.image.file is not None:
            further.append(self.image.file)
        script = self.options.env_script
        if script is not None and not Path(script).is_absolute():
            further.append(self.cfg_directory / script)
            if not further[-1].is_file():
                raise ExecutorError(f"env-script: no file {further[-1]}")
        return further


def resources(options: BatchOptions, walltime_s: int | None) -> Resources:
    """Return what one job asks for."""
    return Resources(
        cores=options.cores_per_worker,
        memory=int(options.mem_per_worker),
        disk=int(options.disk_per_worker) if options.disk_per_worker is not None else None,
        gpus=options.gpus_per_worker,
        walltime_s=int(walltime_s) if walltime_s is not None else None,
    )


def runs_for_s(options: BatchOptions) -> int | None:
    """Return after how many seconds a job is ended, as far as the options say it."""
    limit = options.walltime if options.walltime is not None else options.queue_limits.get(options.queue or "")
    return int(limit) if limit is not None else None


def lifetime_s(options: BatchOptions) -> int | None:
    """Return when a worker leaves by itself, so that what it holds is not lost with it at the end of its walltime."""
    walltime = runs_for_s(options)
    if walltime is None or walltime < SHORT_WALLTIME_S:
        return None
    return walltime - min(600, max(60, walltime // 20))
