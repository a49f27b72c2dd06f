"""Finds what in an object cannot be pickled, by the path a user would write."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Iterator, Mapping
from typing import Any

from pocket_exec.errors import CfgError


def unpicklable_part(obj: object, name: str) -> tuple[str, str] | None:
    """Return the path of the innermost part that cannot be pickled, with the reason; None if all can.

    >>> unpicklable_part({"a": 1}, "output") is None
    True
    """
    return _unpicklable(obj, name, set())


def _unpicklable(obj: object, name: str, seen: set[int]) -> tuple[str, str] | None:
    reason = _refusal(obj)
    if reason is None or id(obj) in seen:
        return None
    seen.add(id(obj))
    for path, part in _parts(obj, name):
        if (found := _unpicklable(part, path, seen)) is not None:
            return found
    return name, reason


def modules_named(obj: object) -> list[str]:
    """Return the modules that must be importable where a pickle of ``obj`` is read, without the standard library's.

    >>> modules_named({"decoder": __import__("json").JSONDecoder})
    []
    """
    import io

    import cloudpickle

    found: set[str] = set()

    class Noting(cloudpickle.Pickler):  # type: ignore[misc]  # it brings no types
        def reducer_override(self, part: Any) -> Any:
            reduced = super().reducer_override(part)
            if reduced is NotImplemented:  # by its name, not by value
                name = part.__name__ if inspect.ismodule(part) else getattr(part, "__module__", None)
                if isinstance(name, str) and (inspect.ismodule(part) or isinstance(part, type) or callable(part)):
                    found.add(name)
            return reduced

    Noting(io.BytesIO()).dump(obj)
    there = {*sys.stdlib_module_names, "__main__", "cloudpickle"}
    return sorted(name for name in found if name.partition(".")[0] not in there)


def check_processor(processor: object) -> None:
    """Raise a CfgError that names the attribute of ``processor`` that cannot travel to a worker."""
    if (found := unpicklable_part(processor, "processor")) is not None:
        path, reason = found
        raise CfgError(
            f"the processor cannot be sent to workers: {path} cannot be pickled ({reason}); "
            "make it inside process(), or leave it out in __getstate__"
        )


def _refusal(obj: object) -> str | None:
    import cloudpickle

    try:
        cloudpickle.dumps(obj)
    except Exception as error:  # noqa: BLE001 - each type refuses in its own way
        return f"{type(error).__name__}: {error}"
    return None


def _parts(obj: Any, name: str) -> Iterator[tuple[str, object]]:
    if isinstance(obj, Mapping):
        for key, value in obj.items():
            yield f"{name}[{key!r}]", value
    elif isinstance(obj, (list, tuple)):
        for index, value in enumerate(obj):
            yield f"{name}[{index}]", value
    elif inspect.isfunction(obj):
        used = inspect.getclosurevars(obj)
        for key, value in {**used.globals, **used.nonlocals}.items():
            yield f"{key} (used by {name})", value
    else:
        for key, value in _state(obj).items():
            yield f"{name}.{key}", value


def _state(obj: Any) -> Mapping[str, object]:
    """Return the attributes that pickle takes: not those that a ``__getstate__`` leaves out."""
    try:
        state = obj.__getstate__()
    except Exception:  # noqa: BLE001 - the user's own, or that of a class
        return {}
    parts = state if isinstance(state, tuple) else (state,)
    return {str(key): value for part in parts if isinstance(part, Mapping) for key, value in part.items()}
