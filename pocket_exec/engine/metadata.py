"""What must be known of a file before it can be cut into chunks, read on a worker."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class FileInfo:
    """A file's metadata."""

    entries: int
    uuid: bytes
    clusters: tuple[int, ...] | None
    """Entry numbers at cluster boundaries; None where they were not asked for."""
    stamp: str | None
    """What changes when the file does; None where the storage cannot tell."""


@dataclass(frozen=True)
class ReadMetadata:
    """A function of a coffea FileMeta that returns its FileInfo; it travels to the workers."""

    format: str
    xrootd_timeout_s: int | None
    align_clusters: bool
    uproot_options: Mapping[str, Any] = field(default_factory=dict)

    def __call__(self, item: Any) -> FileInfo:
        """Open the file and read its tree, as coffea's Runner does before a run.

        Raises:
            OSError: it cannot be opened; further types where it is not what it should be.
        """
        from coffea.processor import Runner

        # Before it is read: a file that changes in between is read again next time.
        stamp = file_stamp(item.filename)
        if self.format == "parquet":
            (found,) = Runner.metadata_fetcher_parquet(item)
        else:
            (found,) = Runner.metadata_fetcher_root(
                self.xrootd_timeout_s, self.align_clusters, dict(self.uproot_options), item
            )
        clusters = found.metadata.get("clusters")
        return FileInfo(
            int(found.metadata["numentries"]),
            _uuid_bytes(found.metadata["uuid"]),
            None if clusters is None else tuple(int(entry) for entry in clusters),
            stamp,
        )


def _uuid_bytes(uuid: Any) -> bytes:
    return uuid if isinstance(uuid, bytes) else bytes(uuid)


def file_stamp(name: str) -> str | None:
    """Return size and modification time, or ETag, of a file; None where they cannot be had."""
    try:
        if "://" not in name:
            status = os.stat(name)
            return f"{status.st_size}:{status.st_mtime_ns}"
        return _remote_stamp(name)
    except Exception:  # noqa: BLE001 - each protocol has its own errors; the file is then read afresh, which says what is wrong
        return None


def _remote_stamp(name: str) -> str | None:
    import fsspec

    file_system, path = fsspec.core.url_to_fs(name)
    info = file_system.info(path)
    version = next(
        (info[key] for key in ("ETag", "etag", "mtime", "Last-Modified", "LastModified") if info.get(key)), None
    )
    if version is None:
        try:
            version = file_system.modified(path)
        except NotImplementedError:
            return None
    return f"{info.get('size')}:{version}"
