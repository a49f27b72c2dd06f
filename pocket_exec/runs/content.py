"""Computes the content key of a run: everything that decides the numbers in its results."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from pocket_exec.analysis.cfg import Analysis
from pocket_exec.analysis.fileset import Fileset
from pocket_exec.engine.fingerprint import canonical_digest, depends_on_digest, processor_key
from pocket_exec.engine.metadata_cache import Key
from pocket_exec.options.model import GeneralOptions
from pocket_exec.runs.key import SKIP_BAD_FILES, ContentKey

DECIDING_LIBRARIES = ("coffea", "awkward")


def content_key(
    analysis: Analysis,
    fileset: Fileset,
    items: Sequence[Any],
    versions: Mapping[Key, str],
    options: GeneralOptions,
    engine: str,
) -> tuple[ContentKey, str]:
    """Return the key and a caveat (empty as a rule) about what of the processor has no canonical form.

    ``versions`` tell trees, by file and name, from others in files of the same uuid.

    Raises:
        CfgError: a file that ``depends-on`` names is missing.
    """
    processor = processor_key(analysis.processor, [analysis.directory])
    key = ContentKey(
        processor_code={
            **processor.modules,
            f"processor {type(analysis.processor).__qualname__}": processor.code,
            f"schema {analysis.schema.__qualname__}": canonical_digest(analysis.schema, [analysis.directory]),
        },
        processor_state=dict(processor.state),
        depends_on=_depends_on(analysis.directory, options.depends_on),
        options={
            "chunksize": str(options.chunksize),
            "align-clusters": str(options.align_clusters),
            "format": options.format,
            "limit-files": str(options.limit_files),
            "limit-chunks": str(options.limit_chunks),
            "schema": f"{analysis.schema.__module__}.{analysis.schema.__qualname__}",
            SKIP_BAD_FILES: str(options.skip_bad_files),
            "engine": engine,
        },
        versions={**{name: _version(name) for name in DECIDING_LIBRARIES}, **processor.libraries},
        datasets=_datasets(fileset, items, versions),
    )
    return key, processor.caveat


def contexts(key: ContentKey, fileset: Fileset) -> dict[str, str]:
    """Return for each dataset the digest of what decides its chunks' results beside their events.

    How the files are cut, and how many of them there are, is not among it: each block says that itself.
    """
    cut = ("chunksize", "limit-files", "limit-chunks", "align-clusters", SKIP_BAD_FILES)
    options = {name: value for name, value in key.options.items() if name not in cut}
    shared = [key.processor_code, key.processor_state, key.depends_on, options, key.versions]
    common = json.dumps([sorted(part.items()) for part in shared])
    return {
        dataset.name: _digest(
            [common, dataset.name, key.datasets[dataset.name]["metadata"], sorted(dataset.preload or ())]
        )
        for dataset in fileset
    }


def _depends_on(directory: Path, names: Sequence[str]) -> dict[str, str]:
    digests = depends_on_digest([directory / Path(name).expanduser() for name in names])
    return dict(zip(names, digests.values(), strict=True))


def _datasets(fileset: Fileset, items: Sequence[Any], versions: Mapping[Key, str]) -> dict[str, dict[str, str]]:
    of: dict[str, list[Any]] = {dataset.name: [] for dataset in fileset}
    for item in items:
        of[item.dataset].append(item)
    return {
        dataset.name: {
            "files": _digest(
                [*_files(of[dataset.name], versions), *((file.name, file.treename) for file in dataset.files)]
            ),
            "chunks": _digest((item.entrystart, item.entrystop) for item in of[dataset.name]),
            "metadata": canonical_digest(dict(dataset.metadata)),
        }
        for dataset in fileset
    }


def _files(items: Sequence[Any], versions: Mapping[Key, str]) -> Iterable[tuple[str, ...]]:
    files = dict.fromkeys((item.filename, item.treename, bytes(item.fileuuid).hex()) for item in items)
    return [(*file, versions.get(file[:2], "")) for file in files]


def _digest(parts: Iterable[Any]) -> str:
    digest = hashlib.sha256()
    for part in parts:
        digest.update(repr(part).encode() + b"\0")
    return digest.hexdigest()


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "none"
