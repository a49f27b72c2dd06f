"""Unpickles what was pickled in this process, or by its workers, without touching the classes that are defined here.

cloudpickle sends the class of a script, notebook or cfg.py by value. Loaded where it is from, it would overwrite the
class itself: its methods then see the globals as they were when it was pickled, for good.
"""

from __future__ import annotations

import io
import os
import pickle
import sys
from collections.abc import Callable, Iterable
from functools import partial
from types import FunctionType
from typing import Any, BinaryIO

FILLS_A_CLASS = ("cloudpickle.cloudpickle", "_class_setstate")
"""What cloudpickle 3.1 loads a class's content with; with another one, all is loaded as ``pickle.loads`` does it."""

_process = os.getpid()


def loads(data: bytes, arrays: Iterable[Any] = ()) -> Any:
    """Unpickle ``data``, with the buffers that lie beside it; what unpickling raises is the caller's to judge."""
    return _Unpickler(io.BytesIO(data), buffers=arrays).load()


def load(stream: BinaryIO) -> Any:
    """Unpickle what comes next in ``stream``."""
    return _Unpickler(stream).load()


def copied(value: Any) -> Any:
    """Return ``value`` as it would come to a worker, but of the very classes that are defined here."""
    import cloudpickle

    return loads(cloudpickle.dumps(value))


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        found = super().find_class(module, name)
        return partial(_filled, found) if (module, name) == FILLS_A_CLASS else found


def _filled(fill: Callable[[type, Any], type], cls: type, state: Any) -> type:
    # A process that was forked has classes as they were then.
    return cls if os.getpid() == _process and _defined_here(cls) else fill(cls, state)


def _defined_here(cls: type) -> bool:
    """Whether ``cls`` is its module's own, or its methods see the module's globals: those of a loaded one do not."""
    module = vars(sys.modules[cls.__module__]) if cls.__module__ in sys.modules else None
    return module is not None and (
        module.get(cls.__qualname__) is cls
        or any(isinstance(member, FunctionType) and member.__globals__ is module for member in vars(cls).values())
    )
