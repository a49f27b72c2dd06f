"""From a fileset to work items: metadata from the cache or the workers, then the cut into chunks."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from pocket_exec.analysis.fileset import DataFile, Dataset, Fileset
from pocket_exec.engine.auto_chunks import auto_ends
from pocket_exec.engine.batch import RunBatch
from pocket_exec.engine.dispatch import Dispatch
from pocket_exec.engine.metadata import FileInfo, ReadMetadata, file_stamp
from pocket_exec.engine.metadata_cache import Key, MetadataCache
from pocket_exec.engine.outcome import Failure
from pocket_exec.engine.plan import plan
from pocket_exec.engine.policy import Policy
from pocket_exec.engine.pool import Pool
from pocket_exec.engine.replicas import replicated
from pocket_exec.engine.sums import failure_of
from pocket_exec.engine.threads import in_threads
from pocket_exec.errors import CfgError, Fault

FAR_BELOW = 4
"""A basket with this many times the events of a chunk is worth a word."""
STAMP_THREADS = 16
"""Files whose stamp is asked for at the same time: each waits for the network, not for the processor."""

Told = Callable[[int, int], None]
"""Is told how many files are done, of how many."""


Cuts = Mapping[tuple[str, str], Sequence[int]]
"""Where the chunks of files end, by the file's uuid (hexadecimal) and tree."""


@dataclass(frozen=True)
class Cut:
    """How files become chunks; the names are coffea's Runner's."""

    chunksize: int | Literal["auto"]
    align_clusters: bool
    limit_chunks: int | None
    kept: Cuts = field(default_factory=dict)
    """Where ``auto`` has cut files before: there it cuts them again, whatever its rule has become."""

    @property
    def by_clusters(self) -> bool:
        """Whether it takes the boundaries of a file's clusters."""
        return self.align_clusters or self.chunksize == "auto"


def needed(fileset: Fileset, cut: Cut) -> dict[Key, tuple[Dataset, DataFile]]:
    """Return the files that must be opened: each gives at least one chunk, so a limit on chunks bounds them too."""
    return {
        (file.name, file.treename): (dataset, file) for dataset in fileset for file in dataset.files[: cut.limit_chunks]
    }


def from_cache(keys: Sequence[Key], cache: MetadataCache, cut: Cut) -> dict[Key, FileInfo]:
    """Return what the cache knows of files that have not changed since."""
    known = [key for key in keys if cache.known(key)]
    stamps = in_threads(file_stamp, [name for name, _ in known], STAMP_THREADS)
    found = {key: cache.find(key, stamp, clusters=cut.by_clusters) for key, stamp in zip(known, stamps, strict=True)}
    return {key: info for key, info in found.items() if info is not None}


def read_metadata(
    files: Mapping[Key, tuple[Dataset, DataFile]],
    read: ReadMetadata,
    pool: Pool,
    policy: Policy,
    told: Told,
    found: dict[Key, FileInfo] | None = None,
) -> tuple[dict[Key, FileInfo], list[Failure]]:
    """Read the metadata of ``files`` on the workers; a file that cannot be read is a failure, not the end.

    Once ``too_many`` have failed, the others are not read any more. What is returned is in the order of ``files``,
    whichever was read first.

    Args:
        found: is filled as answers come, so that an interrupt does not lose them.
    """
    from coffea.processor.executor import FileMeta

    keys = list(files)
    items = [FileMeta(dataset.name, file.name, file.treename) for dataset, file in files.values()]
    replicas = {file.name: (file.name, *file.replicas) for _, file in files.values() if file.replicas}
    found = {} if found is None else found
    failures: dict[Key, Failure] = {}
    files_of = plan(items)
    function = RunBatch(replicated(read, replicas), add=False)
    with closing(Dispatch(pool, policy, files_of, replicas).results(function)) as results:
        for done in results:
            for part in done.parts:
                (task,) = files_of.datasets[done.dataset].files[part.file or 0].chunks
                found[keys[task]] = part.block.value  # type: ignore[assignment]  # what ReadMetadata returns
            for settled in done.settled:
                failures[keys[settled.task]] = failure_of(items[settled.task], settled, policy)
            told(len(found) + len(failures), len(items))
            if too_many(list(failures.values()), policy, len(items)):
                break
    return (
        {key: found[key] for key in keys if key in found},
        [failures[key] for key in keys if key in failures],
    )


