"""Keeps a pool of workers fed with batches, and meets what goes wrong by the policy."""

from __future__ import annotations

import heapq
import itertools
import time
from collections import Counter, deque
from collections.abc import Collection, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pocket_exec.engine.batch import Batch, BatchDone, Part, RunBatch
from pocket_exec.engine.batches import Batches, Pace
from pocket_exec.engine.chunk import Answer, Trouble, Warned
from pocket_exec.engine.joined import Join
from pocket_exec.engine.outcome import FaultKind
from pocket_exec.engine.plan import Plan, readdressed
from pocket_exec.engine.policy import Policy
from pocket_exec.engine.pool import Avoids, Chooses, Joins, KeepsApart, Measures, Pool
from pocket_exec.engine.replicas import Replicas


@dataclass(frozen=True, slots=True)
class Settled:
    """A chunk that is given up, or has nothing to give: its number, its last answer, and its attempts."""

    task: int
    answer: Answer
    attempts: int


@dataclass(frozen=True, slots=True)
class Done:
    """What came of a task."""

    dataset: int
    parts: list[Part]
    """Whoever takes them may take them out."""
    seconds: Mapping[int, float]
    """How long each chunk took that is in the parts, by its number."""
    settled: Sequence[Settled]
    host: str


@dataclass(frozen=True, slots=True)
class _Unit:
    """Chunks whose answer is one, and how many attempts each of them has had, this one included."""

    tasks: tuple[int, ...]
    attempts: int
    batches: int = 1
    """How many batches they travel in; there is one answer all the same."""
    failed_on: str = ""
    """The worker that has failed with them; empty where none has, or it is not known."""


