"""Adds accumulators: two of others' into a new one, another's into one of our own without a copy."""

from __future__ import annotations

import sys
from collections import defaultdict, deque
from collections.abc import Iterator
from typing import Any

IN_PLACE_BYTES = 2**16
"""Smaller arrays are added into new ones: making sure that nothing can go wrong takes longer than the copy."""
_FLAT = ("Double", "Int64", "AtomicInt64", "Weight")
"""Storages of boost-histogram whose bins add up number by number."""

Pairs = list[tuple[Any, Any]]
"""Arrays that are to be added in place."""
HELD_ONCE = 2
"""What ``sys.getrefcount`` says of an object that one container refers to, and nobody else."""


def merge(left: object, right: object) -> Any:
    """Add two accumulators without changing either, so that a failed addition leaves both whole."""
    from coffea.processor import accumulate

    return accumulate([left, right])


class Addition:
    """The sum of two accumulators, the first of which is nobody else's: its large arrays become the sum's.

    The bits are those of ``merge``. All that can fail is done at once, in new objects; ``value`` adds the large arrays
    in place, where nothing can fail and no signal comes between, and does it once however often it is called.
    """

    __slots__ = ("_arrays", "_value")

    def __init__(self, left: object, right: object) -> None:
        pairs: Pairs = []
        self._value = _added(left, right, pairs)
        self._arrays: Iterator[Any] = iter(())
        if pairs:
            import numpy as np

            mine, others = zip(*pairs, strict=True)
            self._arrays = map(np.add, mine, others, mine)

    def value(self) -> Any:
        """Return the sum."""
        import numpy as np

        with np.errstate(all="ignore"):
            # One call into C: an interrupt is raised before it or after it.
            deque(self._arrays, maxlen=0)
        # The iterator would keep the other's arrays.
        self._arrays = iter(())
        return self._value


def _added(left: Any, right: Any, pairs: Pairs, *, once: bool = False) -> Any:
    """Add two parts; ``once``: nothing else in the sum stands for the left one."""
    from coffea.processor.accumulator import add

    if type(left) is type(right) and type(left) in (dict, defaultdict):
        return _added_by_key(left, right, pairs)
    mine, others = (_arrays_of(left), _arrays_of(right)) if once else (None, None)
    if mine is None or others is None or not _alike(left, right, mine, others):
        return add(left, right)
    pairs.append((mine, others))
    return left


def _added_by_key(left: Any, right: Any, pairs: Pairs) -> Any:
    """Add mappings as coffea does: first the left one's keys in their order, then those that only the right one has."""
    empty = type(left)(left.default_factory) if isinstance(left, defaultdict) else {}
    for key in left:
        # Counted before a name of ours refers to it, too.
        once = sys.getrefcount(left[key]) <= HELD_ONCE and not _is_seen_elsewhere(left[key])
        empty[key] = _added(left[key], right[key], pairs, once=once) if key in right else left[key]
    extra = {key: value for key, value in right.items() if key not in left}
    # A sum with nothing is a copy: the right one may be somebody else's.
    empty.update(merge({}, extra) if extra else {})
    return empty


def _is_seen_elsewhere(value: Any) -> bool:
    """Whether other arrays may show the same memory as an array."""
    import numpy as np

    # An array that was unpickled is a view of one that nobody else knows.
    return isinstance(value, np.ndarray) and value.base is not None and sys.getrefcount(value.base) > HELD_ONCE


def _arrays_of(value: Any) -> Any:
    """Return the numbers of a large array or histogram, as they lie in memory; None of anything else."""
    import numpy as np

    if type(value) is np.ndarray:
        return value if value.dtype.kind in "biufc" and value.nbytes >= IN_PLACE_BYTES else None
    if not is_histogram(value) or value.storage_type.__name__ not in _FLAT:
        return None
    bins = value.view(flow=True).view(np.ndarray)
    if bins.nbytes < IN_PLACE_BYTES or not bins.flags.f_contiguous:
        return None
    return bins.T.view("f8") if bins.dtype.names else bins


def is_histogram(value: Any) -> bool:
    """Return whether it is a plain histogram: subclasses may add in a way of their own."""
    kinds = (("hist", "Hist"), ("boost_histogram", "Histogram"))
    return any(type(value) is getattr(sys.modules.get(module), name, None) for module, name in kinds)


def _alike(left: Any, right: Any, mine: Any, others: Any) -> bool:
    """Whether adding the numbers one by one is all that the addition is, and cannot fail."""
    import numpy as np

    return (
        type(left) is type(right)
        and mine.dtype == others.dtype
        and mine.shape == others.shape
        and mine.flags.writeable
        and not np.may_share_memory(mine, others)
        and not {"raise", "call"} & set(np.geterr().values())
        and (type(left) is np.ndarray or (left.storage_type is right.storage_type and left.axes == right.axes))
    )
