"""Brings together, typed and as the worker sees it, all that a worker's script and settings need."""

from __future__ import annotations

import importlib.metadata
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pocket_exec.errors import ExecutorError
from pocket_exec.options.batch import BatchOptions
from pocket_exec.worker.container import Container, Mount, own_runtime
from pocket_exec.worker.environment import Activation, ClientPython, Environment, activation
from pocket_exec.worker.image import Image
from pocket_exec.worker.settings import TLSFiles, WorkerSettings

COMPARED = ("coffea", "dask", "distributed", "cloudpickle", "awkward", "uproot", "numpy", "msgpack", "tornado")
"""Distributions whose versions a worker compares with the client's; which of them decide, ``worker.preflight`` says."""


@dataclass(frozen=True)
class RunFiles:
    """Files of one run, on this machine; workers see them under the same paths, or get them under their base names."""

    archive: Path
    """The code archive (``worker.archive.code_archive``)."""
    settings: Path
    """``WorkerSettings.to_json``."""
    ca: Path | None = None
    cert: Path | None = None
    key: Path | None = None
    environment: Path | None = None
    """Values of ``pass-environment``, mode 0600 (``worker.environment.private_environment``)."""
    login: Path | None = None
    """Deploy token of a registry, mode 0600 (``worker.container.registry_login``)."""

    def travelling(self) -> tuple[Path, ...]:
        """Return the files that workers without a shared file system need."""
        found = (self.archive, self.settings, self.ca, self.cert, self.key, self.environment, self.login)
        return tuple(path for path in found if path is not None)


@dataclass(frozen=True)
class WorkerStart:
    """All that a worker's script needs; files as the worker sees them, relative names in the job's directory."""

    archive: str
    settings: str
    environment: Environment
    python: tuple[str, ...] = ()
    """Python and its arguments; empty for the image's."""
    container: Container | None = None
    """The image that the script starts; None where the batch system starts it, or there is none."""
    host_setup_commands: tuple[str, ...] = ()


def worker_start(
    options: BatchOptions,
    image: Image | None,
    files: RunFiles,
    *,
    cfg_directory: Path,
    output_directory: Path | None = None,
    proxy: str | None = None,
    client: ClientPython | None = None,
) -> WorkerStart:
    """Return what the script needs.

    ``proxy`` is the grid proxy's path on the worker, or its base name where it travels; None where there is none or the
    batch system names it. ``client`` is this process unless it is given.

    Raises:
        ExecutorError: options that do not go together.
    """
    client = client or ClientPython.of_this_process()
    runtime = own_runtime(options)
    in_image = image is not None
    if in_image and runtime is None and options.host_setup_commands:
        raise ExecutorError(
            "host-setup-commands cannot run before the image is entered where the batch system enters it "
            "(container-runtime: site); use custom-setup-commands, or container-runtime: auto"
        )
    chosen = activation(options, client)
    environment = Environment(
        private_file=_seen(files.environment, options),
        script=_env_script(options, cfg_directory),
        variables=tuple(options.env.items()),
        proxy=proxy,
        output_directory=_absolute(output_directory) if options.shared_filesystem and output_directory else None,
        activation=chosen,
        setup_commands=options.custom_setup_commands,
        working_directory=_working_directory(options, cfg_directory),
        working_directory_asked=options.working_dir is not None,
        in_image=in_image,
    )
    container = None
    if image is not None and runtime is not None:
        container = Container(
            runtime=runtime,
            image=image.reference if options.shared_filesystem or image.file is None else image.file.name,
            is_path=image.is_path,
            binary=options.container_binary,
            mounts=tuple(_mounts(options, environment, files)),
            local_directory=options.local_directory,
            home=options.container_home,
            gpus=options.gpus_per_worker > 0,
            options=options.container_options,
            cache=options.container_cache,
            login=_seen(files.login, options),
        )
    return WorkerStart(
        archive=_seen(files.archive, options) or "",
        settings=_seen(files.settings, options) or "",
        environment=environment,
        python=_python(options, chosen, client, in_image),
        container=container,
        host_setup_commands=options.host_setup_commands,
    )


