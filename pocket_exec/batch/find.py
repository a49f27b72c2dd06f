"""Finds batch systems by name: this project's and those of other packages, from one entry-point group."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
from importlib.metadata import EntryPoint, entry_points
from typing import TYPE_CHECKING, Any

from pocket_exec.batch.commands import Commands
from pocket_exec.batch.system import BatchSystem
from pocket_exec.command import Run, run
from pocket_exec.errors import ExecutorError, did_you_mean

if TYPE_CHECKING:
    from pocket_exec.options.base import Options
    from pocket_exec.options.batch import BatchOptions
    from pocket_exec.options.resolve import Choice

log = logging.getLogger(__name__)

GROUP = "pocket_exec.batch_systems"
AUTO = "auto"


def batch_system(options: BatchOptions, run: Run = run, points: Iterable[EntryPoint] | None = None) -> BatchSystem:
    """Return the batch system that ``batch-system`` names, as the options describe it.

    Args:
        options: of the run, resolved.
        run: starts its commands.
        points: the entry points to look in; None for those of all installed packages.

    Raises:
        ExecutorError: there is none of this name, there are two, or it does not import.
        OptionsError: with all faults of its own options.
    """
    return _load(_entry(options.batch_system, _by_name(points))).from_options(options, run)


def installed_here(env: Mapping[str, str], points: Iterable[EntryPoint] | None = None) -> tuple[str, str]:
    """Return the batch system whose commands are on PATH, and the command that says so.

    Args:
        env: changes to this process's environment, as ``submit-env`` has them.
        points: as for ``batch_system``.

    Raises:
        ExecutorError: there is none, or more than one.
    """
    commands = Commands(env=env)
    found: dict[str, str] = {}
    looked_for = []
    for name, same in _by_name(points).items():
        try:
            command = _load(_only(name, same)).submit_command
        except ExecutorError as error:
            log.warning("%s", error)
            continue
        looked_for += [command] if command else []
        if command and not commands.missing([command]):
            found[name] = command
    if len(found) == 1:
        return next(iter(found.items()))
    if not found:
        raise ExecutorError(
            f"batch-system auto: none of {', '.join(looked_for)} is in PATH; is this a submit host? "
            "With `dask@local` the workers run on this machine."
        )
    both = " and ".join(f"{name} ({command})" for name, command in found.items())
    raise ExecutorError(f"batch-system auto: {both} are here; say which one with --batch-system.")


def auto_choice(
    executor: str, points: Iterable[EntryPoint] | None = None
) -> Callable[[Mapping[str, Any]], Choice[Options] | None]:
    """Return what decides ``batch-system`` for ``options.resolve``: ``auto``, or another than the executor's own."""
    from pocket_exec.options.defaults import defaults_layers, model_for, system_of
    from pocket_exec.options.resolve import Choice

    def choose(values: Mapping[str, Any]) -> Choice[Options] | None:
        wanted = values.get("batch-system")
        if not isinstance(wanted, str) or wanted == system_of(executor):
            return None
        if wanted != AUTO:
            return Choice({}, "", model_for(executor, wanted), defaults_layers(executor, wanted))
        env = values.get("submit-env")
        changes = {str(key): str(value) for key, value in (env or {}).items() if value is not None}
        name, command = installed_here(changes, points)
        return Choice(
            {"batch-system": name},
            f"auto: {command} is here",
            model_for(executor, name),
            defaults_layers(executor, name),
        )

    return choose


def _by_name(points: Iterable[EntryPoint] | None) -> dict[str, list[EntryPoint]]:
    """Return the entry points of each name, sorted; one target that two installations bring counts once."""
    given = entry_points(group=GROUP) if points is None else points
    names: dict[str, list[EntryPoint]] = {}
    for point in sorted(given, key=lambda point: (point.name, point.value)):
        same = names.setdefault(point.name, [])
        if all(point.value != other.value for other in same):
            same.append(point)
    return names


def _entry(name: str, by_name: Mapping[str, list[EntryPoint]]) -> EntryPoint:
    if name not in by_name:
        near = did_you_mean(name, by_name).replace("; did", " Did")
        raise ExecutorError(f"No batch system named '{name}'.{near} There are {', '.join(by_name)}.")
    return _only(name, by_name[name])


def _only(name: str, same: list[EntryPoint]) -> EntryPoint:
    if len(same) > 1:
        both = " and ".join(f"{_source(point)} ({point.value})" for point in same)
        raise ExecutorError(f"Two packages bring a batch system '{name}': {both}. Uninstall one of them.")
    return same[0]


def _load(point: EntryPoint) -> type[BatchSystem]:
    where = f"batch system '{point.name}' of {_source(point)}"
    try:
        loaded = point.load()
    except Exception as error:  # another package's module may raise anything
        raise ExecutorError(f"{where} ({point.value}) cannot be imported: {type(error).__name__}: {error}") from error
    if not isinstance(loaded, type) or not issubclass(loaded, BatchSystem):
        raise ExecutorError(
            f"{where}: {point.value} is {loaded!r}, not a class derived from pocket_exec.batch.system.BatchSystem"
        )
    return loaded


def _source(point: EntryPoint) -> str:
    try:
        name, version = (point.dist.name, point.dist.version) if point.dist else (None, None)
    except (OSError, KeyError):  # what an installation that was broken off leaves
        name = version = None
    return f"{name} {version}" if name else "a package without metadata"
