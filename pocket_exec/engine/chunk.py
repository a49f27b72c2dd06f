"""What runs on a worker: one attempt at one item, told as plain values, whatever it raised."""

from __future__ import annotations

import builtins
import errno
import itertools
import logging
import signal
import socket
import time
import traceback
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from types import FrameType
from typing import Any

from pocket_exec.engine import cpu
from pocket_exec.engine.identity import is_other_content
from pocket_exec.engine.outcome import FaultKind
from pocket_exec.engine.raised import packed

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Trouble:
    """Why an attempt gave no result."""

    kind: FaultKind
    passing: bool
    """Whether it may go away by itself (a time-out, a busy server): worth waiting and trying again."""
    error: str
    message: str
    traceback: str = ""
    final: bool = False
    """Whether the pool has made all the attempts that make sense."""
    raised: tuple[bytes, ...] = ()
    """The exception and its causes, packed; a caller's own ``except`` goes by their types."""


@dataclass(frozen=True, slots=True)
class Warned:
    """A Python warning, as it travels from a worker to the user."""

    text: str
    category: str
    filename: str
    line: int

    def again(self) -> None:
        """Issue it here."""
        category = getattr(builtins, self.category, UserWarning)
        try:
            warnings.warn_explicit(self.text, category, self.filename, self.line, registry={})
        except Warning:
            # `python -W error`: the chunk is done, and no reason to lose the others.
            log.warning("%s:%d: %s: %s", self.filename, self.line, self.category, self.text)


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of one attempt; ``value`` is None where there is trouble, or where the item gave nothing."""

    value: Any
    trouble: Trouble | None
    seconds: float
    host: str
    warned: tuple[Warned, ...] = ()
    cpus: Mapping[str, str] = field(default_factory=dict)
    """What numpy uses of the CPU of each host that has made some of the value, and its C library (``cpu.used``)."""
    worker: str = ""
    """The worker, as its pool calls it; empty where the pool cannot choose among its workers."""


def attempt(function: Callable[[Any], Any], item: object) -> Answer:
    """Call ``function(item)`` and say what came of it; what the user's code raises, ``sys.exit`` too, is in it."""
    start = time.perf_counter()
    host = socket.gethostname()
    try:
        value = function(item)
    except Exception as error:  # noqa: BLE001 - the user's code may raise anything, and may raise what cannot be pickled
        return Answer(None, describe(error), time.perf_counter() - start, host)
    except SystemExit as error:
        if _from_signal_handler(error):
            raise
        return Answer(None, describe(error), time.perf_counter() - start, host)
    return Answer(value, None, time.perf_counter() - start, host, cpus={host: cpu.used()})


def bad_result(answer: Answer, error: Exception, message: str) -> Answer:
    """Return the answer without its value, of which ``error`` says that it is of no use."""
    return replace(answer, value=None, trouble=Trouble(FaultKind.RESULT, False, type(error).__name__, message))


def unreadable(answer: Answer, error: Exception) -> Answer:
    """Return the answer without its value, which does not unpickle."""
    return bad_result(answer, error, f"the result cannot be read back: {error}")


def _from_signal_handler(error: SystemExit) -> bool:
    """Whether a handler of the program's own ended it: that is meant for the program, not for the chunk."""
    handlers = {getattr(signal.getsignal(number), "__code__", None) for number in signal.valid_signals()} - {None}
    return any(frame.f_code in handlers for frame in _frames(error))


def describe(error: BaseException) -> Trouble:
    """Tell the user's own fault from the storage's.

    coffea wraps both in a bare ``Exception``, so what decides is the chain of causes and the frames that it went
    through: what uproot or pyarrow raised while coffea was opening the file or reading a column is the storage's; what
    the processor raised is the user's, also where it opens a file of its own.
    """
    chain = list(_chain(error, _cause_or_context))
    while len(chain) > 1 and _modules(chain[0])[-1:] == [_RUNNER]:
        chain.pop(0)
    raised = chain[0]
    # Runner's bare wrappers say nothing by their type; what else it raises may be caught by its own.
    travelling = packed(
        [cause for cause in _chain(error, lambda later: later.__cause__) if type(cause) is not Exception]
    )
    if is_other_content(raised):
        return Trouble(FaultKind.BAD_FILE, False, type(raised).__name__, _message(raised), raised=travelling)
    causes = list(_chain(raised, _origin))
    reading = [number for number, cause in enumerate(causes) if _while_reading(_modules(cause))]
    if not reading:
        # What Runner itself raises after process() is about the value that process() returned.
        of_value = _modules(raised)[-1:] in ([_RUNNER], [_IN_ITS_PLACE]) and "process()" in _message(raised)
        kind = FaultKind.RESULT if of_value else FaultKind.USER
        return Trouble(kind, False, type(raised).__name__, _message(raised), _users_traceback(chain), raised=travelling)
    within = itertools.takewhile(_raised_and_caught_by_readers, causes[reading[-1] + 1 :])
    root = [causes[reading[-1]], *within][-1]
    passing = isinstance(root, OSError) and not _permanent(root)
    passing = passing or type(root).__module__.startswith("aiohttp")
    kind = FaultKind.STORAGE if passing else FaultKind.BAD_FILE
    return Trouble(kind, passing, type(root).__name__, _message(root), raised=travelling)


