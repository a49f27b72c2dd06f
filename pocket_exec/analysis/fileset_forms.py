"""Reads a fileset from every form that coffea and its users have."""

from __future__ import annotations

import glob
import gzip
import itertools
import json
import logging
import operator
import zlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypeGuard

from pocket_exec.analysis.fileset import TREENAME, DataFile, Dataset, Fileset, Steps
from pocket_exec.analysis.pickling import unpicklable_part
from pocket_exec.errors import CfgError, Fault

log = logging.getLogger(__name__)

RESERVED_METADATA = frozenset(
    {
        "clusters",
        "dataset",
        "entrystart",
        "entrystop",
        "filename",
        "fileuuid",
        "metadata",
        "numentries",
        "preload",
        "treename",
        "uuid",
    }
)
"""Names that coffea's Runner keeps for itself (coffea 2026.9, ``processor.executor``)."""


def read_fileset(raw: object, treename: str | None, base: Path, where: str = "") -> Fileset:
    """Read a fileset: a mapping as coffea takes it, its preprocessed form, JSON files, or globs of either.

    Relative paths are looked for in the current directory, then in ``base``, the directory of cfg.py. ``where`` stands
    before the message of an error. A dataset without files is left out, with a warning.

    Raises:
        CfgError: all that is wrong with it, at once.
    """
    faults: list[Fault] = []
    reader = _Reader(treename, base, faults)
    datasets = tuple(reader.dataset(str(name), entry) for name, entry in reader.mapping(raw).items())
    names = Counter(dataset.name for dataset in datasets)
    faults += [Fault("fileset", f"two datasets are called '{name}'") for name, number in names.items() if number > 1]
    faults += _twice(datasets)
    if not faults and not any(dataset.files for dataset in datasets):
        faults.append(Fault("fileset", "it has no files" if datasets else "it is empty"))
    if faults:
        raise CfgError("\n".join([f"{where}Bad fileset:", *(f"  {fault}" for fault in faults)]))
    for dataset in datasets:
        if not dataset.files:
            log.warning("dataset '%s' has no files; it is left out", dataset.name)
    return tuple(dataset for dataset in datasets if dataset.files)


