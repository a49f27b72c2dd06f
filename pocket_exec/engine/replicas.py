"""Which of a file's addresses a chunk is read from: a worker remembers what failed, and begins where reading works."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import Any

from pocket_exec.engine.chunk import describe
from pocket_exec.engine.outcome import FaultKind
from pocket_exec.engine.plan import readdressed
from pocket_exec.engine.reading.following import moved

FORGOTTEN_AFTER_S = 600.0
"""What failed is tried first again after this time: a server that was down comes back."""

Replicas = Mapping[str, Sequence[str]]
"""All addresses of a file, its own first, by the name that the fileset has for it."""


class Failed:
    """Addresses that could not be read from this process lately."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._when: dict[str, float] = {}

    def note(self, address: str, kind: FaultKind) -> None:
        """Take note of why ``address`` could not be used; what is not the storage's fault says nothing of it."""
        if kind is FaultKind.STORAGE:
            # It answers too late, or not at all: so it will for its other files.
            self._when[_server(address)] = self._clock()
        elif kind is FaultKind.BAD_FILE:
            self._when[address] = self._clock()

    def works(self, address: str) -> None:
        """Take note that reading ``address`` has worked."""
        self._when.pop(address, None)
        self._when.pop(_server(address), None)

    def best(self, addresses: Sequence[str]) -> str:
        """Return the first address that has not failed; where all have, the one that did so the longest ago."""
        return min(addresses, key=self._since)

    def _since(self, address: str) -> float:
        """Return when it failed; 0 where it did not, or where that is too long ago to matter."""
        when = max(self._when.get(address, 0.0), self._when.get(_server(address), 0.0))
        return when if self._clock() - when < FORGOTTEN_AFTER_S else 0.0


_failed = Failed()
"""What this process knows: all runs that use it are on one machine, with one network."""


class Replicated:
    """``function`` of a work item whose file is read where reading works; the check of its identity is the same."""

    def __init__(self, function: Callable[[Any], Any], replicas: Replicas, failed: Failed | None = None) -> None:
        self._function = function
        self._replicas = replicas
        self._failed = failed if failed is not None else _failed

    def __reduce__(self) -> Any:
        return Replicated, (self._function, self._replicas)

    def __call__(self, item: Any) -> Any:
        """Call the function with ``item``, at an address that has not failed here where there is one."""
        addresses = self._others.get(item.filename)
        if addresses is None:
            return self._function(item)
        first = addresses.index(item.filename)
        address = self._failed.best([*addresses[first:], *addresses[:first]])
        try:
            with moved(item.filename, address):
                out = self._function(readdressed(item, address))
        except Exception as error:
            self._failed.note(address, describe(error).kind)
            raise
        self._failed.works(address)
        return out

    @cached_property
    def _others(self) -> dict[str, Sequence[str]]:
        return {address: addresses for addresses in self._replicas.values() for address in addresses}


def replicated(function: Callable[[Any], Any], replicas: Replicas) -> Callable[[Any], Any]:
    """Return ``function`` as one that remembers which replicas work; as it is where there are none."""
    return Replicated(function, replicas) if replicas else function


def _server(address: str) -> str:
    """Return scheme and host of a URL; a path is what it is."""
    scheme, separator, rest = address.partition("://")
    if not separator or scheme == "file":
        return address
    return f"{scheme}://{rest.lstrip('/').partition('/')[0]}"
