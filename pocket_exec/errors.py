"""The tree of errors a user can meet; each class carries the exit status of the command line."""

from __future__ import annotations

import difflib
import signal
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any


class PocketExecError(Exception):
    """A fault that is told in one message, without a traceback."""

    status = 1


@dataclass(frozen=True)
class Fault:
    """One thing wrong with what the user gave: where, what, and the nearest right answer."""

    where: str
    """The option, key or argument, as the user wrote it."""
    what: str
    """What is wrong with it, and what to write instead."""
    origin: str = ""
    """Where it came from: ``my_run.yaml, line 3``, ``--mem-per-worker``; empty when ``where`` says it."""

    def __str__(self) -> str:
        place = f"{self.where} ({self.origin})" if self.origin and self.origin != self.where else self.where
        return f"{place}: {self.what}"


_NEAR, _AS_NEAR = 0.6, 0.1
"""Likeness from which on a word is worth naming, and how far below the likest another may be to be named too."""


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return ``; did you mean 'x'?`` for the words of ``known`` that look most like ``word``, or nothing.

    >>> did_you_mean("mem-per-wrker", ["mem-per-worker", "cores-per-worker", "queue"])
    "; did you mean 'mem-per-worker'?"
    """
    return asked(nearest(word, known))


def nearest(word: str, known: Iterable[str]) -> list[str]:
    """Return the words of ``known`` that look most like ``word``, the likest first; at most three."""
    lowered = {name.lower(): name for name in known}
    near = difflib.get_close_matches(word.lower(), lowered, n=3, cutoff=_NEAR)
    likeness = {name: difflib.SequenceMatcher(None, name, word.lower()).ratio() for name in near}
    return [lowered[name] for name in near if likeness[name] >= max(likeness.values()) - _AS_NEAR]


def asked(names: Sequence[str], prefix: str = "") -> str:
    """Return ``; did you mean 'x' or 'y'?``, or nothing where there are no ``names``."""
    return f"; did you mean {' or '.join(repr(prefix + name) for name in names)}?" if names else ""


class OptionsError(PocketExecError):
    """Run options that cannot be used; all faults at once."""

    status = 3

    def __init__(self, faults: Sequence[Fault], title: str = "Bad run options") -> None:
        self.faults = tuple(faults)
        self.title = title
        super().__init__("\n".join([f"{title}:", *(f"  {fault}" for fault in self.faults)]))

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.faults, self.title)


class ExecutorError(PocketExecError):
    """An executor that is unknown, or a factory that does not keep its contract."""

    status = 3


class CfgError(PocketExecError):
    """A cfg.py, fileset or processor that cannot be used."""

    status = 3


class OutputDirectoryError(PocketExecError):
    """An output directory that cannot be used, or whose result would be overwritten."""

    status = 3


class FarmError(PocketExecError):
    """The farm failed: no scheduler, no workers, wrong versions, an image that is not there."""

    status = 4


class ProcessingError(PocketExecError):
    """The user's code or data failed and there is nothing to save."""

    status = 5


class PartialResult(PocketExecError):
    """Some chunks failed; what was processed is saved and is in ``output``."""

    status = 6

    def __init__(self, message: str, output: Any = None, failures: Sequence[Any] = ()) -> None:
        super().__init__(message)
        self.output = output
        self.failures = tuple(failures)


class Interrupted(KeyboardInterrupt):
    """A signal asked the run to end: a KeyboardInterrupt that knows its signal."""

    def __init__(self, signum: int = signal.SIGINT) -> None:
        super().__init__(signal.Signals(signum).name)
        self.signum = signal.Signals(signum)

    @property
    def status(self) -> int:
        """Exit status of a shell for a program that this signal ended."""
        return 128 + self.signum
