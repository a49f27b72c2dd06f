"""Files that stay open from chunk to chunk, with their tree: a few for each thread, closed in the order of last use."""

from __future__ import annotations

import contextlib
import os
import weakref
from collections import OrderedDict
from collections.abc import Hashable, Mapping
from functools import cached_property
from typing import Any

from pocket_exec.engine.metadata import file_stamp
from pocket_exec.engine.reading.layout import signature
from pocket_exec.engine.reading.options import Reading
from pocket_exec.engine.reading.runs import Runs


class KeptFile:
    """An open file, one of its trees, and the columns that are at hand."""

    def __init__(self, directory: Any, name: str, treename: str, options: Reading) -> None:
        self.directory = directory
        self.tree = directory[treename]
        self.remote = is_remote(name)
        self.uuid = bytes(directory.file.fUUID)
        self.runs = Runs(self.tree, options, ahead=self.remote and options.read_ahead)
        self._stamp = None if self.remote else file_stamp(name)
        self._name = name
        self._bytes_told = 0
        self._preload: tuple[Any, list[str]] | None = None

    @cached_property
    def signature(self) -> Hashable:
        """What its form can be kept under: that of its layout, or else its own."""
        found = signature(self.tree)
        return self.uuid if found is None else found

    def same(self, uuid: bytes) -> bool:
        """Whether it is still the file of that name, as far as can be told without reading it, and has that uuid."""
        return uuid in (b"", self.uuid) and (self.remote or self._stamp == file_stamp(self._name))

    def branches_named(self, preload: Any) -> list[str]:
        """Return the paths of the branches that a WorkItem's ``preload`` names, or chooses."""
        if self._preload is None or self._preload[0] != preload:
            chosen = preload if callable(preload) else lambda branch: branch.name in preload
            self._preload = preload, [path for path, branch in self.tree.iteritems() if chosen(branch)]
        return self._preload[1]

    def bytes_read(self) -> int:
        """Return how many bytes were asked for since this was last called."""
        total = int(self.directory.file.source.num_requested_bytes)
        told, self._bytes_told = self._bytes_told, total
        return total - told

    def close(self) -> None:
        """Close it, whatever state it is in."""
        self.runs.close()
        # A connection that broke may not close either; there is nothing left to lose.
        with contextlib.suppress(Exception):
            self.directory.close()


class KeptFiles:
    """One thread's open files."""

    def __init__(self, options: Reading, timeout_s: int | None, uproot_options: Mapping[str, Any]) -> None:
        self._options = options
        # The process-wide cache of objects would hand out a tree whose file another thread has closed.
        self._uproot_options = {"timeout": timeout_s, **uproot_options}
        self._files: OrderedDict[tuple[str, str], KeptFile] = OrderedDict()
        self._pid = os.getpid()
        self._end = weakref.finalize(self, _close, self._files)

    def get(self, item: Any) -> KeptFile:
        """Return the file and tree of a WorkItem, opened if need be.

        Raises:
            OSError: it cannot be opened; further types where it is not what it should be.
        """
        if self._pid != os.getpid():
            # A forked process shares the file's position with its parent.
            self._files.clear()
            self._pid = os.getpid()
        key = (item.filename, item.treename)
        kept = self._files.get(key)
        if kept is not None and not kept.same(item.fileuuid):
            self.drop(item)
            kept = None
        if kept is None:
            while len(self._files) >= self._options.kept_files:
                self._files.popitem(last=False)[1].close()
            kept = self._files[key] = self._open(*key)
        self._files.move_to_end(key)
        return kept

    def _open(self, name: str, treename: str) -> KeptFile:
        import uproot

        directory = uproot.open({name: None}, **{**self._uproot_options, "object_cache": {}})
        try:
            return KeptFile(directory, name, treename, self._options)
        except BaseException:
            directory.close()
            raise

    def drop(self, item: Any) -> None:
        """Close the item's file, if it is open."""
        kept = self._files.pop((item.filename, item.treename), None)
        if kept is not None:
            kept.close()

    def close(self) -> None:
        """Close all."""
        _close(self._files)

    def __len__(self) -> int:
        return len(self._files)


def _close(files: OrderedDict[tuple[str, str], KeptFile]) -> None:
    while files:
        files.popitem(last=False)[1].close()


def is_remote(name: str) -> bool:
    """Whether reading ``name`` waits for a server rather than for a disk."""
    return "://" in name and not name.startswith("file://")
