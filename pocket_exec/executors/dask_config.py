"""Finds what of Dask's own configuration the user has changed, for workers that do not see it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

_OF_THIS_MACHINE = ("distributed.comm.tls", "distributed.comm.require-encryption", "distributed.dashboard")
"""Paths of certificates, and what is the client's or the scheduler's alone."""
_MISSING = object()


def changed_config() -> dict[str, Any]:
    """Return the settings of ``distributed`` that differ from its defaults, by dotted key.

    They come from Dask's YAML files, from ``DASK_...`` variables, or from ``dask.config.set``.
    """
    import dask
    import distributed  # noqa: F401 - its defaults are there once it is imported

    defaults = dask.config.merge(*dask.config.defaults)
    changed = _changes(dask.config.get("distributed", {}), defaults.get("distributed", {}), "distributed")
    return dict(changed)


def _changes(now: Any, before: Any, key: str) -> Iterator[tuple[str, Any]]:
    if key in _OF_THIS_MACHINE or now == before:
        return
    if isinstance(now, Mapping) and isinstance(before, Mapping):
        for name, value in now.items():
            yield from _changes(value, before.get(name, before.get(name.replace("_", "-"), _MISSING)), f"{key}.{name}")
    elif _is_plain(now):
        yield key, now


def _is_plain(value: Any) -> bool:
    try:
        json.dumps(value)
    except (TypeError, ValueError):
        return False
    return True
