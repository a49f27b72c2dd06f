"""The pool of a Dask cluster's workers, whatever started them."""

from __future__ import annotations

import asyncio
import itertools
import logging
import operator
import pickle
import queue
import time
import uuid
import warnings
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import wait as wait_for
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any

import cloudpickle
from distributed import Client, Future, Scheduler
from distributed.scheduler import KilledWorker

from pocket_exec.engine.batch import Batch
from pocket_exec.engine.chunk import Answer, Trouble
from pocket_exec.engine.outcome import FaultKind
from pocket_exec.engine.plan import readdressed
from pocket_exec.engine.pool import Function
from pocket_exec.engine.remote import Attempt, Packed, lost, unpacked
from pocket_exec.errors import FarmError
from pocket_exec.executors.apart import Apart

log = logging.getLogger(__name__)

QUEUED_PER_THREAD = 2
"""Items in flight per worker thread: one at work, one waiting."""
BATCH_S = 10.0
"""Seconds of work in a task: each costs the scheduler some milliseconds, a lost worker at most two of them."""
AT_ONCE_BYTES = 10**7
"""Answers that are fetched at once, all together: of large ones, no more than the one that is added next."""
MEASURED_BYTES = 10**6
"""Of fewer bytes that are fetched together, the time says little about the way that they have come."""
THREADS_SEEN_EVERY_S = 1.0
CONNECTION_SEEN_EVERY_S = 5.0
FUNCTION_S = 20.0
"""How long a function that was there may be gone: Dask computes it anew where workers have died, and it has been seen
to assign that to a worker that never begins (distributed 2026.8)."""

_AS_A_RULE = (
    "; as a rule it needs more memory than there is (give a smaller chunksize, or a larger mem-per-worker), "
    "or crashes in compiled code"
)


@dataclass(frozen=True, slots=True)
class _Work:
    """What was submitted as one task."""

    items: tuple[bytes, ...]
    """The items, pickled."""
    how: Mapping[str, Any]
    """Dask's arguments of each."""
    join: bytes = b""
    """What makes one answer of two, pickled; empty where there is one item."""

    def stranded(self, workers: Collection[str]) -> bool:
        """Whether none of the only workers that may have it is there."""
        wanted: Collection[str] = self.how.get("workers") or ()
        return bool(wanted) and not self.how.get("allow_other_workers") and set(wanted).isdisjoint(workers)


