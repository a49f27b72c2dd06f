"""The defaults that this project brings: which sites it knows, and the layers and the model of an executor string."""

from __future__ import annotations

import functools
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from pocket_exec.errors import nearest

if TYPE_CHECKING:
    from importlib.resources.abc import Traversable

    from pocket_exec.options.layers import Layer
    from pocket_exec.options.model import GeneralOptions

PACKAGE = "executor_defaults"
KINDS = ("iterative", "futures", "dask")
BATCH_SYSTEMS = ("htcondor", "slurm", "lsf", "pbs", "sge")
_WITHOUT_JOBS = ("scheduler", "gateway")
"""What a site's header names as its batch system where a run submits no jobs there."""


@dataclass(frozen=True)
class SiteInfo:
    """What the header of a site's file says."""

    name: str
    """The place in the executor string: ``lxplus``."""
    executor: str
    """The executor string: ``dask@lxplus``."""
    aliases: tuple[str, ...]
    """Further executor strings for it."""
    batch_system: str
    """A batch system; ``scheduler`` or ``gateway`` where one is already there."""
    description: str
    path: Path


@functools.cache
def known_sites() -> Mapping[str, SiteInfo]:
    """Return the sites with a file of defaults, by executor string, sorted; only their headers are read."""
    found = [_site(entry) for entry in _folder("sites").iterdir() if entry.name.endswith(".yaml")]
    return MappingProxyType({site.executor: site for site in sorted(found, key=lambda site: site.executor.lower())})


def site_of(executor: str) -> SiteInfo | None:
    """Return the site of an executor string or of one of its aliases."""
    sites = known_sites()
    if executor in sites:
        return sites[executor]
    return next((site for site in sites.values() if executor in site.aliases), None)


def same_executor(executor: str) -> str:
    """Return the one string of an executor that has several: ``dask@local`` for ``dask``, a site for its alias."""
    site = site_of(executor)
    return site.executor if site else "dask@local" if executor == "dask" else executor


def system_of(executor: str) -> str | None:
    """Return what starts the workers of an executor string: a batch system, ``scheduler``, ``gateway`` or None."""
    kind, _, place = executor.partition("@")
    if kind != "dask":
        return None
    if place in BATCH_SYSTEMS:
        return place
    if place.startswith(("tcp://", "tls://")) or place in ("tcp", "tls"):
        return "scheduler"
    site = site_of(executor)
    return site.batch_system if site else None


def defaults_layers(executor: str, batch_system: str | None = None) -> list[Layer]:
    """Return the layers of defaults below the user's own: general < kind < batch system < site.

    Args:
        executor: the executor string; what it names and this project does not know adds no layer.
        batch_system: the batch system where it is not the executor's own, as ``batch-system: auto`` finds it.
    """
    from pocket_exec.options.layers import Layer

    kind, _, place = executor.partition("@")
    system = batch_system or system_of(executor)
    names = ["general"]
    if kind in KINDS:
        names.append(f"kinds/{kind}")
    if system is not None and system not in _WITHOUT_JOBS:
        names.append("batch")
    if system in (*BATCH_SYSTEMS, *_WITHOUT_JOBS):
        names.append(f"batch/{system}")
    layers = [_layer(name) for name in names]
    if site := site_of(executor):
        layers.append(_layer(f"sites/{site.name}"))
    if system is not None and system not in (*BATCH_SYSTEMS, *_WITHOUT_JOBS):
        layers.append(Layer(f"batch system {system}", {"batch-system": system}))
    if "://" in place:
        layers.append(Layer("executor", {"sched-url": place}, {"sched-url": f"executor {executor}"}))
    return layers


def defaults_of_model(model: type[GeneralOptions], executor: str) -> list[Layer]:
    """Return the defaults of an executor string and, above them, those that a model of the user's has options of.

    A factory for Dask has a default for each of its options even where it is asked for as ``futures``: it is its own to
    say that it is none for that.
    """
    layers = defaults_layers(executor)
    bases = (*(f"dask@{system}" for system in BATCH_SYSTEMS), *reversed(KINDS))
    base = next((base for base in bases if issubclass(model, model_for(base))), executor)
    return [*layers, *(layer for layer in defaults_layers(base) if layer not in layers)]


def model_for(executor: str, batch_system: str | None = None) -> type[GeneralOptions]:
    """Return the options model of an executor string; the kind's own for a place that is not known here."""
    from pocket_exec.options import model

    of_systems: dict[str, type[GeneralOptions]] = {
        "htcondor": model.HTCondorOptions,
        "slurm": model.SlurmOptions,
        "lsf": model.LSFOptions,
        "pbs": model.PBSOptions,
        "sge": model.SGEOptions,
        "scheduler": model.SchedulerOptions,
        "gateway": model.GatewayOptions,
    }
    of_kinds: dict[str, type[GeneralOptions]] = {
        "iterative": model.IterativeOptions,
        "futures": model.FuturesOptions,
        "dask": model.DaskOptions,
    }
    system = batch_system or system_of(executor)
    if system is not None:
        return of_systems.get(system, model.BatchOptions)
    return of_kinds.get(executor.partition("@")[0], model.GeneralOptions)


def built_in_executors() -> tuple[str, ...]:
    """Return an executor string for each kind, batch system, site and form of scheduler that has a model here."""
    systems = (f"dask@{system}" for system in BATCH_SYSTEMS)
    return (*KINDS, "dask@local", *systems, "dask@tcp", "dask@tls", *known_sites())


def nearest_executors(executor: str, known: Collection[str]) -> list[str]:
    """Return those of ``known`` that look like an executor string, the likest first: of one kind, by their places.

    >>> [nearest_executors(word, ["dask@lxplus", "dask@lpc", "dask@slurm"]) for word in ("dask@lxpus", "dask@myfarm")]
    [['dask@lxplus'], []]
    """
    kind, at, place = executor.partition("@")
    places = {name.partition("@")[2]: name for name in known if at and name.startswith(f"{kind}@")}
    return [places[near] for near in nearest(place, places)] if places else nearest(executor, known)


def _folder(name: str) -> Traversable:
    return files(PACKAGE) / name


@functools.cache
def _layer(name: str) -> Layer:
    from pocket_exec.options.layers import Layer
    from pocket_exec.options.source import yaml_document

    file = f"{name}.yaml"
    document = yaml_document((files(PACKAGE) / file).read_text(encoding="utf-8"), f"{PACKAGE}/{file}")
    values = {key: value for key, value in document.values.items() if key != "site"}
    return Layer(document.name, values, document.origins)


def _site(entry: Traversable) -> SiteInfo:
    header: dict[str, Any] = _header(entry.read_text(encoding="utf-8"))
    executor = header["executor"]
    return SiteInfo(
        name=entry.name.removesuffix(".yaml"),
        executor=executor,
        aliases=tuple(header.get("aliases") or ()),
        batch_system=header["batch-system"],
        description=header["description"],
        path=Path(str(entry)),
    )


def _header(text: str) -> dict[str, Any]:
    """Parse the ``site:`` table at the top of a site's file; the rest, which is longer, is not looked at."""
    from pocket_exec.options.yaml_text import parse_yaml

    _, _, rest = text.partition("site:\n")
    lines = rest.splitlines()
    end = next((number for number, line in enumerate(lines) if line and not line.startswith(" ")), len(lines))
    return parse_yaml("\n".join(lines[:end]), "site").values