class _Reader:
    def __init__(self, treename: str | None, base: Path, faults: list[Fault]) -> None:
        self._treename = treename
        self._base = base
        self._faults = faults

    def mapping(self, raw: object) -> Mapping[str, Any]:
        """Return the mapping by dataset, reading JSON where ``raw`` names files."""
        raw = _plain(raw)
        if isinstance(raw, Mapping):
            return raw
        if isinstance(raw, (str, Path)):
            raw = [raw]
        if not isinstance(raw, Sequence) or not all(isinstance(entry, (str, Path)) for entry in raw):
            self._faults.append(
                Fault("fileset", f"it is a {type(raw).__name__}; a mapping or JSON files were expected")
            )
            return {}
        merged: dict[str, Any] = {}
        for path in [path for entry in raw for path in self._expand(str(entry), "fileset")]:
            for name, entry in self._json(Path(path)).items():
                if name in merged:
                    self._faults.append(Fault(f"dataset '{name}'", "it stands in two JSON files", path))
                merged[name] = entry
        return merged

    def _json(self, path: Path) -> Mapping[str, Any]:
        try:
            text = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
            content = json.loads(text, object_pairs_hook=_no_key_twice)
        except (OSError, EOFError) as error:
            self._faults.append(Fault("fileset", getattr(error, "strerror", None) or str(error), str(path)))
        except (ValueError, zlib.error) as error:
            self._faults.append(Fault("fileset", f"not JSON: {error}", str(path)))
        else:
            if isinstance(content, Mapping):
                return content
            self._faults.append(Fault("fileset", "the JSON is not a mapping of datasets", str(path)))
        return {}

    def dataset(self, name: str, entry: Any) -> Dataset:
        """Read one dataset."""
        where = f"dataset '{name}'"
        entry = _plain(entry)
        if not isinstance(entry, Mapping):
            return Dataset(name, self._files(where, entry, self._treename))
        files = entry.get("files", None if {"metadata", "treename"} & set(entry) else entry)
        metadata = entry.get("metadata") or {}
        if files is None:
            self._faults.append(Fault(where, "it has no 'files'"))
        if not isinstance(metadata, Mapping):
            self._faults.append(Fault(where, f"its 'metadata' is a {type(metadata).__name__}, not a mapping"))
            metadata = {}
        if reserved := sorted(RESERVED_METADATA & set(metadata)):
            self._faults.append(
                Fault(where, f"coffea keeps these names of 'metadata' for itself: {', '.join(reserved)}")
            )
        if (found := unpicklable_part(dict(metadata), "metadata")) is not None:
            self._faults.append(Fault(where, f"{found[0]} cannot be sent to workers ({found[1]})"))
        preload = entry.get("preload") if files is not entry else None
        treename = entry.get("treename") if files is not entry else None
        if preload is not None and not _is_list_of(str, preload):
            self._faults.append(Fault(where, f"its 'preload' is {preload!r}, not a list of branches"))
            preload = None
        if not isinstance(treename, str | None):
            self._faults.append(Fault(where, f"its 'treename' is {treename!r}, not text"))
            treename = None
        return Dataset(
            name,
            self._files(where, files or [], treename or self._treename),
            MappingProxyType(dict(metadata)),
            frozenset(preload) if preload else None,
        )

    def _files(self, where: str, raw: Any, treename: str | None) -> tuple[DataFile, ...]:
        tree = treename or TREENAME
        raw = _plain(raw)
        if isinstance(raw, (str, Path)):
            raw = [raw]
        if isinstance(raw, Mapping):
            return tuple(file for name, spec in raw.items() for file in self._specified(where, str(name), spec, tree))
        if not isinstance(raw, Sequence):
            self._faults.append(Fault(where, f"its files are a {type(raw).__name__}; a list or a mapping was expected"))
            return ()
        return tuple(file for entry in raw for file in self._listed(where, entry, tree))

    def _listed(self, where: str, entry: Any, treename: str) -> Iterable[DataFile]:
        if isinstance(entry, (str, Path)) and str(entry):
            return [DataFile(path, treename) for path in self._expand(str(entry), where)]
        if entry and _is_list_of((str, Path), entry) and all(map(str, entry)):
            first, *others = [path for address in entry for path in self._expand(str(address), where)] or [""]
            return [DataFile(first, treename, tuple(others))]
        self._faults.append(Fault(where, f"{entry!r} is no file: write a path, an address, or a list of replicas"))
        return []

    def _specified(self, where: str, name: str, spec: Any, treename: str) -> Iterable[DataFile]:
        """Read one entry of ``{file: tree}``, or of coffea's preprocessed ``{file: {object_path, steps}}``."""
        steps: Steps = ()
        spec = _plain(spec)
        if isinstance(spec, Mapping):
            treename = spec.get("object_path") or treename
            if not isinstance(treename, str):
                self._faults.append(Fault(where, f"'object_path' of {name} is {treename!r}, not the name of a tree"))
                treename = TREENAME
            try:
                steps = _steps(spec.get("steps"))
            except (TypeError, ValueError) as error:
                self._faults.append(Fault(where, f"'steps' of {name} is not a list of [start, stop]: {error}"))
        elif isinstance(spec, str):
            treename = spec
        elif spec is not None:
            self._faults.append(Fault(where, f"{name}: {spec!r} is not the name of a tree"))
        return [DataFile(path, treename, steps=steps) for path in self._expand(name, where)]

    def _expand(self, text: str, where: str) -> list[str]:
        """Return the absolute paths that ``text`` means; addresses with a protocol stay as they are."""
        if "://" in text:
            return self._expand_remote(text, where) if glob.has_magic(text.partition("?")[0]) else [text]
        try:
            path = Path(text).expanduser()
            for base in (Path.cwd(), self._base):
                if (base / path).exists():
                    return [str(base / path)]
                # The directory is no pattern, whatever its name.
                if found := sorted(glob.glob(str(path), root_dir=base, recursive=True)):  # noqa: PTH207
                    return [str(base / name) for name in found]
        except (OSError, RuntimeError, ValueError) as error:
            self._faults.append(Fault(where, f"{text[:200]}: {getattr(error, 'strerror', None) or error}"))
            return []
        if glob.has_magic(text):
            self._faults.append(Fault(where, f"no file matches {text}"))
            return []
        # A file that is not there is not a fault of the fileset: the run says so, and goes on with the others.
        return [str(Path.cwd() / path)]

    def _expand_remote(self, text: str, where: str) -> list[str]:
        import fsspec

        try:
            file_system, path = fsspec.core.url_to_fs(text)
            found = sorted(str(file_system.unstrip_protocol(name)) for name in file_system.glob(path))
        except Exception as error:  # noqa: BLE001 - each protocol has its own errors, and its own missing packages
            self._faults.append(Fault(where, f"{text}: {type(error).__name__}: {error}"))
            return []
        if not found:
            self._faults.append(Fault(where, f"no file matches {text}"))
        return found


