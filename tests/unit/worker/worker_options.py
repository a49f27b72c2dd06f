"""Resolved batch options, and starts of workers that are made of them, for tests."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pocket_exec.options.defaults import built_in_executors, defaults_layers, model_for
from pocket_exec.options.layers import Layer
from pocket_exec.options.model import BatchOptions
from pocket_exec.options.resolve import resolve
from pocket_exec.worker.environment import ClientPython
from pocket_exec.worker.image import Image
from pocket_exec.worker.start import RunFiles, WorkerStart, worker_start

SYSTEM_PYTHON = ClientPython("/usr/bin/python3", "/usr", "/usr")


def batch_options(executor: str = "dask@slurm", **changes: Any) -> BatchOptions:
    """Return the options of a batch executor, with changes by attribute (``mem_per_worker="1GB"``)."""
    values = {key.replace("_", "-"): value for key, value in changes.items()}
    resolved = resolve(
        executor,
        model_for(executor),
        defaults_layers(executor),
        [Layer("test", values)],
        known_executors=built_in_executors(),
    )
    assert isinstance(resolved.options, BatchOptions)
    return resolved.options


def run_files(directory: str = "/work/ana/out/log/run", **further: Path) -> RunFiles:
    """Return files of a run in ``directory``."""
    where = Path(directory)
    pem = {name: where / f"{name}.pem" for name in ("ca", "cert", "key")}
    return RunFiles(where / "code.zip", where / "worker.json", **pem, **further)


def started(
    options: BatchOptions,
    image: str | None = None,
    *,
    files: RunFiles | None = None,
    cfg_directory: str = "/work/ana",
    output_directory: str = "/work/ana/out",
    proxy: str | None = None,
    client: ClientPython = SYSTEM_PYTHON,
) -> WorkerStart:
    """Return a worker's start as a run of /work/ana would have it."""
    return worker_start(
        options,
        Image(image, image) if image else None,
        files or run_files(),
        cfg_directory=Path(cfg_directory),
        output_directory=Path(output_directory),
        proxy=proxy,
        client=client,
    )
