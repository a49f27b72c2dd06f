"""The tree that a list of work items makes: chunks of a file, files of a dataset, datasets."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from pocket_exec.engine.outcome import DatasetPlan


@dataclass(frozen=True)
class FileNode:
    """A file: the positions of its chunks in the list of items, in their order."""

    name: str
    chunks: list[int] = field(default_factory=list)


@dataclass(frozen=True)
class DatasetNode:
    """A dataset: its files in the order in which the items name them first."""

    name: str
    files: list[FileNode] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Place:
    """Where an item stands in the tree."""

    dataset: int
    file: int
    chunk: int


@dataclass(frozen=True)
class Plan:
    """All items, and where each belongs."""

    items: Sequence[Any]
    datasets: list[DatasetNode]
    places: list[Place]

    def summaries(self) -> list[DatasetPlan]:
        """Return what there is to do for each dataset."""
        return [
            DatasetPlan(
                dataset=node.name,
                files=len(node.files),
                chunks=sum(len(file.chunks) for file in node.files),
                events=sum(events_in(self.items[i]) for file in node.files for i in file.chunks),
            )
            for node in self.datasets
        ]


def plan(items: Sequence[Any]) -> Plan:
    """Group ``items`` by dataset and file; items that are not coffea's work items are one file of one dataset."""
    datasets: dict[str, dict[tuple[str, str], list[int]]] = {}
    for index, item in enumerate(items):
        files = datasets.setdefault(getattr(item, "dataset", ""), {})
        files.setdefault((getattr(item, "filename", ""), getattr(item, "treename", "")), []).append(index)
    nodes = [
        DatasetNode(name, [FileNode(file, chunks) for (file, _), chunks in files.items()])
        for name, files in datasets.items()
    ]
    places: dict[int, Place] = {}
    for d, dataset in enumerate(nodes):
        for f, file in enumerate(dataset.files):
            places.update({item: Place(d, f, c) for c, item in enumerate(file.chunks)})
    return Plan(items, nodes, [places[i] for i in range(len(items))])


def events_in(item: object) -> int:
    """Return the number of entries of a work item; 0 for an item of another kind."""
    start, stop = getattr(item, "entrystart", None), getattr(item, "entrystop", None)
    return stop - start if isinstance(start, int) and isinstance(stop, int) else 0


def readdressed(item: Any, address: str) -> Any:
    """Return a WorkItem or FileMeta with another address of its file."""
    from coffea.processor.executor import FileMeta

    if item.filename == address:
        return item
    if isinstance(item, FileMeta):
        return FileMeta(item.dataset, address, item.treename, item.metadata, item.preload)
    return replace(item, filename=address)
