"""The ledger of an output directory: finished blocks of the sums, so that no run computes what another one has."""

from __future__ import annotations

import itertools
import logging
import math
import os
import secrets
import stat
import time
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from types import MappingProxyType

from pocket_exec.engine.batch import Part
from pocket_exec.engine.chunks import Cuts
from pocket_exec.engine.ledger import Sums
from pocket_exec.engine.plan import Plan, events_in
from pocket_exec.engine.unpickling import loads
from pocket_exec.errors import OutputDirectoryError
from pocket_exec.runs.block_keys import BlockKeys, Place
from pocket_exec.runs.cuts import read_cuts, write_cuts
from pocket_exec.runs.segment import (
    SUFFIX,
    Entry,
    Reader,
    Segment,
    SegmentError,
    compressed,
    decompressed,
    packed_entry,
    read_segment,
    write_segment,
)

log = logging.getLogger(__name__)

FIRST_FLUSH_S = 0.2
"""Blocks are not written more often than that, however quickly it goes."""
SHARE = 0.015
"""The most of a run's time that is spent on writing blocks, and on tidying up what was written."""
ROOM = 64 * 10**6
"""Bytes of blocks of single files; with more, neighbouring files are kept as one block."""
SEGMENTS = 64
"""Files of about one size that a ledger has; with more, these are written anew as one."""
ABOUT_ONE_SIZE = 16
"""Times larger than the smallest of them: so each block is written anew a few times, however many results there are."""