class DaskPool:
    """Items as Dask tasks, a bounded number at a time, so that the scheduler never holds the whole run."""

    # Dask charges a worker's death to every task that was waiting on that worker.
    blames_exactly = False
    batch_s = BATCH_S

    def __init__(
        self,
        client: Client,
        patience_s: float,
        trouble: Callable[[], str | None] = lambda: None,
        moved: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        """Run items on the workers of ``client``'s scheduler.

        Args:
            client: stays its owner's.
            patience_s: how long to go on without any worker, in seconds.
            trouble: says why no worker can live, None while there is hope.
            moved: names that files have on the workers, where these are others than in the fileset.
        """
        self._client = client
        self._patience_s = patience_s
        self._trouble = trouble
        self._moved = moved
        self._flying: dict[Future[Any], int] = {}
        self._done: queue.SimpleQueue[Future[Any]] = queue.SimpleQueue()
        self._data = b""
        self._attempt: Future[Any] | None = None
        self._attempt_seen: float | None = None
        self._items: dict[Future[Any], _Work] = {}
        """What was submitted, for as long as it may have to be submitted once more."""
        self._run = ""
        self._numbers = itertools.count()
        self._waiting: list[Future[Any]] = []
        self._lost: list[Future[Any]] = []
        self._each = AT_ONCE_BYTES
        self._bytes_s = 0.0
        # A scheduler in this process reaches the workers from here, as this client does: no need to pass it by.
        self._direct = isinstance(getattr(client.cluster, "scheduler", None), Scheduler) or None
        self._apart: Apart[Future[Any]] = Apart()
        self._workers: dict[str, int] = {}
        self._threads_seen = float("-inf")
        self._alive_seen = self._looked = time.monotonic()

    def load(self, function: Function) -> None:
        """Put the function on the cluster as one result, which each worker fetches once."""
        self._data = cloudpickle.dumps(Attempt(Packed(function)))
        self._run = uuid.uuid4().hex[:8]
        self._alive_seen = time.monotonic()
        self._check_connection()
        self._attempt, self._attempt_seen = self._sent(), None

    def _sent(self) -> Future[Any]:
        with warnings.catch_warnings():
            # distributed warns of large graphs; a large processor has to travel once all the same.
            warnings.filterwarnings("ignore", "Sending large graph", UserWarning)
            return self._client.submit(pickle.loads, self._data, key=self._key("processor"), pure=False)

    def slots(self) -> int:
        """Return two items per worker thread, as many as there are now."""
        if time.monotonic() - self._threads_seen > THREADS_SEEN_EVERY_S:
            self._threads_seen = time.monotonic()
            self._workers = self._workers_now()
        return QUEUED_PER_THREAD * max(sum(self._workers.values()), 1)

    def places_apart(self) -> int:
        """Return how many items may each have a worker for itself, by how many there were when last looked at."""
        return Apart.places(len(self._workers))

    def bytes_s(self) -> float:
        """Return how many bytes of answers a second have come, in the last fetches of some size."""
        return self._bytes_s

    def submit(self, task: int, item: object) -> None:
        """Submit one item as one task, on any worker that none has for itself."""
        # Those that may be used may all be gone when its turn comes.
        others = self._apart.others(self._workers)
        self._submitted(task, item, workers=others, allow_other_workers=others is not None)

    def workers(self) -> Collection[str]:
        """Return the addresses of the workers, by the last look at them."""
        return self._workers

    def submit_near(self, task: int, item: object, worker: str) -> None:
        """Submit one item to a worker, from which others take it where it waits too long.

        Dask chooses where that worker has as many as are its due: it may have answered for one that has died, and then
        those that came in its place would get nothing.
        """
        near = {"workers": [worker], "allow_other_workers": True}
        given = sum(work.how == near for work in self._items.values())
        if given < QUEUED_PER_THREAD * self._workers.get(worker, 0) and not self._apart:
            self._submitted(task, item, **near)
        else:
            self.submit(task, item)

    def submit_elsewhere(self, task: int, item: object, worker: str) -> None:
        """Submit one item to any worker but one.

        Where it is only a wish, Dask lets the one that has failed take it again: it is the one that has time.
        """
        others = [other for other in self._apart.others(self._workers) or self._workers if other != worker]
        if others:
            self._submitted(task, item, workers=others, allow_other_workers=False)
        else:
            self.submit(task, item)

    def submit_apart(self, task: int, item: object) -> None:
        """Submit one item as the next task of a worker that gets no others."""
        worker = self._apart.choose(self._client.processing())
        if worker is None:
            self.submit(task, item)
        else:
            self._apart.put(self._submitted(task, item, workers=[worker], priority=1), worker)

    def submit_spread(self, task: int, items: Sequence[object], join: Callable[[Any, Any], Any]) -> None:
        """Submit neighbouring items as one task each, on any workers; others make one answer of theirs, by twos."""
        others = self._apart.others(self._workers)
        how = {"workers": others, "allow_other_workers": others is not None}
        self._started(task, _Work(tuple(map(self._packed, items)), how, cloudpickle.dumps(join)))

    def _submitted(self, task: int, item: object, **how: Any) -> Future[Any]:
        return self._started(task, _Work((self._packed(item),), how))

    def _packed(self, item: object) -> bytes:
        data: bytes = cloudpickle.dumps(_at(item, self._moved) if self._moved else item)
        return data

    def _started(self, task: int, work: _Work) -> Future[Any]:
        answers = [self._call("chunk", self._attempt, data, **work.how) for data in work.items]
        if len(answers) > 1:
            join = self._client.submit(pickle.loads, work.join, key=self._key("join"), pure=False)
        # What has been joined is let go, but by Dask, which may have to compute it anew.
        while len(answers) > 1:
            # Sooner than items that wait: until then they take up memory.
            pairs = zip(answers[::2], answers[1::2], strict=False)
            joined = [self._call("joined", join, *pair, priority=1) for pair in pairs]
            answers = joined + answers[len(answers) // 2 * 2 :]
        future = answers[0]
        self._flying[future], self._items[future] = task, work
        future.add_done_callback(self._done.put)
        return future

    def _call(self, what: str, function: Future[Any] | None, *arguments: Any, **how: Any) -> Future[Any]:
        # The scheduler unpickles what it is sent: these are all names that it knows.
        return self._client.submit(operator.call, function, *arguments, key=self._key(what), pure=False, **how)

    def _key(self, what: str) -> str:
        return f"{self._key_of(what)}{next(self._numbers)}"

    def _key_of(self, what: str) -> str:
        return f"{what}-{self._run}-"

    def wait(self, timeout_s: float | None) -> list[tuple[int, Answer]]:
        """Return what is finished.

        Raises:
            FarmError: the scheduler is gone, there has been no worker for the time that a worker may take, or
                ``trouble`` says why none can live.
        """
        if not self._flying:
            return []
        deadline = None if timeout_s is None else time.monotonic() + timeout_s
        while True:
            # However many answers come: for a worker that has died Dask lets what is its alone wait for ever.
            if time.monotonic() - self._looked >= CONNECTION_SEEN_EVERY_S and (dead := self._dead()):
                return dead
            left = CONNECTION_SEEN_EVERY_S if deadline is None else max(0.0, deadline - time.monotonic())
            if not self._waiting:
                self._listen_again()
                often = THREADS_SEEN_EVERY_S if self._apart or self._lost else CONNECTION_SEEN_EVERY_S
                self._waiting = self._ready(min(left, often))
            if self._waiting:
                at_once = max(1, AT_ONCE_BYTES // self._each)
                ready, self._waiting = self._waiting[:at_once], self._waiting[at_once:]
                if answers := self._answers(ready):
                    return answers
                continue
            if deadline is not None and time.monotonic() >= deadline:
                return []
            if dead := self._dead():
                return dead

    def cancel(self) -> None:
        """Cancel all tasks in flight."""
        futures = list(self._flying)
        self._flying.clear()
        self._items.clear()
        self._waiting.clear()
        self._lost.clear()
        self._apart = Apart()
        if futures and self._client.status == "running":
            self._client.cancel(futures, force=True)

    def _dead(self) -> list[tuple[int, Answer]]:
        """Look whether all that is in flight can still come, and return what cannot: its only worker is gone."""
        self._check_alive()
        self._check_function()
        workers = self._workers_now()
        self._looked = time.monotonic()
        dead = [self._died(future) for future in self._apart.lost(workers)]
        self._free_stranded(workers)
        # Of these and of those that were sent once more, nothing is expected any more.
        self._waiting = [future for future in self._waiting if future in self._flying]
        return dead

    def _ready(self, timeout_s: float) -> list[Future[Any]]:
        ready = []
        try:
            ready.append(self._done.get(timeout=timeout_s))
            while True:
                ready.append(self._done.get_nowait())
        except queue.Empty:
            # Those that were cancelled come back too.
            return [future for future in ready if future in self._flying]

    def _answers(self, ready: list[Future[Any]]) -> list[tuple[int, Answer]]:
        arrived = self._gathered([future for future in ready if future.status == "finished"])
        # Where its worker died before it was fetched, Dask computes it once more, in its own time.
        lost = [future for future in ready if future not in arrived and future.status in ("pending", "lost")]
        self._lost += lost
        if len(lost) < len(ready):
            self._alive_seen = self._attempt_seen = time.monotonic()
        answers = []
        for future in ready:
            if future in lost:
                continue
            task = self._flying.pop(future)
            self._items.pop(future, None)
            self._apart.drop(future)
            if future not in arrived:
                answers.append((task, self._failed(future)))
            else:
                answer = arrived.pop(future)
                if answer.value is not None:
                    self._each = max(1, answer.value.size)
                answers.append((task, unpacked(answer)))
        return answers

    def _listen_again(self) -> None:
        """Listen for results that were lost, once they are computed anew: of a lost one Dask says that it is done."""
        lost, self._lost = [future for future in self._lost if future in self._flying], []
        for future in lost:
            if future.status == "lost":
                self._lost.append(future)
            else:
                future.add_done_callback(self._done.put)

    def _gathered(self, finished: list[Future[Any]]) -> dict[Future[Any], Any]:
        values = self._values(finished) if finished else []
        if len(values) == len(finished):
            return dict(zip(finished, values, strict=True))
        # What failed is left out, and which one that was, gather does not say.
        alone = [(future, self._values([future])) for future in finished]
        return {future: values[0] for future, values in alone if values}

    def _values(self, futures: list[Future[Any]]) -> list[Any]:
        """Fetch results; there are none where one of them turns out to be lost with its worker.

        Raises:
            FarmError: as ``wait``; Dask would wait for a worker for ever.
        """
        begin = time.monotonic()
        gather = self._client.gather(futures, errors="skip", direct=self._direct, asynchronous=True)
        values = asyncio.run_coroutine_threadsafe(gather, self._client.loop.asyncio_loop)  # type: ignore[union-attr]  # it is running
        try:
            while not wait_for([values], CONNECTION_SEEN_EVERY_S).done:
                self._check_alive()
                if any(future.status != "finished" for future in futures):
                    return []
                if self._apart and {*futures} & {*self._apart.lost(self._workers_now())}:
                    return []
            fetched: list[Any] = values.result()
        except OSError as error:
            raise FarmError(f"the Dask scheduler does not answer: {error}") from error
        finally:
            values.cancel()
        size = sum(answer.value.travelling for answer in fetched if answer.value is not None)
        if size >= MEASURED_BYTES:
            now = size / max(time.monotonic() - begin, 1e-6)
            self._bytes_s = 0.5 * (self._bytes_s + now) if self._bytes_s else now
        return fetched

    def _died(self, future: Future[Any]) -> tuple[int, Answer]:
        """Answer for an item whose own worker is gone."""
        self._apart.drop(future)
        self._client.cancel([future], force=True)
        self._items.pop(future, None)
        return self._flying.pop(future), lost(f"the worker that it had for itself died{_AS_A_RULE}")

    def _failed(self, future: Future[Any]) -> Answer:
        if future.status != "error":
            self._check_connection()
            status = future.status
            if status != "cancelled":
                self._client.cancel([future], force=True)
            return lost(f"its task was {status}")
        error = future.exception()
        if isinstance(error, KilledWorker):
            if str(error.task).startswith(self._key_of("processor")):
                # All that waited for it fails with it, and the first of these has sent it once more.
                if self._attempt is not None and self._attempt.status == "error":
                    self._attempt = self._sent()
                return lost(f"the workers that held the processor died{_AS_A_RULE}")
            # allowed-failures workers died of it: trying again would kill more.
            return lost(f"{error.allowed_failures + 1} workers died while they held it{_AS_A_RULE}", final=True)
        trouble = Trouble(FaultKind.LOST_WORKER, False, type(error).__name__, f"on its way to the worker: {error}")
        return Answer(None, trouble, 0.0, "")

    def _check_connection(self) -> None:
        if self._client.status != "running" or getattr(self._client.scheduler_comm, "closed", lambda: False)():
            raise FarmError("the connection to the Dask scheduler is lost")

    def _check_alive(self) -> None:
        self._check_connection()
        now = time.monotonic()
        if self._workers_now():
            self._alive_seen = now
        elif text := self._trouble():
            raise FarmError(text)
        elif now - self._alive_seen > self._patience_s:
            raise FarmError(f"no worker for {self._patience_s:.0f} s, and none is coming; see worker-timeout")

    def _check_function(self) -> None:
        """Send the function once more where it has been gone for too long, and with it all that waits for it."""
        now = time.monotonic()
        assert self._attempt is not None
        if self._attempt.status == "finished":
            self._attempt_seen = now
        if self._attempt_seen is None or now - self._attempt_seen < FUNCTION_S:
            return
        log.info("the workers have lost the processor; it is sent once more")
        self._attempt, self._attempt_seen = self._sent(), now
        waiting = [future for future in self._flying if future.status in ("pending", "lost")]
        for future in waiting:
            task, work = self._flying.pop(future), self._items.pop(future)
            self._apart.moved(future, self._started(task, work))
        self._client.cancel(waiting, force=True)

    def _free_stranded(self, workers: Collection[str]) -> None:
        """Let any worker take what was kept off one, where the others are gone: Dask would wait for them."""
        for future in [future for future, work in self._items.items() if work.stranded(workers)]:
            task, work = self._flying.pop(future), self._items.pop(future)
            self._started(task, replace(work, how={}))
            self._client.cancel([future], force=True)

    def _workers_now(self) -> dict[str, int]:
        """Return the threads of each worker."""
        try:
            return dict(self._client.nthreads())
        except (OSError, TimeoutError, ValueError) as error:
            raise FarmError(f"the Dask scheduler does not answer: {error}") from error


def _at(item: Any, moved: Mapping[str, str]) -> Any:
    """Return an item, or a batch of them, with the names that their files have on the workers."""
    if isinstance(item, Batch):
        spans = (replace(span, items=tuple(_at(part, moved) for part in span.items)) for span in item.spans)
        return replace(item, spans=tuple(spans))
    address = moved.get(getattr(item, "filename", ""))
    return item if address is None else readdressed(item, address)
