"""What a worker's process is told in a file, as the client writes it and the worker reads it; standard library only."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Self


@dataclass(frozen=True)
class TLSFiles:
    """PEM files of the worker's side; a relative name is beside the settings file."""

    ca: str
    cert: str
    key: str


@dataclass(frozen=True)
class WorkerSettings:
    """All that a worker's process is told; written as JSON."""

    scheduler: str
    """Address of the scheduler: ``tls://host:port``."""
    nthreads: int
    memory_limit: int
    """Bytes that Dask's worker may fill."""
    death_timeout_s: int
    """Seconds that a worker lives without its scheduler."""
    versions: Mapping[str, str]
    """The client's: ``python`` (``3.12``) and packages by distribution name."""
    modules: tuple[str, ...] = ()
    """Names of top-level modules that the tasks need."""
    tls: TLSFiles | None = None
    """None for a scheduler without encryption."""
    local_directory: str | None = None
    """Where the worker makes its own private directory, ``$USER`` not yet filled in; None for the job's scratch."""
    worker_port: str | None = None
    """Port or range, ``10000:10100``; None for any."""
    nanny_port: str | None = None
    interface: str | None = None
    lifetime_s: int | None = None
    """Seconds after which the worker ends by itself; None for never."""
    dask_config: Mapping[str, Any] = field(default_factory=dict)
    """Dask's own settings, by dotted key."""
    fix: str = ""
    """What the user can do when the worker's software does not fit."""

    def to_json(self) -> str:
        """Return the text of the settings file."""
        return json.dumps(asdict(self), indent=1, ensure_ascii=False) + "\n"

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Read the text of a settings file."""
        values = json.loads(text)
        tls = values["tls"]
        return cls(**{**values, "modules": tuple(values["modules"]), "tls": TLSFiles(**tls) if tls else None})
