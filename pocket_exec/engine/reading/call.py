"""What coffea's Runner hands to an executor, taken apart where it is what we know."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from functools import partial
from typing import Any

from coffea.processor import Runner


@dataclass(frozen=True)
class RunnerCall:
    """The arguments of ``Runner._work_function`` in coffea 2026.9, without the work item."""

    format: str
    xrootdtimeout: int | None
    schema: Any
    use_dataframes: bool
    savemetrics: bool
    processor_instance: Any
    uproot_options: Mapping[str, Any]
    iteritems_options: Mapping[str, Any]
    checkpointer: Any
    cache_function: Callable[[], Any]

    @classmethod
    def of(cls, function: Any) -> RunnerCall | None:
        """Return what ``function`` does with an item; None where it is something else, or another coffea's."""
        known = getattr(Runner, "_work_function", None)
        if known is None or not isinstance(function, partial) or function.func is not known:
            return None
        try:
            signature = inspect.signature(known)
            given = signature.bind_partial(*function.args, **function.keywords).arguments
        except TypeError:
            return None
        # The item comes sixth: positional arguments beyond the fifth would take its place.
        wanted = {each.name for each in fields(cls)}
        whole = set(given) == wanted and set(signature.parameters) == wanted | {"item"}
        return cls(**given) if whole and len(function.args) == 5 else None
