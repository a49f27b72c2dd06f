"""Columns of a run of neighbouring chunks, read at once and handed out chunk by chunk."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from pocket_exec.engine.reading.options import Reading


@dataclass(frozen=True)
class Run:
    """The columns of entries ``start`` to ``stop``, by the branch's path."""

    start: int
    stop: int
    columns: dict[str, Any]

    def holds(self, start: int, stop: int) -> bool:
        """Whether all of these entries are in it."""
        return self.start <= start and stop <= self.stop

    def column(self, name: str, start: int, stop: int) -> Any | None:
        """Return one chunk's part of a column, trimmed; None where the column is not here.

        awkward's kernels look at all of a list's content, not only at what the offsets point to: a part that keeps
        the content of its neighbours gives wrong cross-references.
        """
        column = self.columns.get(name)
        return None if column is None else column[start - self.start : stop - self.start].to_packed()


@dataclass(frozen=True)
class Wanted:
    """A chunk's entries, the branches worth having, and the ends of the chunks that follow it."""

    start: int
    stop: int
    branches: Sequence[str]
    following: Sequence[int]


class Runs:
    """The present run of one tree and, of a remote file, the next; safe to use from several threads."""

    def __init__(self, tree: Any, options: Reading, *, ahead: bool) -> None:
        self._tree = tree
        # What is read in one piece is not read while anything is processed.
        self._bound_bytes = options.run_bytes // 4 if ahead else options.run_bytes
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="read-ahead") if ahead else None
        self._lock = threading.Lock()
        self._run: Run | None = None
        self._next: Future[Run] | None = None
        self._one_by_one = False
        """Whether a run could not be read: perhaps for what is wrong with another chunk."""
        self._has_baskets = hasattr(tree, "branches")
        """An RNTuple has clusters instead: its columns are read when they are touched."""

    def column(self, name: str, wanted: Wanted) -> Any | None:
        """Return the chunk's part of a column, reading a run if it is time; None: read it by itself."""
        if name not in wanted.branches or not self._has_baskets:
            return None
        with self._lock:
            run = self._run
            if run is None or not run.holds(wanted.start, wanted.stop):
                run = self._run = self._taken(wanted)
            return run.column(name, wanted.start, wanted.stop)

    def _taken(self, wanted: Wanted) -> Run:
        self._run = None
        run = self._from_ahead(wanted)
        if run is None:
            run = self._read_now(wanted)
        if self._thread is not None and not self._one_by_one:
            self._start_next(wanted, run)
        return run

    def _from_ahead(self, wanted: Wanted) -> Run | None:
        future, self._next = self._next, None
        if future is None:
            return None
        try:
            run = future.result()
        except Exception:  # noqa: BLE001 - whatever it was, reading it now says so in the chunk that it belongs to
            return None
        return run if run.holds(wanted.start, wanted.stop) else None

    def _read_now(self, wanted: Wanted) -> Run:
        try:
            stop = wanted.stop if self._one_by_one else run_stop(self._tree, wanted, self._bound_bytes)
            return read_run(self._tree, wanted.branches, wanted.start, stop)
        except Exception:  # noqa: BLE001 - the chunk then reads its columns itself, and fails by its own errors only
            self._one_by_one = True
            return Run(wanted.start, wanted.stop, {})

    def _start_next(self, wanted: Wanted, run: Run) -> None:
        later = [stop for stop in wanted.following if stop > run.stop]
        if later and self._thread is not None:
            following = Wanted(run.stop, later[0], wanted.branches, later[1:])
            stop = run_stop(self._tree, following, self._bound_bytes)
            self._next = self._thread.submit(read_run, self._tree, wanted.branches, run.stop, stop)

    def close(self) -> None:
        """Forget all columns; what is being read ahead is waited for, as it uses the file."""
        if self._thread is not None:
            self._thread.shutdown(wait=True, cancel_futures=True)
        self._run = self._next = None


def read_run(tree: Any, branches: Sequence[str], start: int, stop: int) -> Run:
    """Read ``branches``, those that the tree has, in one call; kept nowhere else."""
    from uproot.source.futures import TrivialExecutor

    # Pairs of name and interpretation: a name by itself would be taken for an expression.
    wanted = {name: tree[name].interpretation for name in branches if name in tree}
    arrays = tree.arrays(
        wanted,
        entry_start=start,
        entry_stop=stop,
        how=dict,
        array_cache=None,
        decompression_executor=TrivialExecutor(),
        interpretation_executor=TrivialExecutor(),
    )
    return Run(start, stop, {name: arrays[name].layout for name in wanted})


def run_stop(tree: Any, wanted: Wanted, bound_bytes: int) -> int:
    """Return where a run should end: at that chunk's end within the bound where the least is wasted per event.

    A basket that is cut by the end of a run is decompressed again for the next one.
    """
    if not wanted.following:
        return wanted.stop
    branches = [tree[name] for name in wanted.branches if name in tree]
    if not branches:
        return wanted.stop
    per_entry = sum(branch.uncompressed_bytes for branch in branches) / max(tree.num_entries, 1)
    most = wanted.start + bound_bytes / max(per_entry, 1e-9)
    stops = [wanted.stop, *(stop for stop in wanted.following if stop <= most)]
    if len(stops) == 1:
        return wanted.stop
    waste = sum(_cut(branch, stops) for branch in branches)
    return min(zip(stops, waste, strict=True), key=lambda pair: (pair[1] / (pair[0] - wanted.start), -pair[0]))[0]


def _cut(branch: Any, stops: Sequence[int]) -> Any:
    """Return the size in bytes of the basket that each of ``stops`` cuts; 0 where it is between two."""
    import numpy as np

    offsets = np.asarray(branch.entry_offsets)
    before = offsets[np.searchsorted(offsets, stops, side="right") - 1]
    after = offsets[np.minimum(np.searchsorted(offsets, stops, side="left"), len(offsets) - 1)]
    return (after - before) * (branch.uncompressed_bytes / max(branch.num_entries, 1))
