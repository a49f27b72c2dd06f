"""A worker's side of an attempt: the function is unpacked once per process, the result is packed with care."""

from __future__ import annotations

import hashlib
import warnings
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import cloudpickle

from pocket_exec.engine.chunk import Answer, Trouble, Warned, attempt
from pocket_exec.engine.outcome import FaultKind

KEPT_FUNCTIONS = 2
"""A run has two: file metadata, then chunks."""

_functions: OrderedDict[str, Callable[[Any], Any]] = OrderedDict()


class Packed:
    """A function in the form in which it travels, and the digest under which workers keep it."""

    def __init__(self, function: Callable[[Any], Any]) -> None:
        self.data: bytes = cloudpickle.dumps(function)
        self.digest = hashlib.sha256(self.data).hexdigest()


def attempt_packed(packed: bytes | Path, digest: str, item: object) -> Answer:
    """Attempt ``item`` with the function that ``packed`` holds, or names; the answer's value is pickled bytes."""
    try:
        function = _unpacked(packed, digest)
    except Exception as error:  # noqa: BLE001 - unpickling imports the user's modules
        message = f"the processor cannot be loaded on the worker: {error}"
        return Answer(None, Trouble(FaultKind.USER, False, type(error).__name__, message), 0.0, "")
    with _warnings_kept() as warned:
        answer = attempt(function, item)
    if warned:
        answer = replace(answer, warned=tuple(warned))
    if answer.value is None:
        return answer
    try:
        return replace(answer, value=cloudpickle.dumps(answer.value, protocol=5))
    except Exception as error:  # noqa: BLE001 - each type refuses in its own way
        from pocket_exec.analysis.pickling import unpicklable_part

        part, reason = unpicklable_part(answer.value, "result") or ("result", str(error))
        message = f"{part} cannot be pickled ({reason})"
        return replace(answer, value=None, trouble=Trouble(FaultKind.RESULT, False, type(error).__name__, message))


class Attempt:
    """``attempt_packed`` as a value: a scheduler can pass it on, and items in bytes, without importing a thing."""

    def __init__(self, packed: Packed) -> None:
        self._data, self._digest = packed.data, packed.digest

    def __call__(self, item: bytes) -> Answer:
        """Attempt the pickled ``item``."""
        return attempt_packed(self._data, self._digest, cloudpickle.loads(item))


def unpacked(answer: Answer) -> Answer:
    """Return the answer with its value as an object again."""
    if answer.value is None:
        return answer
    try:
        return replace(answer, value=cloudpickle.loads(answer.value))
    except Exception as error:  # noqa: BLE001 - a class that the client does not have, or that does not load
        message = f"the result cannot be read back: {error}"
        return replace(answer, value=None, trouble=Trouble(FaultKind.RESULT, False, type(error).__name__, message))


def lost(message: str, *, final: bool = False) -> Answer:
    """Return the answer for an item whose worker is gone."""
    return Answer(None, Trouble(FaultKind.LOST_WORKER, False, "LostWorker", message, final=final), 0.0, "")


@contextmanager
def _warnings_kept() -> Iterator[list[Warned]]:
    """Collect what would be written to the worker's stderr, where nobody reads it."""
    kept: list[Warned] = []
    before = warnings.showwarning

    def keep(message: Warning | str, category: type[Warning], filename: str, lineno: int, *_: Any) -> None:
        kept.append(Warned(str(message), category.__name__, filename, lineno))

    warnings.showwarning = keep  # type: ignore[assignment]  # *_ takes file and line
    try:
        yield kept
    finally:
        warnings.showwarning = before


def _unpacked(packed: bytes | Path, digest: str) -> Callable[[Any], Any]:
    if digest not in _functions:
        _functions[digest] = cloudpickle.loads(packed.read_bytes() if isinstance(packed, Path) else packed)
        while len(_functions) > KEPT_FUNCTIONS:
            _functions.popitem(last=False)
    return _functions[digest]
