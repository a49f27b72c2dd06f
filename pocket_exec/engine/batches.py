"""Cuts what is to do into batches: neighbours, aligned with the sum, as many chunks as fit a time that was measured."""

from __future__ import annotations

import bisect
import itertools
import math
import operator
from collections.abc import Callable, Collection, Iterable, Iterator
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
TOGETHER = 8
"""So many batches make one answer at most: if one of them is lost, so are the others that had been answered by then."""
SPREAD = 4
"""A task that is spread takes this part of all slots at most."""
WAITING_BYTES = 64 * 10**6
"""Answers that may wait for their neighbours, one of each slot, so that each worker can have a file for itself."""


class Pace:
    """How many chunks make a task of ``target_s`` seconds; 0: one chunk is one task.

    Where results are so large that the client would do nothing but take them in, neighbouring tasks of several workers
    make one answer, where the pool ``joins`` them, and beyond that tasks are longer.
    """

    def __init__(self, target_s: float, *, joins: bool = False) -> None:
        self._target_s = target_s
        self._joins = joins
        self._seconds: float | None = None
        self._answer_s = ANSWER_S
        self._size = 0
        """Bytes of the largest answer so far."""
        self._largest = 1

    def in_flight(self, slots: int) -> int:
        """Return how many batches to have in flight: half of the ``slots`` until it is known what one of them costs."""
        return slots if self._seconds is not None or not self._target_s else max(1, slots // 2)

    def budget_s(self, slots: int) -> float:
        """Return the seconds after which a batch begins no other chunk, where as many are in flight as ``slots``."""
        return OVERTIME * self._long_enough_s(slots)

    def learn(self, chunks: int, seconds: float, size: int = 0, *, batches: int = 1) -> None:
        """Take note of what a batch has taken, or so many together, and of the bytes of the answer."""
        if chunks:
            each = seconds / chunks
            self._seconds = each if self._seconds is None else 0.5 * (self._seconds + each)
            self._answer_s = ANSWER_S + size / BYTES_PER_S
            self._size = max(self._size, size)
            self._largest = max(self._largest, chunks // batches)

    def can_wait(self, slots: int) -> bool:
        """Whether answers are known to be so small that those of files side by side may wait for their neighbours."""
        return self._seconds is not None and self._size * slots <= WAITING_BYTES

    def together(self, slots: int) -> int:
        """Return how many batches make one answer: a power of two."""
        number = 1
        if self._joins and self._target_s and self._seconds is not None:
            # Enough of them at a time that no worker waits for the last one of a few.
            most = min(TOGETHER, slots // SPREAD)
            while 2 * number <= most and number * self._target_s < slots * self._answer_s:
                number *= 2
        return number

    def chunks(self, left: int, slots: int) -> int:
        """Return the size of the next batch, where ``left`` chunks are not yet begun."""
        if self._seconds is None or not self._target_s:
            return 1
        each = max(self._seconds, 1e-6)
        answer_s = self._answer_s / self.together(slots)
        fitting, worth = int(self._long_enough_s(slots) / each), math.ceil(WORTH * answer_s / each)
        # Blocks have a power of two; the next smaller one would not be worth it.
        worth = 1 << (worth - 1).bit_length()
        return max(1, min(fitting, GROWTH * self._largest, max(left // (SHARE * slots), worth)))

    def _long_enough_s(self, slots: int) -> float:
        # Half of the client's time is enough for all of them.
        return max(self._target_s, slots * self._answer_s / self.together(slots)) if self._target_s else 0.0


class Batches:
    """The chunks of a plan, without those of ``done``; what is taken is gone."""

    def __init__(self, plan: Plan, done: Collection[int] = ()) -> None:
        self._plan = plan
        self._datasets = [_Dataset(node, done) for node in plan.datasets]
        self._first = 0
        self._open: dict[str, tuple[int, int]] = {}
        """Dataset and file that a worker has open."""
        self.left = sum(dataset.left for dataset in self._datasets)

    def take(self, most: int, worker: str | None = None) -> tuple[int, ...]:
        """Return the next chunks, ``most`` at most, of one dataset: some of a file's, or whole files; () at the end.

        Args:
            most: how many chunks at most; at least 1.
            worker: None for the next ones in order. Otherwise those of the file that this worker has open, or of one
                that no other has, as long as there is such a file; "": a worker that nobody knows yet.
        """
        taken = self._in_order(most) if worker is None else self._near(worker, most)
        self.left -= len(taken)
        if taken and worker:
            self._open.pop(worker, None)
            self.opened(worker, taken[-1])
        return taken

    def opened(self, worker: str, task: int) -> None:
        """Take note that a worker has the file of chunk ``task`` open: what is left of it is for this worker first."""
        place = self._plan.places[task]
        file = place.dataset, place.file
        free = worker not in self._open and file not in self._open.values()
        if free and place.file in self._datasets[place.dataset].begun:
            self._open[worker] = file

    def only(self, workers: Collection[str]) -> None:
        """Forget what workers have open that are none of these any more."""
        self._open = {worker: file for worker, file in self._open.items() if worker in workers}

    def _in_order(self, most: int) -> tuple[int, ...]:
        for _, dataset in self._with_chunks():
            if taken := dataset.of_begun(most, dataset.begun) or dataset.of_next(most):
                return taken
        return ()

    def _near(self, worker: str, most: int) -> tuple[int, ...]:
        if worker in self._open:
            number, file = self._open[worker]
            if taken := self._datasets[number].of_file(file, most):
                return taken
            del self._open[worker]
        others = set(self._open.values())
        for number, dataset in self._with_chunks():
            free = [file for file in dataset.begun if (number, file) not in others]
            if taken := dataset.of_begun(most, free) or dataset.of_next(most):
                return taken
        # All files are begun: the one of which most is left.
        begun = [(left, dataset, file) for _, dataset in self._with_chunks() for file, left in dataset.begun.items()]
        for _, dataset, file in sorted(begun, key=operator.itemgetter(0), reverse=True):
            if taken := dataset.of_file(file, most):
                return taken
        return ()

    def _with_chunks(self) -> Iterator[tuple[int, _Dataset]]:
        """Yield the datasets of which something is left, with their numbers."""
        while self._first < len(self._datasets) and not self._datasets[self._first].left:
            self._first += 1
        for number in range(self._first, len(self._datasets)):
            if self._datasets[number].left:
                yield number, self._datasets[number]

    def halves(self, tasks: tuple[int, ...]) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Cut chunks of one dataset, two at least, in two where the tree of the sum has its highest branching."""
        places = [self._plan.places[task] for task in tasks]
        numbers = [place.file for place in places]
        if numbers[0] == numbers[-1]:
            numbers = [place.chunk for place in places]
        # The multiple of the highest power of two between the first one and the last.
        level = (numbers[0] ^ numbers[-1]).bit_length() - 1
        middle = bisect.bisect_left(numbers, numbers[-1] >> level << level)
        return tasks[:middle], tasks[middle:]

    def cut(self, tasks: tuple[int, ...], most: int) -> list[tuple[int, ...]]:
        """Cut chunks of one dataset into blocks of ``most`` chunks at most, at least 1."""
        if len(tasks) <= most:
            return [tasks]
        return [piece for half in self.halves(tasks) for piece in self.cut(half, most)]

    def batch(
        self, tasks: tuple[int, ...], budget_s: float, address: Callable[[Any], Any], bytes_s: float = 0.0
    ) -> Batch:
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
        return Batch(len(files), tuple(spans), budget_s, bytes_s)


class _Dataset:
    """What of a dataset is not taken yet: the rest of files that were begun, and the files from the next one on."""

    def __init__(self, node: DatasetNode, done: Collection[int]) -> None:
        self._files = [file.chunks for file in node.files]
        self._done = done
        self._next = 0
        self.begun: dict[int, int] = {}
        """Chunks at the end of a file that are still to be looked at, by the number of the file."""
        self.left = sum(task not in done for chunks in self._files for task in chunks)

    def of_begun(self, most: int, files: Iterable[int]) -> tuple[int, ...]:
        """Return the next chunks of the first of ``files``, all begun, of which something is left."""
        for file in sorted(files):
            if taken := self.of_file(file, most):
                return taken
        return ()

    def of_file(self, file: int, most: int) -> tuple[int, ...]:
        """Return the next chunks of a file that was begun; () where nothing is left of it."""
        chunks = self._files[file]
        taken: tuple[int, ...] = ()
        while not taken and file in self.begun:
            left = self.begun.pop(file)
            start = len(chunks) - left
            length = _aligned(start, most)
            if length < left:
                self.begun[file] = left - length
            taken = self._taken(chunks[start : start + length])
        return taken

    def of_next(self, most: int) -> tuple[int, ...]:
        """Return the next files, as many as make one block, or the beginning of one that is longer than ``most``."""
        taken: tuple[int, ...] = ()
        while not taken and self._next < len(self._files):
            first, chunks = self._next, self._files[self._next]
            if len(chunks) <= most:
                self._next += self._whole_files(most)
                taken = self._taken(itertools.chain(*self._files[first : self._next]))
            else:
                self._next += 1
                self.begun[first] = len(chunks)
                taken = self.of_file(first, most)
        return taken

    def _taken(self, tasks: Iterable[int]) -> tuple[int, ...]:
        taken = tuple(task for task in tasks if task not in self._done)
        self.left -= len(taken)
        return taken

    def _whole_files(self, most: int) -> int:
        """Return how many files from the next one on make one block and have ``most`` chunks at most."""
        number = 1
        while self._next % (2 * number) == 0 and self._next + number < len(self._files):
            larger = self._files[self._next : self._next + 2 * number]
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