def _is_list_of(kind: type | tuple[type, ...], value: object) -> TypeGuard[Sequence[Any]]:
    return (
        isinstance(value, Sequence | set | frozenset)
        and not isinstance(value, str)
        and all(isinstance(v, kind) for v in value)
    )


def _twice(datasets: Fileset) -> Iterable[Fault]:
    """Find files listed twice: a fault in one dataset, a warning in two."""
    owner: dict[tuple[str, str], str] = {}
    for dataset in datasets:
        seen: dict[tuple[str, str], list[Steps]] = {}
        for file in dataset.files:
            key = (file.name, file.treename)
            addresses = {(address, file.treename) for address in (file.name, *file.replicas)}
            if any(_overlap(file.steps, steps) for address in addresses for steps in seen.get(address, ())):
                yield Fault(f"dataset '{dataset.name}'", f"{file.name} is listed twice; its events would count twice")
            elif owner.setdefault(key, dataset.name) != dataset.name:
                log.warning("%s is in two datasets: '%s' and '%s'", file.name, owner[key], dataset.name)
            for address in addresses:
                seen.setdefault(address, []).append(file.steps)


def _overlap(some: Steps, others: Steps) -> bool:
    """Whether two lists of entry ranges have an entry in common; the empty list is the whole file."""
    if not some or not others:
        return True
    return any(start < other_stop and other_start < stop for start, stop in some for other_start, other_stop in others)


def _steps(raw: Any) -> Steps:
    if raw is None:
        return ()
    steps = tuple((operator.index(start), operator.index(stop)) for start, stop in raw)
    if not steps:
        raise ValueError("it is empty")
    for start, stop in steps:
        # coffea's preprocess gives [0, 0] for a file without entries.
        if not 0 <= start <= stop:
            raise ValueError(f"[{start}, {stop}] is no range of entries")
    for (_, stop), (start, _) in itertools.pairwise(sorted(steps)):
        if start < stop:
            raise ValueError(f"entry {start} stands in two of them")
    return steps


def _plain(given: Any) -> Any:
    """Return coffea's DataGroupSpec, DatasetSpec and the like as mappings."""
    return given.model_dump() if hasattr(given, "model_dump") else given


def _no_key_twice(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    content = dict(pairs)
    if len(content) < len(pairs):
        seen: set[str] = set()
        twice = next(name for name, _ in pairs if name in seen or seen.add(name))  # type: ignore[func-returns-value]
        raise ValueError(f"{twice!r} stands in it twice")
    return content
