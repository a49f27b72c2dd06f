"""Where in two results it is that they do not add, in the words of who wrote the processor."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

_CLASS = re.compile(r"<class '(?:[\w.<>]*\.)?(\w+)'>")


def not_added(left: object, right: object, add: Callable[[object, object], object]) -> str:
    """Return the keys, as one would write them, down to the innermost parts that ``add`` refuses; empty for the whole.

    >>> not_added({"n": 1, "h": {"pt": 1}}, {"n": 2, "h": {"pt": "x"}}, lambda a, b: a + b)
    "['h']['pt']"
    """
    if not isinstance(left, Mapping) or not isinstance(right, Mapping):
        return ""
    for key in [*left, *(key for key in right if key not in left)]:
        # What only one of them has is copied, which may fail too.
        one, other = (left[key], right[key]) if key in left and key in right else ({}, _only(left, right, key))
        try:
            add(one, other)
        except Exception:  # noqa: BLE001 - whatever the user's accumulators raise when they are added
            return f"[{key!r}]{not_added(one, other, add) if key in left and key in right else ''}"
    return ""


def _only(left: Mapping[object, object], right: Mapping[object, object], key: object) -> dict[object, object]:
    return {key: left[key] if key in left else right[key]}


def said(error: Exception) -> str:
    """Return the text of an error with the bare names of classes: a cfg.py is a module of a made-up name.

    >>> said(ValueError("incompatible type (<class '_cfg_1.Thing'> vs. <class 'int'>)"))
    'incompatible type (Thing vs. int)'
    """
    return _CLASS.sub(r"\1", str(error))
