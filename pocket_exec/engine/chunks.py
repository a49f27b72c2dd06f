"""From a fileset to work items: metadata from the cache or the workers, then the cut into chunks."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from pocket_exec.analysis.fileset import DataFile, Dataset, Fileset
from pocket_exec.engine.dispatch import Dispatch
from pocket_exec.engine.metadata import FileInfo, ReadMetadata, file_stamp
from pocket_exec.engine.metadata_cache import Key, MetadataCache
from pocket_exec.engine.outcome import Failure
from pocket_exec.engine.policy import Policy
from pocket_exec.engine.pool import Pool
from pocket_exec.engine.sums import failure_of
from pocket_exec.errors import CfgError, Fault

STAMP_THREADS = 16
"""Files whose stamp is asked for at the same time: each waits for the network, not for the processor."""

Told = Callable[[int, int], None]
"""Is told how many files are done, of how many."""


@dataclass(frozen=True)
class Cut:
    """How files become chunks; the names are coffea's Runner's."""

    chunksize: int
    align_clusters: bool
    limit_chunks: int | None


def needed(fileset: Fileset, cut: Cut) -> dict[Key, tuple[Dataset, DataFile]]:
    """Return the files that must be opened: each gives at least one chunk, so a limit on chunks bounds them too."""
    return {
        (file.name, file.treename): (dataset, file) for dataset in fileset for file in dataset.files[: cut.limit_chunks]
    }


def from_cache(keys: Sequence[Key], cache: MetadataCache, cut: Cut) -> dict[Key, FileInfo]:
    """Return what the cache knows of files that have not changed since."""
    known = [key for key in keys if cache.known(key)]
    with ThreadPoolExecutor(STAMP_THREADS) as threads:
        stamps = list(threads.map(file_stamp, [name for name, _ in known]))
    found = {key: cache.find(key, stamp, clusters=cut.align_clusters) for key, stamp in zip(known, stamps, strict=True)}
    return {key: info for key, info in found.items() if info is not None}


def read_metadata(
    files: Mapping[Key, tuple[Dataset, DataFile]],
    read: ReadMetadata,
    pool: Pool,
    policy: Policy,
    told: Told,
) -> tuple[dict[Key, FileInfo], list[Failure]]:
    """Read the metadata of ``files`` on the workers; a file that cannot be read is a failure, not the end."""
    from coffea.processor.executor import FileMeta

    keys = list(files)
    items = [FileMeta(dataset.name, file.name, file.treename) for dataset, file in files.values()]
    replicas = {file.name: (file.name, *file.replicas) for _, file in files.values() if file.replicas}
    found: dict[Key, FileInfo] = {}
    failures: list[Failure] = []
    for done, settled in enumerate(Dispatch(pool, policy, items, replicas).settled(read), start=1):
        if settled.answer.trouble is None:
            found[keys[settled.task]] = settled.answer.value
        else:
            failures.append(failure_of(items[settled.task], settled, policy))
        told(done, len(items))
    return found, failures


def work_items(fileset: Fileset, infos: Mapping[Key, FileInfo], cut: Cut) -> list[Any]:
    """Return the chunks of all files whose metadata are known, in the order of the fileset, as coffea's WorkItems.

    Raises:
        CfgError: the steps of a preprocessed fileset go beyond the file's entries.
    """
    _check_steps(fileset, infos)
    items: list[Any] = []
    for dataset in fileset:
        chunks = [
            chunk
            for file in dataset.files[: cut.limit_chunks]
            if (info := infos.get((file.name, file.treename))) is not None
            for chunk in _chunks(dataset, file, info, cut)
        ]
        items += chunks[: cut.limit_chunks]
    return items


def _check_steps(fileset: Fileset, infos: Mapping[Key, FileInfo]) -> None:
    faults = [
        Fault(f"dataset '{dataset.name}'", f"{file.name} has {info.entries} entries, its steps go to {last}")
        for dataset in fileset
        for file in dataset.files
        if file.steps and (info := infos.get((file.name, file.treename))) is not None
        if (last := max(stop for _, stop in file.steps)) > info.entries
    ]
    if faults:
        title = "The fileset was preprocessed from other files:"
        raise CfgError("\n".join([title, *(f"  {fault}" for fault in faults)]))


def _chunks(dataset: Dataset, file: DataFile, info: FileInfo, cut: Cut) -> list[Any]:
    from coffea.processor.executor import FileMeta, WorkItem

    if file.steps:
        usermeta = dict(dataset.metadata)
        return [
            WorkItem(dataset.name, file.name, file.treename, start, stop, info.uuid, usermeta, dataset.preload)
            for start, stop in file.steps
        ]
    metadata = {**dataset.metadata, "numentries": info.entries, "uuid": info.uuid}
    if info.clusters is not None:
        metadata["clusters"] = list(info.clusters)
    meta = FileMeta(dataset.name, file.name, file.treename, metadata, dataset.preload)
    return list(meta.chunks(cut.chunksize, cut.align_clusters))
