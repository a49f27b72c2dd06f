"""Says what a run would do about what is in its output directory; nothing is made, started or read from the files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import assert_never

from pocket_exec.request import Prepared
from pocket_exec.runs.decide import AlreadyDone, Refuse, Run, decide, refusal
from pocket_exec.runs.directory import OutputDirectory
from pocket_exec.runs.key import ContentKey
from pocket_exec.runs.record_file import read_record
from pocket_exec.runs.results import existing_results


def foreseen(prepared: Prepared, outputdir: Path) -> Sequence[str]:
    """Return in lines what is in ``outputdir`` and what would become of it.

    Raises:
        OutputDirectoryError: a run could not use it at all.
    """
    out = OutputDirectory.check(outputdir)
    previous = read_record(out.record_path).record
    sizes = {row.file: row.bytes for row in previous.outputs} if previous else {}
    existing = existing_results(out.path, sizes)
    if not existing:
        return ["holds no results yet"]
    key = _key(prepared, out.path)
    if key is None:
        names = ", ".join(result.file for result in existing)
        return [f"holds {names}; whether that is what this run would make shows when its files have been opened"]
    members = {unit.name: unit.datasets for unit in prepared.units}
    decision = decide(previous, existing, key, [unit.name for unit in prepared.units], members)
    match decision:
        case AlreadyDone(files):
            return [f"holds all of it, made from the same content, and is left as it is: {', '.join(files)}"]
        case Refuse(differences, files) if prepared.request.force:
            return [f"holds results of another content, which --force overwrites: {', '.join(files)}", *differences]
        case Refuse():
            return ["is refused:", *str(refusal(out.path, decision)).splitlines()]
        case Run(reasons, done):
            left = [f"left as they are: {', '.join(done)}"] if done else []
            return ["holds results of an earlier run, which are completed or made anew", *reasons, *left]
        case _:
            assert_never(decision)


def _key(prepared: Prepared, directory: Path) -> ContentKey | None:
    """Return what decides the content of the results; None where files, or a factory of the user's, have a say yet."""
    from pocket_exec.engine.chunks import Cut, from_cache, needed, versions, work_items
    from pocket_exec.engine.metadata_cache import MetadataCache, default_path
    from pocket_exec.runs.content import content_key
    from pocket_exec.runs.course import ENGINE
    from pocket_exec.runs.ledger import kept_cuts
    from pocket_exec.runs.segment import LEDGER

    options = prepared.options
    kept = {} if prepared.request.fresh else kept_cuts(directory / LEDGER)
    cut = Cut(options.chunksize, options.align_clusters, options.limit_chunks, kept)
    keys = list(needed(prepared.fileset, cut))
    infos = from_cache(keys, MetadataCache.load(default_path()), cut)
    if len(infos) < len(keys) or not prepared.engine_known:
        return None
    items = work_items(prepared.fileset, infos, cut)
    key, _ = content_key(prepared.analysis, prepared.fileset, items, versions(infos), options, ENGINE)
    return key
