"""A chunk's metadata that notice who looks at them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

MISSING = object()
"""Stands for a key that was asked for and is not there."""


class WatchedMetadata(dict[str, Any]):
    """A dict that remembers which keys were asked for and which were written, one by one."""

    def __init__(self, metadata: dict[str, Any]) -> None:
        super().__init__(metadata)
        self.asked: dict[str, Any] = {}
        self.written: dict[str, Any] = {}
        self.all_seen = False
        """Whether anything else was done with it: then any of its content may have mattered."""

    def __getitem__(self, key: str) -> Any:
        self._ask(key)
        return super().__getitem__(key)

    def get(self, key: str, default: Any = None) -> Any:
        """Return the value of ``key``, or ``default``."""
        self._ask(key)
        return super().get(key, default)

    def __contains__(self, key: object) -> bool:
        self._ask(str(key))
        return super().__contains__(key)

    def __setitem__(self, key: str, value: Any) -> None:
        self.written[key] = value
        super().__setitem__(key, value)

    def update(self, *others: Any, **more: Any) -> None:
        """Write all these."""
        for key, value in dict(*others, **more).items():
            self[key] = value

    def _ask(self, key: str) -> None:
        if key not in self.written:
            self.asked[key] = super().get(key, MISSING)


def _noticed(name: str) -> Callable[..., Any]:
    done: Callable[..., Any] = getattr(dict, name)

    def method(self: WatchedMetadata, *arguments: Any) -> Any:
        self.all_seen = True
        return done(self, *arguments)

    return method


for _name in (
    *("__iter__", "__reversed__", "__len__", "__eq__", "__ne__", "__or__", "__ror__", "__ior__", "__repr__"),
    *("__delitem__", "keys", "values", "items", "copy", "pop", "popitem", "setdefault", "clear"),
):
    setattr(WatchedMetadata, _name, _noticed(_name))
