"""A worker's side of an attempt: the function is unpacked once per process, the result is packed with care."""

from __future__ import annotations

import hashlib
import socket
import threading
import warnings
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import cloudpickle

from pocket_exec.engine.batch import BatchDone
from pocket_exec.engine.chunk import Answer, Trouble, Warned, attempt, bad_result, describe, unreadable
from pocket_exec.engine.dask_task import worker_address
from pocket_exec.engine.outcome import FaultKind
from pocket_exec.engine.packing import pack, unpicklable
from pocket_exec.engine.reading.garbage import moderate_collection
from pocket_exec.engine.unpickling import loads

KEPT_FUNCTIONS = 2
"""A run has two: file metadata, then chunks."""

_functions: OrderedDict[str, Callable[[Any], Any]] = OrderedDict()


class Packed:
    """A function in the form in which it travels, and the digest under which workers keep it."""

    def __init__(self, function: Callable[[Any], Any]) -> None:
        self.data: bytes = cloudpickle.dumps(function)
        self.digest = hashlib.sha256(self.data).hexdigest()


def attempt_packed(packed: bytes | Path, digest: str, item: bytes) -> Answer:
    """Attempt the pickled ``item`` with the function that ``packed`` holds, or names; the answer's value is packed."""
    bytes_s = 0.0
    with _warnings_kept() as warned:
        try:
            answer, bytes_s = _attempted(packed, digest, item)
        except BaseException as error:  # noqa: BLE001 - here no one else ends a chunk but the user's code
            answer = Answer(None, describe(error), 0.0, _host())
    if isinstance(answer.value, BatchDone):
        # It may become part of an answer of several workers.
        failed = {place: replace(one, worker=worker_address()) for place, one in answer.value.failed.items()}
        answer = replace(answer, value=replace(answer.value, failed=failed))
    return for_travel(replace(answer, warned=tuple(warned), worker=worker_address()), bytes_s)


def could_travel(answer: Answer) -> Answer:
    """Return the answer as it is, or the trouble that a worker far away would have to send it."""
    packed = for_travel(answer)
    return answer if packed.trouble is None else packed


def for_travel(answer: Answer, bytes_s: float = 0.0) -> Answer:
    """Return the answer with its value packed, for a way of so many bytes a second, or the trouble with that."""
    if answer.value is None:
        return answer
    done = answer.value
    try:
        # A chunk's own result is the processor's, which may go on with it before the answer has gone.
        own = isinstance(done, BatchDone) and all(part.block.own for part in done.parts)
        return replace(answer, value=pack(done, own=own, bytes_s=bytes_s))
    except Exception as error:  # noqa: BLE001 - each type refuses in its own way
        results = [part.block.value for part in done.parts] if isinstance(done, BatchDone) else [done]
        return bad_result(answer, error, unpicklable(results, error))


def _attempted(packed: bytes | Path, digest: str, item: bytes) -> tuple[Answer, float]:
    """Return the answer, and how many bytes a second the way to the client takes."""
    try:
        function, unpickled = _unpacked(packed, digest), loads(item)
    except (Exception, SystemExit) as error:  # noqa: BLE001 - unpickling imports the user's modules
        trouble = describe(error)
        message = f"the processor, or the metadata of its dataset, cannot be loaded on the worker: {trouble.message}"
        return Answer(None, replace(trouble, kind=FaultKind.USER, passing=False, message=message), 0.0, _host()), 0.0
    return attempt(function, unpickled), getattr(unpickled, "bytes_s", 0.0)


class Attempt:
    """``attempt_packed`` as a value: a scheduler can pass it on, and items in bytes, without importing a thing."""

    def __init__(self, packed: Packed) -> None:
        self._data, self._digest = packed.data, packed.digest

    def __call__(self, item: bytes) -> Answer:
        """Attempt the pickled ``item``."""
        return attempt_packed(self._data, self._digest, item)


def unpacked(answer: Answer) -> Answer:
    """Return the answer with its value as an object again."""
    if answer.value is None:
        return answer
    try:
        value = answer.value.value()
        if isinstance(value, BatchDone) and value.parts:
            size = answer.value.size // len(value.parts)
            value.parts = [replace(part, block=replace(part.block, own=True, size=size)) for part in value.parts]
        # Dask holds what it has fetched until the garbage is collected.
        answer.value.let_go()
        return replace(answer, value=value)
    except Exception as error:  # noqa: BLE001 - a class that the client does not have, or that does not load
        return unreadable(answer, error)


def lost(message: str, *, final: bool = False) -> Answer:
    """Return the answer for an item whose worker is gone."""
    return Answer(None, Trouble(FaultKind.LOST_WORKER, False, "LostWorker", message, final=final), 0.0, "")


_functions_lock, _lock = threading.Lock(), threading.Lock()
"""Apart: a function that is loaded may have to wait until the chunks of another one are done, warnings and all."""
_keeping = threading.local()
_before: list[Any] = []
"""``warnings.showwarning`` as it was, once for each attempt under way: it belongs to all threads at once."""


@contextmanager
def _warnings_kept() -> Iterator[list[Warned]]:
    """Collect what this thread would write to the worker's stderr, where nobody reads it."""
    kept: list[Warned] = []
    _keeping.warned = kept
    with _lock:
        _before.append(warnings.showwarning if not _before else _before[0])
        warnings.showwarning = _keep  # type: ignore[assignment]  # it takes file and line as *_
    try:
        yield kept
    finally:
        _keeping.warned = None
        with _lock:
            before = _before.pop()
            if not _before:
                warnings.showwarning = before


def _keep(message: Warning | str, category: type[Warning], filename: str, lineno: int, *rest: Any) -> None:
    kept: list[Warned] | None = getattr(_keeping, "warned", None)
    if kept is not None:
        kept.append(Warned(str(message), category.__name__, filename, lineno))
    elif _before:
        _before[0](message, category, filename, lineno, *rest)


def _unpacked(packed: bytes | Path, digest: str) -> Callable[[Any], Any]:
    with _functions_lock:
        if digest not in _functions:
            # It imports the user's modules.
            with moderate_collection():
                _functions[digest] = loads(packed.read_bytes() if isinstance(packed, Path) else packed)
            while len(_functions) > KEPT_FUNCTIONS:
                _functions.popitem(last=False)
        _functions.move_to_end(digest)
        return _functions[digest]


def _host() -> str:
    return socket.gethostname()