def worker_settings(
    options: BatchOptions,
    files: RunFiles,
    *,
    scheduler: str,
    image: Image | None = None,
    modules: Sequence[str] = (),
    dask_config: Mapping[str, Any] | None = None,
    lifetime_s: int | None = None,
) -> WorkerSettings:
    """Return what the worker's process is told; ``files`` without certificates is a scheduler without encryption."""
    tls = None
    if files.ca is not None and files.cert is not None and files.key is not None:
        ca, cert, key = (_seen(path, options) or "" for path in (files.ca, files.cert, files.key))
        tls = TLSFiles(ca=ca, cert=cert, key=key)
    versions = client_versions()
    return WorkerSettings(
        scheduler=scheduler,
        nthreads=options.cores_per_worker,
        memory_limit=int(options.mem_per_worker * options.memory_fraction),
        death_timeout_s=int(options.death_timeout),
        versions=versions,
        modules=tuple(modules),
        tls=tls,
        local_directory=options.local_directory,
        worker_port=options.worker_ports,
        nanny_port=options.nanny_ports,
        interface=options.worker_interface,
        lifetime_s=lifetime_s,
        dask_config=dict(dask_config or {}),
        fix=_fix(image, versions),
    )


def client_versions() -> dict[str, str]:
    """Return the versions that workers compare theirs with: of Python, its minor one."""
    versions = {"python": f"{sys.version_info.major}.{sys.version_info.minor}"}
    for name in COMPARED:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return versions


def _fix(image: Image | None, versions: Mapping[str, str]) -> str:
    if image is None:
        return "see executable, local-virtualenv, conda-env and worker-image"
    return (
        f"take an image with Python {versions['python']} and coffea {versions.get('coffea', '')} (worker-image), "
        "or start the run inside the workers' image"
    )


def _seen(path: Path | None, options: BatchOptions) -> str | None:
    """Return a file of this machine as the worker sees it."""
    if path is None:
        return None
    return _absolute(path) if options.shared_filesystem else path.name


def _absolute(path: Path) -> str:
    # Not resolved: the worker may see the file under this name only.
    return os.path.abspath(path)


def _working_directory(options: BatchOptions, cfg_directory: Path) -> str | None:
    if options.working_dir is None:
        return _absolute(cfg_directory) if options.shared_filesystem else None
    given = Path(options.working_dir)
    return _absolute(cfg_directory / given.expanduser()) if options.shared_filesystem else str(given)


def _env_script(options: BatchOptions, cfg_directory: Path) -> str | None:
    if options.env_script is None:
        return None
    script = Path(options.env_script)
    if options.shared_filesystem:
        return str(Path(_working_directory(options, cfg_directory) or "") / script.expanduser())
    # A relative name is a file that travels, as all do, under its base name.
    return options.env_script if script.is_absolute() else script.name


def _python(options: BatchOptions, chosen: Activation | None, client: ClientPython, in_image: bool) -> tuple[str, ...]:
    if options.executable:
        return options.executable
    if chosen is not None:
        return (chosen.python,)
    return () if in_image else (client.executable,)


def _mounts(options: BatchOptions, environment: Environment, files: RunFiles) -> Iterator[Mount]:
    """Yield the user's mounts, then the run's own, without those that lie below one of the user's."""
    yield from (Mount(source, destination) for source, destination in options.mounts.items())
    same = [Path(source) for source, destination in options.mounts.items() if source == destination]
    own = [*_own_directories(environment, files)] if options.shared_filesystem else []
    for path in dict.fromkeys(own):
        if not any(Path(path).is_relative_to(mounted) for mounted in same):
            yield Mount(path, path)


def _own_directories(environment: Environment, files: RunFiles) -> Iterator[str]:
    yield from (_absolute(path.parent) for path in files.travelling())
    for name in (environment.working_directory, environment.output_directory, environment.script, environment.proxy):
        if name is not None and name.startswith("/"):
            yield name
    if environment.activation is not None:
        yield environment.activation.prefix
        yield from environment.activation.needs
