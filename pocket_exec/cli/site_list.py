"""Prints the executors that there are; no option model is needed to name them, and none is imported."""

from __future__ import annotations

import shutil

from pocket_exec.cli.columns import print_columns
from pocket_exec.executors.registry import Entry, Registry
from pocket_exec.options.defaults import known_sites, same_executor, site_of, system_of

SUBMIT_COMMANDS = {"htcondor": "condor_submit", "slurm": "sbatch"}
"""As the batch systems name them, whose modules import the models of options."""
_PLACES = {
    "iterative": "this process, one chunk after the other",
    "futures": "processes of this machine",
    "dask@local": "a Dask cluster of this machine",
    "dask@htcondor": "jobs of the HTCondor pool of this machine",
    "dask@slurm": "jobs of the Slurm cluster of this machine",
    "dask@tcp": "a Dask scheduler that is there already, as dask@tcp://host:port",
    "dask@tls": "a Dask scheduler that is there already, as dask@tls://host:port",
}


def show_sites() -> None:
    """Print all executors: whether ``-e`` takes them here, what starts their workers, and where these are."""
    registry = Registry.installed()
    rows = [(entry.name, _usable(entry.name), _system(entry.name), _where(entry)) for entry in registry.entries()]
    there = set(registry.names())
    rows += [
        (site.executor, "no", _system(site.executor), site.description)
        for site in known_sites().values()
        if site.executor not in there
    ]
    print_columns(("executor", "usable", "workers by", "where"), sorted(rows))


def _usable(executor: str) -> str:
    command = SUBMIT_COMMANDS.get(system_of(executor) or "")
    return "yes" if command is None or shutil.which(command) else "elsewhere"


def _system(executor: str) -> str:
    return system_of(executor) or "-"


def _where(entry: Entry) -> str:
    if not entry.ours:
        return f"{entry.source} ({entry.target})"
    site = site_of(entry.name)
    return site.description if site else _PLACES.get(same_executor(entry.name), entry.target)
