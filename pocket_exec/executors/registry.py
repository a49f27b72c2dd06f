"""Finds executors by their string: this project's and those of other packages, from one entry-point group."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from typing import TYPE_CHECKING

from pocket_exec.errors import ExecutorError, asked
from pocket_exec.options.defaults import built_in_executors, known_sites, nearest_executors, same_executor, system_of

if TYPE_CHECKING:
    from pocket_exec.executors.factory import ExecutorFactory

GROUP = "pocket_exec.executors"
_OF_ONES_OWN = "A farm without a name there is dask@htcondor or dask@slurm, with your values in a YAML file."


@dataclass(frozen=True)
class ExecutorName:
    """An executor string, ``<kind>[@<place>]``, in its parts."""

    text: str
    kind: str
    place: str
    """A site, a batch system, a scheduler's URL, or empty."""

    @property
    def entry(self) -> str:
        """The name under which a factory is registered: a URL by its protocol."""
        scheme, colon, _ = self.place.partition("://")
        return f"{self.kind}@{scheme}" if colon else self.text

    @property
    def url(self) -> str | None:
        """The scheduler's address, where the place is one."""
        return self.place if "://" in self.place else None


def parse(text: str) -> ExecutorName:
    """Split an executor string.

    >>> parse("dask@tls://host:8786").entry
    'dask@tls'
    """
    kind, _, place = text.strip().partition("@")
    return ExecutorName(text.strip(), kind, place)


@dataclass(frozen=True)
class Entry:
    """A registered executor that has not been imported yet."""

    name: str
    target: str
    point: EntryPoint

    @property
    def source(self) -> str:
        """The distribution that brings it, with its version."""
        return _source(self.point)

    @property
    def ours(self) -> bool:
        """Whether it is one of this project's own."""
        return self.target.startswith("pocket_exec.")


class Registry:
    """All registered executors, by name."""

    def __init__(self, entries: Iterable[Entry]) -> None:
        self._entries: dict[str, list[Entry]] = {}
        for entry in sorted(entries, key=lambda entry: (entry.name, entry.target)):
            same = self._entries.setdefault(entry.name, [])
            if all(entry.target != other.target for other in same):
                same.append(entry)

    @classmethod
    def installed(cls) -> Registry:
        """Read the entry points of all installed packages; none is imported."""
        return cls(Entry(point.name, point.value, point) for point in entry_points(group=GROUP))

    def names(self) -> list[str]:
        """Return all names, sorted."""
        return list(self._entries)

    def entries(self) -> list[Entry]:
        """Return all entries, sorted by name; a name that two packages claim stands there twice."""
        return [entry for same in self._entries.values() for entry in same]

    def entry(self, name: ExecutorName) -> Entry:
        """Return the entry of an executor.

        Raises:
            ExecutorError: there is none of this name, or there are two.
        """
        same = self._entries.get(name.entry)
        if same is None:
            raise ExecutorError(self._unknown(name))
        if len(same) > 1:
            both = " and ".join(f"{entry.source} ({entry.target})" for entry in same)
            raise ExecutorError(f"Two packages bring an executor '{name.entry}': {both}. Uninstall one of them.")
        return same[0]

    def factory(self, name: ExecutorName) -> type[ExecutorFactory]:
        """Import the factory class of an executor, and of no other.

        Raises:
            ExecutorError: there is none of this name, there are two, or it does not import.
        """
        return _load(self.entry(name))

    def _unknown(self, name: ExecutorName) -> str:
        if same_executor(name.text) in built_in_executors():
            return self._without_factory(name.text)
        near = nearest_executors(name.text, {*self._entries, *known_sites()})
        told = f"No executor named '{name.text}'.{asked(near).replace('; did', ' Did')}"
        if near and near[0] not in self._entries:
            return f"{told} {self._without_factory(near[0])}"
        own = "" if near or name.kind != "dask" else f" {_OF_ONES_OWN}"
        return f"{told} `pocket-exec sites` lists them all.{own}"

    def _without_factory(self, executor: str) -> str:
        """Say what can be done at a place that has its defaults here, and nothing that starts workers there."""
        system = f"dask@{system_of(executor)}"
        way = "`dask@tls://host:port` uses a scheduler that is already there; "
        if system in self._entries:
            way = f"`{system}` starts workers with the values that `pocket-exec options {executor}` prints; "
        return (
            f"'{executor}' has its defaults in this version, but no factory of its own. {way}"
            "--executor-custom-setup takes a factory of your own."
        )


def _source(point: EntryPoint) -> str:
    try:
        name, version = (point.dist.name, point.dist.version) if point.dist else (None, None)
    except (OSError, KeyError):  # what an installation that was broken off leaves
        name = version = None
    return f"{name} {version}" if name else "a package without metadata"


def _load(entry: Entry) -> type[ExecutorFactory]:
    from pocket_exec.executors.factory import ExecutorFactory

    try:
        loaded = entry.point.load()
    except Exception as error:  # another package's module may raise anything
        raise ExecutorError(
            f"executor '{entry.name}' of {entry.source} ({entry.target}) cannot be imported: "
            f"{type(error).__name__}: {error}"
        ) from error
    if not isinstance(loaded, type) or not issubclass(loaded, ExecutorFactory):
        raise ExecutorError(
            f"executor '{entry.name}' of {entry.source}: {entry.target} is {loaded!r}, "
            "not a class derived from pocket_exec.executors.ExecutorFactory"
        )
    return loaded
