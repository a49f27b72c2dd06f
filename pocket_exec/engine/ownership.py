"""Tells whether anybody else refers to a result: what nobody else has need not be copied before it waits or goes."""

from __future__ import annotations

import copy
import sys
from collections import defaultdict
from dataclasses import replace
from typing import Any

from coffea.processor.executor import WorkItem

from pocket_exec.engine.addition import HELD_ONCE, is_histogram
from pocket_exec.engine.chunk import Answer, bad_result, unreadable
from pocket_exec.engine.packing import pack, unpicklable

_UNCHANGEABLE = (type(None), bool, int, float, complex, str, bytes)


def nobody_elses(answer: Answer) -> bool:
    """Return whether nothing but ``answer`` refers to its value or to any part of it.

    A processor that fills the same histogram for each chunk still has it when it has returned it, and will change it.
    What cannot be looked through (objects of the user's own, views of what is no array) is taken for somebody else's.
    """
    return sys.getrefcount(answer.value) <= HELD_ONCE and _holds_its_own(answer.value)


def ours(answer: Answer) -> Answer:
    """Return the answer with a value that nobody else has: a copy, where somebody may fill it again for the next chunk.

    What can be neither copied nor pickled is trouble: it could not travel, nor be told from what it may become.
    """
    if answer.value is None or nobody_elses(answer):
        return answer
    try:
        return replace(answer, value=copy.deepcopy(answer.value))
    except Exception:  # noqa: BLE001 - each type refuses in its own way
        return _read_back(answer)


def _read_back(answer: Answer) -> Answer:
    try:
        packed = pack(answer.value, own=False)
    except Exception as error:  # noqa: BLE001 - each type refuses in its own way
        return bad_result(answer, error, unpicklable([answer.value], error))
    try:
        return replace(answer, value=packed.value())
    except Exception as error:  # noqa: BLE001 - a class that does not load
        return unreadable(answer, error)


def _holds_its_own(value: Any) -> bool:
    kind = type(value)
    if kind in _UNCHANGEABLE:
        return True
    if kind in (dict, defaultdict):
        return all(_unchangeable(key) and _held_once(value, key) for key in value)
    if kind is set:
        return all(type(item) is WorkItem or _unchangeable(item) for item in value)
    if kind is list:
        return all(_held_once(value, place) for place in range(len(value)))
    return _is_own_histogram(value) if is_histogram(value) else _is_plain_array(value)


def _held_once(container: Any, key: Any) -> bool:
    # Counted before a name of ours refers to it, too.
    once = sys.getrefcount(container[key]) <= HELD_ONCE
    part = container[key]
    return _unchangeable(part) or (once and _holds_its_own(part))


def _is_own_histogram(value: Any) -> bool:
    # Its axes refer to the bins, each once, and so does whoever has kept a view of them (boost-histogram 1.8).
    if sys.getrefcount(getattr(value, "_hist", None)) > HELD_ONCE + value.ndim:
        return False
    return all(_unchangeable(word) for part in (value, *value.axes) for word in vars(part).values())


def _is_plain_array(value: Any) -> bool:
    import numpy as np

    if isinstance(value, np.generic):
        return value.dtype.kind != "O"
    if type(value) is not np.ndarray or value.dtype.hasobject:
        return False
    if value.base is None:
        return True
    # A part of an array that nobody knows any more.
    return type(value.base) is np.ndarray and value.base.base is None and sys.getrefcount(value.base) <= HELD_ONCE


def _unchangeable(value: Any) -> bool:
    if isinstance(value, tuple):
        return type(value) is tuple and all(map(_unchangeable, value))
    return type(value) in _UNCHANGEABLE