@dataclass
class Dispatch:
    """One pass of a function over the chunks of ``plan`` on ``pool``; iterate over ``results()``."""

    pool: Pool
    policy: Policy
    plan: Plan
    replicas: Replicas = field(default_factory=dict)
    known: Collection[int] = ()
    """Chunks whose results are there already."""
    cpus: dict[str, str] = field(default_factory=dict)
    """Is filled with what numpy uses of the CPU of each host that answers."""
    differing: set[tuple[str, str]] = field(default_factory=set)
    """Is filled with the globals of the user's modules that some worker has another value of."""
    _back: deque[_Unit] = field(default_factory=deque)
    _later: list[tuple[float, int, _Unit]] = field(default_factory=list)
    _suspects: deque[_Unit] = field(default_factory=deque)
    _flying: dict[int, _Unit] = field(default_factory=dict)
    _numbers: Iterator[int] = field(default_factory=itertools.count)
    _warned: set[Warned] = field(default_factory=set)
    """What was told already: each worker has it to say."""
    _alone: int | None = None
    """The task that runs with no other beside it in the pool."""
    _apart: set[int] = field(default_factory=set)
    """Tasks that have a worker for themselves."""
    _refused: dict[int, float] = field(default_factory=dict)
    """When the storage first had trouble with a chunk, by its number."""
    _deaths: Counter[int] = field(default_factory=Counter)
    """Workers that have died of a chunk by itself."""
    _free: deque[str] = field(default_factory=deque)
    """Workers that have answered and got nothing since, where the pool can choose among them."""

    def __post_init__(self) -> None:
        self._fresh = Batches(self.plan, self.known)
        self._joins = self.pool if isinstance(self.pool, Joins) else None
        self._pace = Pace(self.pool.batch_s, joins=self._joins is not None)
        self._chooses = self.pool if isinstance(self.pool, Chooses) else None

    def results(self, function: RunBatch) -> Generator[Done, None, None]:
        """Run all chunks and yield what comes of each task; on any exception the pool is left with nothing to do.

        The consumer stops the run by closing the iterator.
        """
        self.pool.load(function)
        try:
            while self._fresh.left or self._back or self._later or self._suspects or self._flying:
                self._feed()
                answers = deque(self.pool.wait(self._patience()))
                while answers:
                    number, answer = answers.popleft()
                    unit = self._flying.pop(number)
                    self._heard_of(answer, unit)
                    self.cpus.update(answer.cpus)
                    for warning in answer.warned:
                        if warning not in self._warned:
                            self._warned.add(warning)
                            warning.again()
                    done = self._answered(number, unit, answer)
                    # Nothing but what takes it holds a large result.
                    del answer
                    if done is not None:
                        yield done
        finally:
            if self._flying:
                self.pool.cancel()

    def _heard_of(self, answer: Answer, unit: _Unit) -> None:
        """Let the worker that has answered be the next one; not one that has given chunks back: it may be leaving."""
        if self._chooses is not None and answer.worker and not (answer.value is not None and answer.value.left):
            self._free.append(answer.worker)
            self._fresh.opened(answer.worker, unit.tasks[-1])

    def _answered(self, number: int, unit: _Unit, answer: Answer) -> Done | None:
        apart = self._apart & {number}
        self._apart -= apart
        if answer.trouble is None:
            return self._done(unit, answer)
        lost = answer.trouble.kind is FaultKind.LOST_WORKER
        if lost and not (self.pool.blames_exactly or number == self._alone or number in apart):
            self._suspects.append(_Unit(unit.tasks, unit.attempts - 1))
        elif len(unit.tasks) > 1:
            # Which of its chunks it was, nobody knows yet.
            halves = (_Unit(half, unit.attempts - 1) for half in self._fresh.halves(unit.tasks))
            (self._suspects if lost else self._back).extend(halves)
        else:
            settled = self._again_or_settled(unit.tasks[0], answer, unit.attempts)
            return self._told(unit, BatchDone(), answer, [settled]) if settled is not None else None
        return None

    def _done(self, unit: _Unit, answer: Answer) -> Done | None:
        done: BatchDone = answer.value
        self.differing.update(done.differing)
        size = sum(part.block.size for part in done.parts)
        self._pace.learn(len(done.seconds), sum(done.seconds.values()), size, batches=unit.batches)
        if done.left:
            self._back.appendleft(_Unit(tuple(unit.tasks[place] for place in done.left), unit.attempts - 1))
        settled = [
            self._again_or_settled(unit.tasks[place], failed, unit.attempts) for place, failed in done.failed.items()
        ]
        given_up = [one for one in settled if one is not None]
        return self._told(unit, done, answer, given_up) if done.parts or given_up else None

    def _told(self, unit: _Unit, done: BatchDone, answer: Answer, settled: Sequence[Settled]) -> Done:
        seconds = {unit.tasks[place]: taken for place, taken in done.seconds.items()}
        return Done(self.plan.places[unit.tasks[0]].dataset, done.parts, seconds, settled, answer.host)

    def _again_or_settled(self, task: int, answer: Answer, attempts: int) -> Settled | None:
        trouble = answer.trouble
        if trouble is None or attempts >= self._most_attempts(task, trouble):
            return Settled(task, answer, attempts)
        lost, unit = trouble.kind is FaultKind.LOST_WORKER, _Unit((task,), attempts, failed_on=answer.worker)
        self._deaths[task] += lost
        when = time.monotonic() + self.policy.delay_s(trouble, attempts)
        if self._deaths[task] >= self.policy.lone_deaths or self._too_late(task, trouble, attempts, when):
            return Settled(task, answer, attempts)
        if lost and not self.pool.blames_exactly:
            self._suspects.append(unit)
        else:
            heapq.heappush(self._later, (when, next(self._numbers), unit))
        return None

    def _too_late(self, task: int, trouble: Trouble, attempts: int, when: float) -> bool:
        """Whether the storage has had its time by ``when``, and each address its attempt."""
        if trouble.kind is not FaultKind.STORAGE:
            return False
        late = when - self._refused.setdefault(task, time.monotonic()) > self.policy.storage_s
        return late and attempts >= self._addresses(task)

    def _feed(self) -> None:
        now = time.monotonic()
        slots = self.pool.slots()
        # A pool that cannot say which task killed a worker runs those under suspicion each on a worker for itself;
        # where that cannot be, alone in the pool, one at a time.
        if self._alone in self._flying:
            return
        places = self.pool.places_apart() if self._suspects and isinstance(self.pool, KeepsApart) else 0
        while self._suspects and len(self._apart) < places:
            self._apart.add(self._submit(self._suspects.popleft(), apart=True))
        if self._suspects and not places:
            if not self._flying:
                self._alone = self._submit(self._suspects.popleft())
            return
        self._alone = None
        near = self._chooses is not None and self._pace.can_wait(slots) and not self._apart
        if self._chooses is not None:
            self._fresh.only(self._chooses.workers())
        while not self._full():
            # Whose turn it is, also where what comes next is for any worker.
            worker = self._free.popleft() if self._free else ""
            if self._later and self._later[0][0] <= now:
                self._submit(heapq.heappop(self._later)[2])
            elif self._back:
                self._submit(self._back.popleft())
            elif self._fresh.left:
                most, together = self._pace.chunks(self._fresh.left, slots), self._pace.together(slots)
                tasks = self._fresh.take(most * together, worker if near else None)
                if together > 1 and len(tasks) > most:
                    self._submit_spread(self._fresh.cut(tasks, most))
                else:
                    self._submit(_Unit(tasks, 0), worker=worker if near else "")
            else:
                return
        # There are fewer slots than answers: whoever comes next is asked when there is room again.
        self._free.clear()

    def _full(self) -> bool:
        """Whether no other batch is worth having in flight now; those with a worker for themselves do not count."""
        flying = sum(unit.batches for unit in self._flying.values()) - len(self._apart)
        return flying >= self._pace.in_flight(self.pool.slots())

    def _submit(self, unit: _Unit, *, apart: bool = False, worker: str = "") -> int:
        attempt, number = unit.attempts + 1, next(self._numbers)
        batch = self._batch(unit.tasks, attempt)
        self._flying[number] = _Unit(unit.tasks, attempt)
        if apart and isinstance(self.pool, KeepsApart):
            self.pool.submit_apart(number, batch)
        elif unit.failed_on and isinstance(self.pool, Avoids):
            self.pool.submit_elsewhere(number, batch, unit.failed_on)
        elif worker and self._chooses is not None:
            self._chooses.submit_near(number, batch, worker)
        else:
            self.pool.submit(number, batch)
        return number

    def _submit_spread(self, pieces: Sequence[tuple[int, ...]]) -> None:
        """Submit blocks, neighbours that nobody has tried, as batches of several workers with one answer."""
        assert self._joins is not None
        number, batches = next(self._numbers), [self._batch(piece, 1) for piece in pieces]
        self._flying[number] = _Unit(tuple(itertools.chain(*pieces)), 1, len(pieces))
        self._joins.submit_spread(number, batches, Join.of(batches))

    def _batch(self, tasks: tuple[int, ...], attempt: int) -> Batch:
        def addressed(item: Any) -> Any:
            return self._addressed(item, attempt)

        bytes_s = self.pool.bytes_s() if isinstance(self.pool, Measures) else 0.0
        return self._fresh.batch(tasks, self._pace.budget_s(self.pool.slots()), addressed, bytes_s)

    def _most_attempts(self, task: int, trouble: Trouble) -> int:
        """Return how many attempts the chunk gets: what cannot be read, one at each of its addresses at least."""
        most = self.policy.attempts(trouble)
        if trouble.kind in (FaultKind.STORAGE, FaultKind.BAD_FILE):
            return max(most, self._addresses(task))
        return most

    def _addresses(self, task: int) -> int:
        return len(self.replicas.get(getattr(self.plan.items[task], "filename", ""), ()))

    def _addressed(self, item: Any, attempt: int) -> Any:
        """Take the next replica of the item's file at each attempt; a worker that knows better takes another."""
        addresses = self.replicas.get(getattr(item, "filename", ""), ())
        if attempt == 1 or len(addresses) < 2:
            return item
        return readdressed(item, addresses[(attempt - 1) % len(addresses)])

    def _patience(self) -> float | None:
        """How long to wait for an answer before there is something else to do."""
        if not self._later or (self._flying and (self._suspects or self._alone in self._flying)):
            return None
        if self._flying and self._full():
            return None
        wait = max(0.0, self._later[0][0] - time.monotonic())
        if not self._flying:
            time.sleep(wait)
            return 0.0
        return wait