_RUNNER = "coffea.processor.executor"
_IN_ITS_PLACE = "pocket_exec.engine.reading.work"
_READERS = ("uproot", "fsspec", "fsspec_xrootd", "XRootD", "pyarrow", "s3fs")
_READ_FOR_US = ("coffea.nanoevents", "coffea.processor", "pocket_exec.engine")
_BETWEEN = (*_READERS, "awkward", "cachetools", "contextlib")


def _while_reading(modules: list[str]) -> bool:
    """Whether the innermost reading was begun by coffea (opening the file, a column touched), not by the user."""
    last_reader = max((i for i, module in enumerate(modules) if module.split(".")[0] in _READERS), default=-1)
    callers = [module for module in modules[: last_reader + 1] if module.split(".")[0] not in _BETWEEN]
    return bool(callers) and callers[-1].startswith(_READ_FOR_US)


def _raised_and_caught_by_readers(error: BaseException) -> bool:
    return all(module.split(".")[0] in _BETWEEN for module in _modules(error))


_NEVER_READABLE = ("not a ROOT file", "expected Chunk of length", "[3011]")
"""What uproot says of a file that is something else, or ends too early; XRootD's kXR_NotFound."""


def _permanent(error: BaseException) -> bool:
    """Whether a storage error will still be there in a minute."""
    if isinstance(error, (FileNotFoundError, IsADirectoryError, NotADirectoryError, PermissionError)):
        return True
    number = getattr(error, "errno", None)
    return number in (errno.ENOENT, errno.EACCES) or any(text in str(error) for text in _NEVER_READABLE)


def _chain(error: BaseException, before: Callable[[BaseException], BaseException | None]) -> Iterator[BaseException]:
    seen: set[int] = set()
    cause: BaseException | None = error
    while cause is not None and id(cause) not in seen:
        seen.add(id(cause))
        yield cause
        cause = before(cause)


def _cause_or_context(error: BaseException) -> BaseException | None:
    return error.__cause__ or (None if error.__suppress_context__ else error.__context__)


def _origin(error: BaseException) -> BaseException | None:
    """Return what ``error`` came from; what the user's own code had handled when it was raised is something else."""
    if error.__cause__ is not None:
        return error.__cause__
    by = (_modules(error) or [""])[-1]
    return _cause_or_context(error) if by.split(".")[0] in _BETWEEN or by.startswith(_READ_FOR_US) else None


def _frames(error: BaseException) -> Iterator[FrameType]:
    for frame, _ in traceback.walk_tb(error.__traceback__):
        yield frame


def _modules(error: BaseException) -> list[str]:
    return [frame.f_globals.get("__name__", "") for frame in _frames(error)]


def _message(error: BaseException) -> str:
    try:
        text = str(error).strip()
    except Exception:  # noqa: BLE001 - the user's own __str__
        text = ""
    return text or type(error).__name__


_MACHINERY = ("coffea.processor.executor", "pocket_exec.")


def _users_traceback(chain: list[BaseException]) -> str:
    """Return the traceback without the frames of coffea's Runner and of this project."""
    lines: list[str] = []
    for error in reversed(chain):
        stack = [
            (frame, line)
            for frame, line in traceback.walk_tb(error.__traceback__)
            if not frame.f_globals.get("__name__", "").startswith(_MACHINERY)
        ]
        if stack:
            lines += ["Traceback (most recent call last):\n"]
            lines += traceback.format_list(traceback.StackSummary.extract(iter(stack)))
            lines += traceback.format_exception_only(error)
            lines += ["\n"]
    return "".join(lines).rstrip()
