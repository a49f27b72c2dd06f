"""What must be known of a file before it can be cut into chunks, read on a worker."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import md5
from typing import Any

from pocket_exec.engine.file_layout import Layout, parquet_layout, tree_layout


@dataclass(frozen=True)
class FileInfo:
    """A file's metadata."""

    entries: int
    uuid: bytes
    clusters: tuple[int, ...] | None
    """Entry numbers at cluster boundaries; None where they were not asked for."""
    stamp: str | None
    """What changes when the file does; None where the storage cannot tell."""
    bytes: int = 0
    """Uncompressed size of its events; 0 where it is not known."""
    basket: int = 0
    """Events that are decompressed together, about; 0 where it is not known."""
    version: str = ""
    """What tells its tree from another one of that name: a file that is updated keeps its UUID."""


@dataclass(frozen=True)
class ReadMetadata:
    """A function of a coffea FileMeta that returns its FileInfo; it travels to the workers."""

    format: str
    xrootd_timeout_s: int | None
    clusters: bool
    """Whether the boundaries of clusters are wanted."""
    uproot_options: Mapping[str, Any] = field(default_factory=dict)

    def __call__(self, item: Any) -> FileInfo:
        """Open the file and read its tree, once, as coffea's Runner does before a run.

        Raises:
            OSError: it cannot be opened; further types where it is not what it should be.
        """
        # Before it is read: a file that changes in between is read again next time.
        stamp = file_stamp(item.filename)
        uuid, version, layout = self._parquet(item, stamp) if self.format == "parquet" else self._root(item)
        clusters = layout.clusters if self.clusters else None
        return FileInfo(layout.entries, uuid, clusters, stamp, layout.bytes, layout.basket, version)

    def _parquet(self, item: Any, stamp: str | None) -> tuple[bytes, str, Layout]:
        # It has no UUID. coffea takes the name's digest; a file that was written anew has to be another one, too.
        identity = f"{item.filename}\0{stamp or ''}"
        return md5(identity.encode(), usedforsecurity=False).digest(), "", parquet_layout(item.filename)

    def _root(self, item: Any) -> tuple[bytes, str, Layout]:
        import uproot
        from coffea.processor.executor import UprootMissTreeError

        options = {"timeout": self.xrootd_timeout_s, **self.uproot_options}
        with uproot.open({item.filename: None}, **options) as file:
            try:
                tree = file[item.treename]
            except uproot.exceptions.KeyInFileError as error:
                raise UprootMissTreeError(str(error)) from error
            return bytes(file.file.fUUID), _written_at(file, item.treename), tree_layout(tree, clusters=self.clusters)


def _written_at(file: Any, treename: str) -> str:
    """Return where in its file a tree was written, and when; nothing of a name that only uproot makes sense of."""
    try:
        key = file.key(treename)
    except Exception:  # noqa: BLE001 - it has been read: nothing is wrong with it
        return ""
    return f"{key.fCycle}:{key.fSeekKey}:{key.fDatime}"


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
