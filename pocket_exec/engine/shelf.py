"""Keeps sums that wait for their neighbours: in memory while there is room, beyond that in files without a name."""

from __future__ import annotations

import logging
import mmap
import tempfile
from typing import Protocol

from pocket_exec.engine.packing import pack, unpickled

log = logging.getLogger(__name__)

ROOM_BYTES = 64 * 10**6
"""Waiting sums that stay in memory, all together."""
ALIGNED = 64
"""Where an array may begin in a file, as numpy has it in memory."""


class Kept(Protocol):
    """A sum that waits."""

    def value(self) -> object:
        """Return it; of one in a file, a new copy each time."""


class Held:
    """A sum that stays as it is."""

    __slots__ = ("_value",)

    def __init__(self, value: object) -> None:
        self._value = value

    def value(self) -> object:
        """Return it."""
        return self._value


class Shelf:
    """Room for the sums of a run; what is no longer referred to has left it."""

    def __init__(self, room: int = ROOM_BYTES) -> None:
        self._room = room

    def keep(self, value: object, size: int) -> tuple[Kept, bool]:
        """Keep a sum of ``size`` bytes, and say whether what is read back is a copy; 0: a size that is not known."""
        if size > self._room:
            try:
                return _InFile(value), True
            except Exception as error:  # noqa: BLE001 - each type refuses to be pickled in its own way
                log.debug("a sum stays in memory: %s", error)
        return _InMemory(self, value, size), False

    def take(self, size: int) -> None:
        """Give up room, or with a negative ``size`` get it back."""
        self._room -= size


class _InMemory(Held):
    __slots__ = ("_shelf", "_size")

    def __init__(self, shelf: Shelf, value: object, size: int) -> None:
        super().__init__(value)
        self._shelf, self._size = shelf, size
        shelf.take(size)

    def __del__(self) -> None:
        self._shelf.take(-self._size)


class _InFile:
    """A file that has no name: the system takes it away with the process, however that ends."""

    __slots__ = ("_file", "_head", "_places")

    def __init__(self, value: object) -> None:
        packed = pack(value, own=True)
        self._head = packed.head
        self._places: list[tuple[int, int]] = []
        self._file = tempfile.TemporaryFile(prefix="pocket-exec-")  # noqa: SIM115 - it is closed with this object
        for array in packed.arrays:
            with memoryview(array.raw()) as data:
                self._places.append((self._file.tell(), data.nbytes))
                self._file.write(data)
                self._file.write(bytes(-data.nbytes % ALIGNED))
        self._file.flush()

    def __del__(self) -> None:
        if (file := getattr(self, "_file", None)) is not None:
            file.close()

    def value(self) -> object:
        if not self._places:
            return unpickled(self._head, ())
        # What is written to it stays in memory, and the rest of it need not be there.
        there = memoryview(mmap.mmap(self._file.fileno(), 0, access=mmap.ACCESS_COPY))
        return unpickled(self._head, [there[start : start + size] for start, size in self._places])
