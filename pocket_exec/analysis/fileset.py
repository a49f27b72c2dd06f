"""A fileset in its one internal form: datasets, their files, and where else a file lies."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

TREENAME = "Events"
"""The tree of CMS NanoAOD, where the fileset and cfg.py name none."""

Steps = tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class DataFile:
    """A data file: its name (which is its identity), the tree to read, and where else it lies."""

    name: str
    treename: str
    replicas: tuple[str, ...] = ()
    """Further addresses of the same file, in the order to try them."""
    steps: Steps = ()
    """Entry ranges to process, from a preprocessed fileset; empty: cut by chunksize."""


@dataclass(frozen=True)
class Dataset:
    """A dataset: files that are summed, with what the user says about them."""

    name: str
    files: tuple[DataFile, ...]
    metadata: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))
    preload: frozenset[str] | None = None


Fileset = tuple[Dataset, ...]