def too_many(failures: Sequence[Failure], policy: Policy, files: int) -> str:
    """Return why a run with these files that cannot be read is not worth beginning; empty where it is.

    A file is counted as the one chunk that it gives at least: how many it would give is not known.
    """
    failed = sum(1 for failure in failures if not failure.skipped)
    allowed = policy.allowed_failures(files)
    return f"{failed} files cannot be read, more than max-failures ({allowed})" if failed > allowed else ""


def in_each_dataset(failures: Sequence[Failure], fileset: Fileset, cut: Cut) -> list[Failure]:
    """Return the failures of files, in the order of ``fileset``, once for each dataset that has the file."""
    failed = {(failure.file, failure.treename): failure for failure in failures}
    return [
        replace(failed[file.name, file.treename], dataset=dataset.name)
        for dataset in fileset
        for file in dataset.files[: cut.limit_chunks]
        if (file.name, file.treename) in failed
    ]


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

    if file.steps or cut.chunksize == "auto":
        usermeta = dict(dataset.metadata)
        return [
            WorkItem(dataset.name, file.name, file.treename, start, stop, info.uuid, usermeta, dataset.preload)
            for start, stop in file.steps or _auto_steps(file, info, cut)
        ]
    metadata = {**dataset.metadata, "numentries": info.entries, "uuid": info.uuid}
    if info.clusters is not None:
        metadata["clusters"] = list(info.clusters)
    meta = FileMeta(dataset.name, file.name, file.treename, metadata, dataset.preload)
    return list(meta.chunks(cut.chunksize, cut.align_clusters))


def versions(infos: Mapping[Key, FileInfo]) -> dict[Key, str]:
    """Return what tells each tree from another one of that name in a file of the same uuid."""
    return {key: info.version for key, info in infos.items()}


def auto_cuts(fileset: Fileset, infos: Mapping[Key, FileInfo], cut: Cut) -> Cuts:
    """Return where ``auto`` cuts the files, those whose uuid is known; nothing for a chunksize that is a number."""
    if cut.chunksize != "auto":
        return {}
    return {
        (info.uuid.hex(), file.treename): _auto_ends(file, info, cut)
        for dataset in fileset
        for file in dataset.files
        if not file.steps and (info := infos.get((file.name, file.treename))) is not None and info.uuid
    }


def _auto_steps(file: DataFile, info: FileInfo, cut: Cut) -> Sequence[tuple[int, int]]:
    ends = _auto_ends(file, info, cut)
    return list(zip([0, *ends], ends, strict=False))


def _auto_ends(file: DataFile, info: FileInfo, cut: Cut) -> Sequence[int]:
    kept = cut.kept.get((info.uuid.hex(), file.treename), ())
    # They lie in a file that anything may have happened to.
    if kept and kept[-1] == info.entries and all(start < stop for start, stop in itertools.pairwise((0, *kept))):
        return kept
    # As coffea does with a file without events: it gives a chunk without any.
    return auto_ends(info.entries, info.bytes, info.clusters or ()) or [0]


def far_below_a_basket(fileset: Fileset, infos: Mapping[Key, FileInfo], cut: Cut) -> str:
    """Return in a sentence which dataset's chunks are much smaller than a basket; empty where none is."""
    if cut.chunksize == "auto" or cut.align_clusters:
        return ""
    found = [
        (info.basket, dataset.name)
        for dataset in fileset
        for file in dataset.files
        if not file.steps and (info := infos.get((file.name, file.treename))) is not None
        if info.entries > cut.chunksize and info.basket >= FAR_BELOW * cut.chunksize
    ]
    if not found:
        return ""
    basket, name = max(found, key=lambda pair: pair[0])
    return (
        f"chunksize {cut.chunksize} is far below a basket of dataset '{name}' (about {basket} events), which is "
        "decompressed as a whole; 'chunksize: auto' follows the files"
    )
