"""Result files: saved as coffea saves them, and looked at again by a later run."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from pocket_exec.analysis.pickling import unpicklable_part
from pocket_exec.engine.unpickling import load
from pocket_exec.errors import OutputDirectoryError, ProcessingError
from pocket_exec.runs.atomic import atomic_write
from pocket_exec.runs.directory import OutputDirectory
from pocket_exec.runs.names import dataset_of, result_name


@dataclass(frozen=True)
class SavedResult:
    """A result file that is on disk."""

    path: Path
    name: str
    """Of the dataset or group; ``all`` for every dataset."""
    datasets: tuple[str, ...]
    """What is in it, in the order of the fileset."""
    partial: bool
    bytes: int
    sha256: str


@dataclass(frozen=True)
class ExistingResult:
    """A result file that an earlier run has left."""

    file: str
    name: str
    partial: bool
    bytes: int
    sha256: str
    """Empty where the size alone shows that it is not the file of the record."""


def save_result(
    out: OutputDirectory, name: str, output: object, *, partial: bool, datasets: Sequence[str] | None = None
) -> SavedResult:
    """Save what ``coffea.util.load`` gives back, whole or not at all; ``datasets`` defaults to ``[name]``.

    A whole result takes its partial file away once it is there; a partial one leaves the whole one of an earlier run.
    Raises ProcessingError that names the part of ``output`` that cannot be pickled, and OutputDirectoryError when the
    storage fails; either way the old file is as it was.
    """
    path = out.path / result_name(name, partial)
    counted = _written(path, output)
    if not partial:
        (out.path / result_name(name, partial=True)).unlink(missing_ok=True)
    members = (name,) if datasets is None else tuple(datasets)
    return SavedResult(path, name, members, partial, counted.size, counted.digest.hexdigest())


def rescue_result(directory: Path, name: str, output: object, *, partial: bool) -> Path:
    """Save what the output directory has no room for in another one, and return where; raises as ``save_result``."""
    path = directory / result_name(name, partial)
    _written(path, output)
    return path


def _written(path: Path, output: object) -> _Counted:
    counted = _Counted()
    atomic_write(path, lambda stream: _dump(output, counted.onto(stream), path))
    return counted


def existing_results(directory: Path, sizes: dict[str, int]) -> tuple[ExistingResult, ...]:
    """Return the result files in ``directory``, sorted by name; none where there is no directory.

    Only a file of the size that ``sizes`` (file name to bytes, from the last run's record) gives for it is read for its
    digest.
    """
    if not directory.is_dir():
        return ()
    found = []
    try:
        for path in sorted(directory.iterdir()):
            if (named := dataset_of(path.name)) is not None and path.is_file():
                size = path.stat().st_size
                sha256 = _digest(path) if sizes.get(path.name) == size else ""
                found.append(ExistingResult(path.name, named.dataset, named.partial, size, sha256))
    except OSError as error:
        raise OutputDirectoryError(f"cannot read the results in {directory}: {error}") from error
    return tuple(found)


def load_result(path: Path) -> Any:
    """Read a result as ``coffea.util.load`` does, but leave the classes as they are that are defined here."""
    from fsspec.compression import compr

    with path.open("rb") as stream, compr["lz4"](stream, mode="rb") as decompressed:
        return load(decompressed)


class _Counted:
    """A stream that keeps account of what is written to it."""

    _stream: BinaryIO

    def __init__(self) -> None:
        self.failed = False
        """Whether it was the storage that raised, not the object that is pickled."""
        self.size = 0
        self.digest = hashlib.sha256()

    def onto(self, stream: BinaryIO) -> _Counted:
        self._stream = stream
        return self

    def write(self, data: bytes) -> int:
        self.size += len(data)
        self.digest.update(data)
        try:
            return self._stream.write(data)
        except OSError:
            self.failed = True
            raise

    def flush(self) -> None:
        try:
            self._stream.flush()
        except OSError:
            self.failed = True
            raise


def _dump(output: object, stream: _Counted, path: Path) -> None:
    """Write as ``coffea.util.save`` does: cloudpickle in fsspec's lz4."""
    import cloudpickle
    from fsspec.compression import compr

    try:
        with compr["lz4"](stream, mode="wb") as compressed:
            cloudpickle.dump(output, compressed)
    except Exception as error:  # each type refuses to be pickled in its own way
        if stream.failed:
            raise
        part, reason = _culprit(output, error)
        raise ProcessingError(
            f"cannot save {path.name}: {part} of the processor's result cannot be pickled ({reason}); "
            "leave it out of what process() or postprocess() returns"
        ) from error


def _culprit(output: object, error: Exception) -> tuple[str, str]:
    reason = f"{type(error).__name__}: {error}"
    try:
        return unpicklable_part(output, "output") or ("output", reason)
    except RecursionError:  # it holds itself
        return "output", reason


def _digest(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
