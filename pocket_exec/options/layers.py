"""Layers of options and how they are stacked: later layers win, and every value keeps its origin."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Layer:
    """Options from one source, and where in it each stands."""

    name: str
    values: Mapping[str, Any]
    """Value by key, kebab-case; tables are mappings."""
    origins: Mapping[str, str] = field(default_factory=dict)
    """Origin by dotted key, such as ``my_run.yaml, line 3``; the layer's name for what is not in it."""
    command_line: bool = False
    """Values are the text of flags, not yet parsed."""

    def origin(self, path: str) -> str:
        """Return where the value at a dotted key comes from: its own origin, or that of the table around it."""
        while path:
            if path in self.origins:
                return self.origins[path]
            path = path.rpartition(".")[0]
        return self.name


@dataclass(frozen=True)
class Document(Layer):
    """Options from a file or from cfg.py, which may hold sections: ``general``, and executor strings."""


@dataclass(frozen=True)
class Stacked:
    """Layers merged into one."""

    values: dict[str, Any]
    origins: dict[str, str]
    """Origin of each value by dotted key."""
    table_keys: dict[str, tuple[str, ...]]
    """For each table, the keys that any layer has: to take one away again, a file must say null."""


def stack(layers: Iterable[Layer]) -> Stacked:
    """Merge ``layers``: later layers win, tables merge key by key, lists are replaced.

    >>> out = stack([Layer("site", {"slurm": {"qos": "low", "nodes": 1}}),
    ...              Layer("--slurm.qos", {"slurm": {"qos": "high"}})])
    >>> out.values
    {'slurm': {'qos': 'high', 'nodes': 1}}
    >>> out.origins["slurm.qos"]
    '--slurm.qos'

    A null is a value like others: over a table it empties it, in a table it stays for the option's type to read.
    """
    values: dict[str, Any] = {}
    origins: dict[str, str] = {}
    table_keys: dict[str, dict[str, None]] = {}
    for layer in layers:
        for key, value in layer.values.items():
            if isinstance(value, Mapping):
                table_keys.setdefault(key, {}).update(dict.fromkeys(value))
        _merge(values, origins, layer, layer.values, "")
    return Stacked(values, origins, {key: tuple(keys) for key, keys in table_keys.items()})


def _merge(into: dict[str, Any], origins: dict[str, str], layer: Layer, values: Mapping[str, Any], prefix: str) -> None:
    for key, value in values.items():
        path = f"{prefix}{key}"
        if isinstance(value, Mapping):
            below = into.get(key)
            if not isinstance(below, dict):
                _forget(origins, path)
                below = into[key] = {}
            if not below:
                origins[path] = layer.origin(path)
            _merge(below, origins, layer, value, f"{path}.")
        else:
            _forget(origins, path)
            into[key] = value
            origins[path] = layer.origin(path)


def _forget(origins: dict[str, str], path: str) -> None:
    for old in [old for old in origins if old == path or old.startswith(f"{path}.")]:
        del origins[old]