class FileLedger:
    """Blocks in plain files; one writer at a time, who holds the output directory's lock.

    What cannot be trusted (torn, of another user or version) is named and computed again. A ledger that cannot be
    written is said to be so once, and the run goes on without.
    """

    def __init__(
        self,
        directory: Path,
        contexts: Mapping[str, str],
        changes: Sequence[str] = (),
        cuts: Cuts | None = None,
        versions: Mapping[tuple[str, str], str] = MappingProxyType({}),
    ) -> None:
        """Keep it in ``directory``.

        Args:
            directory: is made when there is something to write.
            contexts: for each dataset the digest of all that its chunks share.
            changes: in words, what is different from the last run that wrote there.
            cuts: where the files are cut, to be kept beside the blocks.
            versions: what tells trees, by file and name, from others in files of the same uuid.
        """
        self._directory = directory
        self._contexts = contexts
        self._changes = "; ".join(changes)
        self._cuts = cuts
        self._versions = versions
        self._segments: list[Segment] = []
        self._where: dict[str, tuple[Segment, Entry]] = {}
        self._live: dict[tuple[int, int | None], dict[Place, str]] = {}
        self._superseded: set[str] = set()
        self._dirty: set[int] = set()
        self._unwritten: set[int] = set()
        self._last, self._cost_s = time.monotonic(), 0.0
        self._broken = self._warned = self._cleared = False

    def clear(self) -> None:
        """Remove what is there; what cannot be removed is not looked at."""
        self._cleared = True
        if not_trusted(self._directory):
            return
        for path in self._directory.glob(f"*{SUFFIX}"):
            with suppress(OSError):
                path.unlink()

    def known(self, plan: Plan) -> Iterator[tuple[int, Part]]:
        """Yield the blocks of ``plan`` that are there, the largest first, none twice, each with its dataset."""
        self._plan, self._keys = plan, BlockKeys(plan, self._contexts, self._versions)
        self._read()
        chunks = 0
        with Reader() as reader:
            for top in self._keys.tops() if self._where else ():
                for dataset, part in self._found(top, reader):
                    chunks += len(self._tasks(Place.of(dataset, part)))
                    yield dataset, part
        if chunks:
            log.info("resuming: %d of %d chunks are in the ledger of an earlier run", chunks, len(plan.items))
            if self._changes:
                log.info("what differs from the last run: %s", self._changes)
        elif self._where:
            why = self._changes or "its processor, options or files differ"
            log.info("the ledger of an earlier run holds nothing of this one: %s", why)

    def note(self, sums: Sums, dataset: int) -> None:
        """Write what has been finished as soon as that leaves the run its time.

        A client that is killed loses what came since: after a write of 5 ms that is a third of a second.
        """
        self._dirty.add(dataset)
        if time.monotonic() - self._last >= max(FIRST_FLUSH_S, self._cost_s / SHARE):
            self.flush(sums)

    def flush(self, sums: Sums) -> None:
        """Write what is not yet written, and drop what is no longer needed."""
        begin = time.monotonic()
        dirty = sorted(self._dirty)
        if dirty and not self._broken:
            try:
                for dataset in dirty:
                    wanted = partial(self._wanted, dataset)
                    # What a write that failed had been given is told as part of a larger sum only.
                    files = sums.merged if dataset in self._unwritten else sums.finished_files
                    self._write(dataset, itertools.chain(files(dataset, wanted), sums.open_blocks(dataset, wanted)))
                if self._bytes(self._live_keys()) > ROOM:
                    for dataset in dirty:
                        self._write(dataset, sums.merged(dataset, partial(self._wanted, dataset)))
                self._compact()
                for dataset in dirty:
                    sums.written(dataset)
                self._dirty.clear()
                self._unwritten.clear()
            except BaseException as error:
                # There may be room again the next time, or the end of an interrupted run is the next time.
                self._unwritten.update(dirty)
                if not isinstance(error, (OutputDirectoryError, OSError)):
                    raise
                self._warn(str(error))
        self._last = time.monotonic()
        self._cost_s = self._last - begin

    def _warn(self, reason: str) -> None:
        if not self._warned:
            log.warning("the ledger cannot be written (%s); an interrupted run would begin anew", reason)
        self._warned = True

    def _read(self) -> None:
        if why := not_trusted(self._directory):
            # What is written to it would not be read again.
            self._broken = self._warned = True
            log.warning("the ledger %s is not used: %s; an interrupted run would begin anew", self._directory, why)
            return
        if self._cleared:
            return
        for path in sorted(self._directory.glob(f"*{SUFFIX}")):
            try:
                segment = read_segment(path)
            except SegmentError as error:
                log.warning("%s is not used: %s; what it held is computed again", path, error)
                continue
            self._hold(segment)

    def _hold(self, segment: Segment) -> None:
        self._segments.append(segment)
        self._where.update({entry.key: (segment, entry) for entry in segment.entries})

    def _found(self, place: Place, reader: Reader) -> Iterator[tuple[int, Part]]:
        key = self._keys.key(place)
        part = self._loaded(place, key, reader) if key in self._where else None
        if part is not None:
            self._live.setdefault((place.dataset, place.file), {})[place] = key
            yield place.dataset, part
        else:
            for half in self._keys.halves(place):
                yield from self._found(half, reader)

    def _loaded(self, place: Place, key: str, reader: Reader) -> Part | None:
        segment, entry = self._where[key]
        try:
            data = decompressed(reader.packed(segment, key))
            value = loads(data)
        except Exception as error:  # noqa: BLE001 - unpickling imports the user's modules
            log.warning("%s of %s is not used: %s; it is computed again", entry.what, segment.path, error)
            del self._where[key]
            return None
        return place.part(value, entry.leaves, counted=entry.counted, size=len(data))

    def _wanted(self, dataset: int, file: int | None, level: int, index: int) -> bool:
        place = Place(dataset, file, level, index)
        return place not in self._live.get((dataset, file), {}) and not self._covered(place)

    def _write(self, dataset: int, parts: Iterable[Part]) -> None:
        """Write parts as they come, so that no more of them are in memory than one file of the ledger holds."""
        blocks: list[tuple[Place, tuple[Entry, bytes]]] = []
        size = 0
        for part in parts:
            place = Place.of(dataset, part)
            if place in self._live.get((dataset, place.file), {}):
                continue
            if (key := self._keys.key(place)) in self._where:
                # What has no neighbour moves up as it is.
                self._put(place, key)
                continue
            try:
                blocks.append((place, self._packed(place, part)))
            except Exception as error:  # noqa: BLE001 - each type refuses to be pickled in its own way
                self._broken = True
                self._warn(f"{type(error).__name__}: {error}")
                return
            size += blocks[-1][1][0].size
            if size > ROOM:
                self._write_file(blocks)
                blocks, size = [], 0
        if blocks:
            self._write_file(blocks)

    def _write_file(self, blocks: Sequence[tuple[Place, tuple[Entry, bytes]]]) -> None:
        self._directory.mkdir(mode=0o700, exist_ok=True)
        if self._cuts:
            write_cuts(self._directory, self._cuts)
            self._cuts = None
        entries, packed = zip(*(block for _, block in blocks), strict=True)
        self._hold(write_segment(self._new_path(), entries, packed))
        for place, (entry, _) in blocks:
            self._put(place, entry.key)

    def _packed(self, place: Place, part: Part) -> tuple[Entry, bytes]:
        import cloudpickle

        data = compressed(cloudpickle.dumps(part.block.value, protocol=5))
        tasks = self._tasks(place)
        events = sum(events_in(self._plan.items[task]) for task in tasks)
        return packed_entry(
            self._keys.key(place),
            data,
            leaves=part.block.leaves,
            counted=part.counted,
            what=self._words(place),
            chunks=len(tasks),
            events=events,
        ), data

    def _tasks(self, place: Place) -> list[int]:
        files = self._plan.datasets[place.dataset].files
        span = slice(place.index << place.level, (place.index + 1) << place.level)
        if place.file is not None:
            return files[place.file].chunks[span]
        return [task for file in files[span] for task in file.chunks]

    def _words(self, place: Place) -> str:
        items = [self._plan.items[task] for task in self._tasks(place)]
        dataset = self._plan.datasets[place.dataset].name
        if place.file is not None:
            return f"{dataset}, {items[0].filename}, entries {items[0].entrystart}-{items[-1].entrystop}"
        names = list(dict.fromkeys(item.filename for item in items))
        return f"{dataset}, {names[0]}" + (f" and {len(names) - 1} more files" if len(names) > 1 else "")

    def _covered(self, place: Place) -> bool:
        """Whether a larger block that is there holds it."""
        groups = [(place, self._live.get((place.dataset, place.file), {}))]
        if place.file is not None:
            groups.append((Place(place.dataset, None, 0, place.file), self._live.get((place.dataset, None), {})))
        return any(
            Place(at.dataset, at.file, level, at.index >> (level - at.level)) in live
            for at, live in groups
            for level in range(at.level, 64)
        )

    def _put(self, place: Place, key: str) -> None:
        """Note that a block is there; those that it is the sum of are no longer needed, save one that is all of it."""
        live = self._live.setdefault((place.dataset, place.file), {})
        for other in _within(place, live):
            self._superseded.add(live.pop(other))
        if place.file is None:
            for file in range(place.index << place.level, (place.index + 1) << place.level):
                self._superseded.update(self._live.pop((place.dataset, file), {}).values())
        live[place] = key
        self._superseded.discard(key)

    def _live_keys(self) -> set[str]:
        return {key for live in self._live.values() for key in live.values()}

    def _bytes(self, keys: Iterable[str]) -> int:
        return sum(self._where[key][1].size for key in keys if key in self._where)

    def _unreached(self) -> list[str]:
        """Return the blocks that are of no use to this run, the oldest first: of other code, files or options."""
        live = self._live_keys()
        return [e.key for s in self._segments for e in s.entries if e.key not in live and e.key not in self._superseded]

    def _compact(self) -> None:
        """Remove files in which nothing is needed any more; write all anew where much of them is not."""
        unreached = self._unreached()
        while unreached and self._bytes(unreached) > ROOM:
            self._superseded.update(unreached[: len(unreached) // 2 + 1])
            unreached = unreached[len(unreached) // 2 + 1 :]
        for segment in [one for one in self._segments if all(e.key in self._superseded for e in one.entries)]:
            self._drop(segment)
        dead = sum(e.size for segment in self._segments for e in segment.entries if e.key in self._superseded)
        if dead > sum(segment.size for segment in self._segments) - dead + 10**6:
            self._write_anew([one for one in self._segments if any(e.key in self._superseded for e in one.entries)])
        sizes: dict[int, list[Segment]] = {}
        for segment in self._segments:
            sizes.setdefault(int(math.log(segment.size + 1, ABOUT_ONE_SIZE)), []).append(segment)
        for alike in sizes.values():
            if len(alike) > SEGMENTS:
                self._write_anew(alike)

    def _write_anew(self, segments: Sequence[Segment]) -> None:
        """Write what is needed of some files as one, block by block: all of them together may be large."""
        whole: Segment | None = None
        while whole is None:
            needed = [
                (segment, entry)
                for segment in segments
                for entry in segment.entries
                if entry.key not in self._superseded and self._where.get(entry.key, (None,))[0] is segment
            ]
            with Reader() as reader:
                packed = (self._sound(reader, segment, entry.key) for segment, entry in needed)
                with suppress(SegmentError):
                    whole = write_segment(self._new_path(), [entry for _, entry in needed], packed)
        for segment in segments:
            self._drop(segment)
        self._hold(whole)

    def _sound(self, reader: Reader, segment: Segment, key: str) -> bytes:
        try:
            return reader.packed(segment, key)
        except (SegmentError, OSError) as error:
            # What this run had no use for may be damaged, or gone, without being noticed before.
            log.warning("a block of %s is left out: %s", segment.path, error)
            self._superseded.add(key)
            raise SegmentError(str(error)) from error

    def _drop(self, segment: Segment) -> None:
        self._segments.remove(segment)
        for entry in segment.entries:
            if self._where.get(entry.key, (None,))[0] is segment:
                del self._where[entry.key]
            self._superseded.discard(entry.key)
        with suppress(OSError):
            segment.path.unlink()

    def _new_path(self) -> Path:
        return self._directory / f"{time.strftime('%Y%m%dT%H%M%S')}-{secrets.token_hex(4)}{SUFFIX}"


def kept_cuts(directory: Path) -> Cuts:
    """Return where files were cut for the blocks of a ledger; nothing of one that is not trusted."""
    return {} if not_trusted(directory) else read_cuts(directory)


def not_trusted(directory: Path) -> str:
    """Return why a ledger is neither read nor written: its blocks are code that is run when they are read."""
    try:
        status = directory.lstat()
    except OSError:
        return ""
    if stat.S_ISLNK(status.st_mode):
        return "it is a link"
    if status.st_uid != os.geteuid():
        return "it belongs to another user"
    return "others than you may write to it" if status.st_mode & stat.S_IWOTH else ""


def _within(place: Place, live: Collection[Place]) -> list[Place]:
    """Return those of some blocks that a larger one holds, by whichever are fewer: they, or all that it can hold."""
    if 2 << place.level > len(live):
        return [
            one for one in live if one.level < place.level and one.index >> (place.level - one.level) == place.index
        ]
    inner = (
        Place(place.dataset, place.file, level, index)
        for level in range(place.level)
        for index in range(place.index << (place.level - level), (place.index + 1) << (place.level - level))
    )
    return [one for one in inner if one in live]
