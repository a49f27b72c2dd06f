"""A value as it travels and waits: a pickle, and beside it the large arrays as they lie in memory, not copied."""

from __future__ import annotations

import pickle
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import cloudpickle

from pocket_exec.engine.unpickling import loads

BESIDE_BYTES = 2**16
"""Arrays of fewer bytes are copied into the pickle: each one beside it costs a message of its own."""


@dataclass(frozen=True, slots=True)
class Frames:
    """A value in pickle protocol 5; read where it was made, it still shares its arrays with the value."""

    head: bytes
    arrays: tuple[Any, ...] = ()
    """``pickle.PickleBuffer``s, or what they have become on the way: anything with a buffer."""

    def __reduce_ex__(self, protocol: Any) -> tuple[Any, ...]:
        # What Dask's scheduler passes on is in protocol 4 (distributed 2026.8), which has no arrays beside the pickle.
        arrays = self.arrays if protocol >= 5 else tuple(bytearray(_raw(array)) for array in self.arrays)
        return Frames, (self.head, arrays)

    @property
    def size(self) -> int:
        """Bytes in all."""
        return len(self.head) + sum(memoryview(array).nbytes for array in self.arrays)

    def value(self) -> Any:
        """Return the value; what unpickling raises is the caller's to judge."""
        return unpickled(self.head, self.arrays)

    def let_go(self) -> None:
        """Free the arrays that no value has become part of, whoever still holds this: there will be no other value."""
        for array in self.arrays:
            if isinstance(array, memoryview):
                with suppress(BufferError):
                    array.release()


def _raw(array: Any) -> memoryview:
    return array.raw() if isinstance(array, pickle.PickleBuffer) else memoryview(array)


def pack(value: object, *, own: bool) -> Frames:
    """Pack a value; what pickling raises is the caller's to judge.

    Args:
        value: any accumulator.
        own: whether nobody else has it, so that it cannot change before it has gone; its arrays are not copied then.
    """
    arrays: list[Any] = []

    def stays_in_the_pickle(array: pickle.PickleBuffer) -> bool:
        # What cannot be seen as plain bytes has to be copied all the same.
        with memoryview(array) as view:
            beside = view.nbytes >= BESIDE_BYTES and (view.c_contiguous or view.f_contiguous)
        if beside:
            arrays.append(array if own else pickle.PickleBuffer(bytearray(array.raw())))
        return not beside

    head = cloudpickle.dumps(value, protocol=5, buffer_callback=stays_in_the_pickle)
    return Frames(head, tuple(arrays))


def unpicklable(results: Iterable[object], error: Exception) -> str:
    """Return the message for results, of which one raised ``error`` when it was pickled, with the part that did."""
    from pocket_exec.analysis.pickling import unpicklable_part

    for result in results:
        users = result["out"] if isinstance(result, dict) and "out" in result else result
        if (found := unpicklable_part(users, "result")) is not None:
            return f"{found[0]} cannot be pickled ({found[1]})"
    return f"result cannot be pickled ({error})"


def unpickled(head: bytes, arrays: Iterable[Any]) -> Any:
    """Return the value of a pickle and its arrays, which it may go on using as they are."""
    return loads(head, arrays)
