"""One file of the ledger: some blocks, each with its key and checksum, behind a header with a checksum of its own."""

from __future__ import annotations

import hashlib
import itertools
import json
import os
import stat
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import BinaryIO, Self

from pocket_exec.runs.atomic import atomic_write

LEDGER = "ledger"
"""The ledger's directory in an output directory."""
SUFFIX = ".blocks"
FORMAT = b"pocket-exec ledger 1\n"
"""First line of every file; another format is another line."""

SAMPLE_BYTES = 2**20
PAYS = 0.9
"""A sum whose sample does not become smaller by this factor is written as it is: compressing it would take longer."""
_COMPRESSED = b"\x04\x22\x4d\x18"
"""How an LZ4 frame begins, and no pickle does."""


class SegmentError(Exception):
    """A file that is torn, foreign, or of another version."""


@dataclass(frozen=True)
class Entry:
    """A block in a file."""

    key: str
    leaves: int
    counted: bool
    what: str
    """Dataset, file and range in words, for who looks into the ledger."""
    chunks: int
    events: int
    size: int
    """Bytes of the packed sum."""
    sha256: str
    """Of the packed sum."""


@dataclass(frozen=True)
class Segment:
    """A file of the ledger whose header is sound."""

    path: Path
    entries: tuple[Entry, ...]
    start: int
    """Where the first packed sum begins, in bytes."""

    @cached_property
    def places(self) -> Mapping[str, tuple[int, Entry]]:
        """Where each packed sum begins, in bytes, by its key."""
        offsets = itertools.accumulate((entry.size for entry in self.entries), initial=self.start)
        return {entry.key: (offset, entry) for offset, entry in zip(offsets, self.entries, strict=False)}

    @cached_property
    def size(self) -> int:
        """Bytes of the packed sums."""
        return sum(entry.size for entry in self.entries)


class Reader:
    """Reads packed sums; a file of which one was read stays open until the end of the ``with`` block."""

    def __init__(self) -> None:
        self._stack = ExitStack()
        self._streams: dict[Path, BinaryIO] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._stack.close()

    def packed(self, segment: Segment, key: str) -> bytes:
        """Read one packed sum.

        Raises:
            SegmentError: it is not what was written.
            OSError: the file is gone, or cannot be read.
        """
        offset, entry = segment.places[key]
        if segment.path not in self._streams:
            self._streams[segment.path] = self._stack.enter_context(_open(segment.path))
        stream = self._streams[segment.path]
        stream.seek(offset)
        data = stream.read(entry.size)
        if len(data) != entry.size or hashlib.sha256(data).hexdigest() != entry.sha256:
            raise SegmentError(f"{entry.what}: its checksum is wrong")
        return data


def compressed(data: bytes) -> bytes:
    """Return a pickle smaller, where that pays; ``decompressed`` knows."""
    import lz4.frame

    middle = max(0, (len(data) - SAMPLE_BYTES) // 2)
    sample = data[middle : middle + SAMPLE_BYTES]
    if len(sample) == SAMPLE_BYTES and len(lz4.frame.compress(sample)) > PAYS * SAMPLE_BYTES:
        return data
    return bytes(lz4.frame.compress(data))


def decompressed(data: bytes) -> bytes:
    """Return the pickle that ``compressed`` was given."""
    import lz4.frame

    return bytes(lz4.frame.decompress(data)) if data.startswith(_COMPRESSED) else data


def packed_entry(key: str, data: bytes, *, leaves: int, counted: bool, what: str, chunks: int, events: int) -> Entry:
    """Return the entry of a packed sum."""
    return Entry(key, leaves, counted, what, chunks, events, len(data), hashlib.sha256(data).hexdigest())


def write_segment(path: Path, entries: Sequence[Entry], packed: Iterable[bytes]) -> Segment:
    """Write a file whole or not at all: ``entries``, and of each its packed sum, one at a time.

    Raises:
        OutputDirectoryError: the storage fails.
    """
    header = json.dumps([asdict(entry) for entry in entries]).encode()
    first = FORMAT + f"{len(header)} {hashlib.sha256(header).hexdigest()}\n".encode() + header

    def write(stream: BinaryIO) -> None:
        stream.write(first)
        stream.writelines(packed)

    atomic_write(path, write)
    return Segment(path, tuple(entries), len(first))


def read_segment(path: Path) -> Segment:
    """Read the header of a file.

    Raises:
        SegmentError: it cannot be trusted, and why.
    """
    try:
        with _open(path) as stream:
            status = os.fstat(stream.fileno())
            # A packed sum is code that is run when it is read.
            if status.st_uid != os.geteuid():
                raise SegmentError("it belongs to another user")
            if status.st_mode & stat.S_IWOTH:
                raise SegmentError("everybody may write to it")
            if stream.readline(len(FORMAT)) != FORMAT:
                raise SegmentError("it is of another version, or no part of a ledger")
            length, _, digest = stream.readline(100).decode("ascii", "replace").strip().partition(" ")
            header = stream.read(int(length))
            if hashlib.sha256(header).hexdigest() != digest:
                raise SegmentError("its header is damaged")
            entries = tuple(_entry(row) for row in json.loads(header))
            start = stream.tell()
            whole = start + sum(entry.size for entry in entries)
            if (size := os.fstat(stream.fileno()).st_size) != whole:
                raise SegmentError("it is cut short" if size < whole else "it is longer than it says")
    except OSError as error:
        raise SegmentError(error.strerror or str(error)) from error
    except (ValueError, TypeError, KeyError) as error:
        raise SegmentError("its header is damaged") from error
    return Segment(path, entries, start)


def _entry(row: Mapping[str, object]) -> Entry:
    return Entry(**row)  # type: ignore[arg-type]  # the checksum says that it is what was written


def _open(path: Path) -> BinaryIO:
    return path.open("rb")
