"""The batch system of an executor's jobs: its own, the one that is there, or that of another package's site."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pocket_exec.executors.registry import Registry, parse
from pocket_exec.options.batch import BatchOptions, HTCondorOptions, SlurmOptions
from pocket_exec.options.defaults import defaults_layers
from pocket_exec.options.layers import Layer
from pocket_exec.request import Choice, Request, choose, resolved_options


class OfMySite(HTCondorOptions):
    """Options of a site with one of its own."""

    pool: str
    """Name of the pool."""


def of_my_site(model: type[BatchOptions], **values: Any) -> Any:
    """Resolve the options of a site that another package brings."""
    layers = [*defaults_layers("dask@mine"), Layer("my_package/mine.yaml", values)]
    return resolved_options(Request(), Choice(parse("dask@mine"), model, layers, ["dask@mine"]), {"scaleout": 3}, "cfg")


def test_another_packages_site_stands_on_its_batch_systems_defaults() -> None:
    resolved = of_my_site(OfMySite, **{"batch-system": "htcondor", "queue": "long", "pool": "north"})
    assert isinstance(resolved.options, OfMySite)
    assert resolved.options.queue == "long"
    assert resolved.options.pool == "north"
    assert resolved.options.scaleout == 3
    assert resolved.options.htcondor_settings["job_max_vacate_time"] == "5"


def test_a_site_of_any_batch_system_gets_the_model_of_its_own() -> None:
    resolved = of_my_site(BatchOptions, **{"batch-system": "slurm", "queue": "long"})
    assert isinstance(resolved.options, SlurmOptions)
    assert resolved.options.queue == "long"


def test_the_batch_system_can_be_another_than_the_executors(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "sbatch").touch(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    choice = choose(Request(executor="dask@htcondor"), Registry.installed())
    for wanted, origin in {"slurm": "run_options in cfg", "auto": "auto: sbatch is here"}.items():
        resolved = resolved_options(Request(), choice, {"batch-system": wanted}, "cfg")
        assert isinstance(resolved.options, SlurmOptions)
        assert resolved.options.batch_system == "slurm"
        assert resolved.origin("batch-system") == origin
