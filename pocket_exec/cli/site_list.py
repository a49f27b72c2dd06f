"""Prints the executors that there are; no option model is needed to name them, and none is imported."""

from __future__ import annotations

from pocket_exec.cli.columns import print_columns
from pocket_exec.executors.registry import Registry
from pocket_exec.options.defaults import known_sites


def show_sites() -> None:
    """Print all executors; those whose workers this version cannot start yet are marked."""
    sites = known_sites()
    batch = {name: site.batch_system for site in sites.values() for name in (site.executor, *site.aliases)}
    registry = Registry.installed()
    rows = [(entry.name, batch.get(entry.name) or "-", entry.source, entry.target) for entry in registry.entries()]
    there = {row[0] for row in rows}
    rows += [
        (site.executor, site.batch_system or "-", "defaults only", site.description)
        for site in sites.values()
        if site.executor not in there
    ]
    print_columns(("executor", "batch system", "source", "factory or site"), sorted(rows))
