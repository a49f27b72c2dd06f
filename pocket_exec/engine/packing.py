"""A value as it travels and waits: a pickle, and beside it the large arrays as they lie in memory, not copied.

Where the way to the client is slow, what becomes smaller is compressed; otherwise that takes longer than it saves.
"""

from __future__ import annotations

import pickle
import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import cloudpickle

from pocket_exec.engine.unpickling import loads

BESIDE_BYTES = 2**16
"""Arrays of fewer bytes are copied into the pickle: each one beside it costs a message of its own."""


SAMPLES, SAMPLE_BYTES = 4, 2**14
"""What is compressed to see whether it pays, from all over an array: the bins of a histogram are not all alike."""
PAYS = 2.0
"""How many times what it takes it has to save: a sample is in the processor's cache, and the client is busy."""


@dataclass(frozen=True, slots=True)
class Frames:
    """A value in pickle protocol 5; read where it was made, it still shares its arrays with the value."""

    head: bytes
    arrays: tuple[Any, ...] = ()
    """``pickle.PickleBuffer``s, or what they have become on the way: anything with a buffer."""
    whole: tuple[int, ...] = ()
    """Bytes of pickle and arrays before they were compressed, 0 of each that is as it was; empty if all are."""

    def __reduce_ex__(self, protocol: Any) -> tuple[Any, ...]:
        # What Dask's scheduler passes on is in protocol 4 (distributed 2026.8), which has no arrays beside the pickle.
        arrays = self.arrays if protocol >= 5 else tuple(bytearray(_raw(array)) for array in self.arrays)
        return Frames, (self.head, arrays, self.whole)

    @property
    def travelling(self) -> int:
        """Bytes that travel."""
        return len(self.head) + sum(memoryview(array).nbytes for array in self.arrays)

    @property
    def size(self) -> int:
        """Bytes of the value."""
        there = (len(self.head), *(memoryview(array).nbytes for array in self.arrays))
        return sum(before or now for before, now in zip(self.whole, there, strict=True)) if self.whole else sum(there)

    def value(self) -> Any:
        """Return the value; what unpickling raises is the caller's to judge."""
        if not self.whole:
            return unpickled(self.head, self.arrays)
        head, *arrays = map(_restored, (self.head, *self.arrays), self.whole)
        return unpickled(bytes(head), arrays)

    def let_go(self) -> None:
        """Free the arrays that no value has become part of, whoever still holds this: there will be no other value."""
        for array in self.arrays:
            if isinstance(array, memoryview):
                with suppress(BufferError):
                    array.release()


def _raw(array: Any) -> memoryview:
    return array.raw() if isinstance(array, pickle.PickleBuffer) else memoryview(array)


def _restored(data: Any, size: int) -> Any:
    import lz4.frame

    return lz4.frame.decompress(memoryview(data), return_bytearray=True) if size else data


def pack(value: object, *, own: bool, bytes_s: float = 0.0) -> Frames:
    """Pack a value; what pickling raises is the caller's to judge.

    Args:
        value: any accumulator.
        own: whether nobody else has it, so that it cannot change before it has gone; its arrays are not copied then.
        bytes_s: how many bytes a second get to where it goes; 0 where nobody knows, and nothing is compressed.
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
    parts = (head, *arrays)
    smaller = [_compressed(_raw(part), bytes_s) for part in parts] if bytes_s else []
    if not any(smaller):
        return Frames(head, tuple(arrays))
    small_head, *small_arrays = (small or part for small, part in zip(smaller, parts, strict=True))
    whole = tuple(memoryview(part).nbytes if small else 0 for small, part in zip(smaller, parts, strict=True))
    return Frames(small_head, tuple(small_arrays), whole)


def _compressed(data: memoryview, bytes_s: float) -> bytes | None:
    """Return an array compressed, or None where sending it as it is takes no longer, by what a sample takes."""
    import lz4.frame

    if data.nbytes < BESIDE_BYTES:
        return None
    step = (data.nbytes - SAMPLE_BYTES) // (SAMPLES - 1)
    sample = b"".join(data[start : start + SAMPLE_BYTES] for start in range(0, SAMPLES * step, step))
    begin = time.thread_time()
    smaller = lz4.frame.compress(sample)
    lz4.frame.decompress(smaller)
    takes_s = time.thread_time() - begin
    if PAYS * takes_s > (len(sample) - len(smaller)) / bytes_s:
        return None
    return bytes(lz4.frame.compress(data))


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
