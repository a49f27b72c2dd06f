"""Cuts what is to do into batches: neighbours, aligned with the sum, as many chunks as fit a time that was measured."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Collection, Iterator
from typing import Any

from pocket_exec.engine.batch import Batch, Span
from pocket_exec.engine.plan import DatasetNode, Plan

GROWTH = 4
"""A batch has at most this many times the chunks of the ones before: what was measured may have been luck."""
SHARE = 1
"""Towards the end a batch is this part of what is left over the slots, each worker having two: so all end together."""
WORTH = 3
"""Times of what it takes the client to take an answer in that a batch is never shorter than: sending pays no more."""
ANSWER_S = 0.003
"""What an answer costs the client, however small."""
BYTES_PER_S = 2e8
"""How fast the client takes in large answers: decrypted, read, added and put aside."""
OVERTIME = 1.5
"""How far over its time a batch may go before it gives back what it has not begun."""


class Pace:
    """How many chunks make a task of ``target_s`` seconds; 0: one chunk is one task.

    Where results are so large that the client would do nothing but take them in, tasks are longer.
    """

    def __init__(self, target_s: float) -> None:
        self._target_s = target_s
        self._seconds: float | None = None
        self._answer_s = ANSWER_S
        self._largest = 1

    def in_flight(self, slots: int) -> int:
        """Return how many batches to have in flight: half of the ``slots`` until it is known what one of them costs."""
        return slots if self._seconds is not None or not self._target_s else max(1, slots // 2)

    def budget_s(self, slots: int) -> float:
        """Return the seconds after which a batch begins no other chunk, where as many are in flight as ``slots``."""
        return OVERTIME * self._long_enough_s(slots)

    def learn(self, chunks: int, seconds: float, size: int = 0) -> None:
        """Take note of what a batch has taken, and of the bytes of its answer."""
        if chunks:
            each = seconds / chunks
            self._seconds = each if self._seconds is None else 0.5 * (self._seconds + each)
            self._answer_s = ANSWER_S + size / BYTES_PER_S
            self._largest = max(self._largest, chunks)

    def chunks(self, left: int, slots: int) -> int:
        """Return the size of the next batch, where ``left`` chunks are not yet begun."""
        if self._seconds is None or not self._target_s:
            return 1
        each = max(self._seconds, 1e-6)
        fitting, worth = int(self._long_enough_s(slots) / each), math.ceil(WORTH * self._answer_s / each)
        # Blocks have a power of two; the next smaller one would not be worth it.
        worth = 1 << (worth - 1).bit_length()
        return max(1, min(fitting, GROWTH * self._largest, max(left // (SHARE * slots), worth)))

    def _long_enough_s(self, slots: int) -> float:
        # Half of the client's time is enough for all of them.
        return max(self._target_s, slots * self._answer_s) if self._target_s else 0.0


class Batches:
    """The chunks of a plan in their order, without those of ``done``; what is taken is gone."""

    def __init__(self, plan: Plan, done: Collection[int] = ()) -> None:
        self._plan = plan
        self._datasets = [_Cursor(node, done) for node in plan.datasets]
        self.left = sum(cursor.left for cursor in self._datasets)

    def take(self, most: int) -> tuple[int, ...]:
        """Return the next chunks, ``most`` at most, of one dataset: some of a file's, or whole files; () at the end."""
        while self._datasets:
            taken = self._datasets[0].take(most)
            if taken:
                self.left -= len(taken)
                return taken
            self._datasets.pop(0)
        return ()

    def batch(self, tasks: tuple[int, ...], budget_s: float, address: Callable[[Any], Any]) -> Batch:
        """Return chunks of one dataset as they travel, each item through ``address``."""
        plan = self._plan
        files = plan.datasets[plan.places[tasks[0]].dataset].files

        def neighbours(pair: tuple[int, int]) -> tuple[int, int]:
            number, task = pair
            return plan.places[task].file, plan.places[task].chunk - number

        spans = []
        for (file, _), some in itertools.groupby(enumerate(tasks), key=neighbours):
            of_file = [task for _, task in some]
            items = tuple(address(plan.items[task]) for task in of_file)
            spans.append(Span(file, len(files[file].chunks), plan.places[of_file[0]].chunk, items))
        return Batch(len(files), tuple(spans), budget_s)


class _Cursor:
    """A place in a dataset: the next file, and the next chunk in it."""

    def __init__(self, node: DatasetNode, done: Collection[int]) -> None:
        self._files = [file.chunks for file in node.files]
        self._done = done
        self._file = self._chunk = 0
        self.left = sum(task not in done for chunks in self._files for task in chunks)

    def take(self, most: int) -> tuple[int, ...]:
        taken: tuple[int, ...] = ()
        while not taken and self._file < len(self._files):
            chunks = self._files[self._file]
            if self._chunk >= len(chunks):
                self._file, self._chunk = self._file + 1, 0
            elif self._chunk == 0 and len(chunks) <= most:
                number = self._whole_files(most)
                taken = self._open(itertools.chain(*self._files[self._file : self._file + number]))
                self._file += number
            else:
                length = _aligned(self._chunk, most)
                taken = self._open(chunks[self._chunk : self._chunk + length])
                self._chunk += length
        return taken

    def _open(self, tasks: Iterator[int] | list[int]) -> tuple[int, ...]:
        return tuple(task for task in tasks if task not in self._done)

    def _whole_files(self, most: int) -> int:
        """Return how many files from here on make one block and have ``most`` chunks at most."""
        number = 1
        while self._file % (2 * number) == 0 and self._file + number < len(self._files):
            larger = self._files[self._file : self._file + 2 * number]
            if sum(map(len, larger)) > most:
                break
            number *= 2
        return number


def _aligned(start: int, most: int) -> int:
    """Return the length of the largest aligned block that begins at ``start`` and is not longer than ``most``."""
    length = 1
    while 2 * length <= most and start % (2 * length) == 0:
        length *= 2
    return length
