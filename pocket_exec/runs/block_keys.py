"""The key of a block of a sum: everything that decides its content, and nothing of where it stands in the fileset."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pocket_exec.engine.batch import Part
from pocket_exec.engine.fold import Block
from pocket_exec.engine.plan import DatasetNode, Plan


@dataclass(frozen=True)
class Place:
    """A block of a plan: chunks of a file, or whole files where ``file`` is None."""

    dataset: int
    file: int | None
    level: int
    index: int

    @classmethod
    def of(cls, dataset: int, part: Part) -> Place:
        """Return where a part belongs."""
        return cls(dataset, part.file, part.block.level, part.block.index)

    def part(self, value: object, leaves: int, *, counted: bool, size: int) -> Part:
        """Return the part that ``value``, read from the ledger, is the sum of; ``size``: its bytes, about."""
        return Part(self.file, Block(self.level, self.index, value, leaves, own=True, size=size), counted, kept=True)


@dataclass
class BlockKeys:
    """The keys of a plan's blocks; ``contexts`` has for each dataset the digest of all that its chunks share.

    A file is its uuid: one that was moved is the same. Its name counts only where a dataset has several copies of it,
    so a processor that puts the name into its result still shows the one under which the file was computed.
    """

    plan: Plan
    contexts: Mapping[str, str]
    versions: Mapping[tuple[str, str], str] = field(default_factory=dict)
    """By file and tree; a file that is updated keeps its uuid."""
    _files: dict[tuple[int, int], str] = field(default_factory=dict)
    _blocks: dict[Place, str] = field(default_factory=dict)
    _uuids: dict[int, Counter[str]] = field(default_factory=dict)

    def key(self, place: Place) -> str:
        """Return the key of a block, as hexadecimal digits."""
        if place not in self._blocks:
            self._blocks[place] = self._key(place)
        return self._blocks[place]

    def halves(self, place: Place) -> Iterator[Place]:
        """Yield the blocks that a block is the sum of; a single chunk has none."""
        width = self._leaves(place)
        if place.level > 0:
            for child in (2 * place.index, 2 * place.index + 1):
                if child << (place.level - 1) < width:
                    yield Place(place.dataset, place.file, place.level - 1, child)
        elif place.file is None:
            chunks = len(self._node(place.dataset).files[place.index].chunks)
            yield from self._top(place.dataset, place.index, chunks)

    def tops(self) -> Iterator[Place]:
        """Yield the block of each whole dataset."""
        for number, node in enumerate(self.plan.datasets):
            yield from self._top(number, None, len(node.files))

    def _top(self, dataset: int, file: int | None, leaves: int) -> Iterator[Place]:
        if leaves:
            yield Place(dataset, file, (leaves - 1).bit_length(), 0)

    def _key(self, place: Place) -> str:
        if place.file is not None:
            return _digest("chunks", self._file(place.dataset, place.file), str(place.level), str(place.index))
        if place.level == 0:
            return _digest("file", self._file(place.dataset, place.index))
        children = [self.key(child) for child in self.halves(place)]
        # What has no neighbour moves up as it is.
        return children[0] if len(children) == 1 else _digest("files", *children)

    def _file(self, dataset: int, file: int) -> str:
        key = dataset, file
        if key not in self._files:
            node = self._node(dataset)
            items = [self.plan.items[task] for task in node.files[file].chunks]
            ranges = [f"{item.entrystart}-{item.entrystop}" for item in items]
            self._files[key] = _digest(self.contexts[node.name], *self._identity(dataset, items[0]), *ranges)
        return self._files[key]

    def _identity(self, dataset: int, item: Any) -> Sequence[str]:
        uuid = _uuid(item)
        if not uuid:
            # Without one (parquet) the name stands for the content.
            return item.filename, item.treename
        content = uuid, item.treename, self.versions.get((item.filename, item.treename), "")
        # What the processor makes of the name must not pass from a copy of the file to another one.
        return (*content, item.filename) if self._copies(dataset)[uuid] > 1 else content

    def _copies(self, dataset: int) -> Counter[str]:
        """Count the files of a dataset that have the same uuid."""
        if dataset not in self._uuids:
            firsts = [self.plan.items[file.chunks[0]] for file in self._node(dataset).files]
            names = {(_uuid(item), item.filename) for item in firsts}
            self._uuids[dataset] = Counter(uuid for uuid, _ in names)
        return self._uuids[dataset]

    def _leaves(self, place: Place) -> int:
        files = self._node(place.dataset).files
        return len(files) if place.file is None else len(files[place.file].chunks)

    def _node(self, dataset: int) -> DatasetNode:
        return self.plan.datasets[dataset]


def _uuid(item: Any) -> str:
    return bytes(item.fileuuid).hex()


def _digest(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()
