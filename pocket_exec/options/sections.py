"""Finds the sections of a document that fit the running executor."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from pocket_exec.errors import Fault, asked
from pocket_exec.options.defaults import KINDS, built_in_executors, nearest_executors, same_executor
from pocket_exec.options.layers import Document, Layer

GENERAL = "general"
_OF_ONES_OWN = (
    "; a section is named as an executor of `pocket-exec sites` is: for a farm without a name there, dask@htcondor or "
    "dask@slurm"
)


def flat_layers(
    document: Document, executor: str, known_executors: Collection[str]
) -> tuple[Sequence[Layer], Sequence[Fault]]:
    """Return the layers that a document makes for ``executor``, and the faults of its sections.

    A section beats the document's top-level keys: top level < ``general`` < the kind < the executor string. Sections
    of other known executors are left out.
    """
    known = {GENERAL, *built_in_executors(), *known_executors}
    ranks = _ranks(executor)
    top: dict[str, object] = {}
    sections: dict[str, Layer] = {}
    faults: list[Fault] = []
    for key, value in document.values.items():
        if key not in known and "@" not in key:
            top[key] = value
        elif not isinstance(value, Mapping | None):
            what = f"is a section; its options stand below it, as '{key}:' and then '  queue: long'"
            faults.append(Fault(key, what, document.origin(key)))
        elif (place := _fitting(key, ranks)) is not None:
            sections[place] = _section(document, key, value or {})
        elif key not in known and same_executor(key) not in known and not _is_scheduler(key):
            what = f"no such executor{asked(nearest_executors(key, known)) or _OF_ONES_OWN}"
            faults.append(Fault(key, what, document.origin(key)))
    flat = Layer(document.name, top, document.origins)
    return [flat, *(sections[place] for place in ranks if place in sections)], faults


def _ranks(executor: str) -> list[str]:
    """Return the names of the sections that fit, the weakest first."""
    kind, _, place = executor.partition("@")
    scheme, is_url, _ = place.partition("://")
    names = [GENERAL, kind, *([f"{kind}@{scheme}"] if is_url else []), same_executor(executor)]
    return list(dict.fromkeys(names))


def _fitting(key: str, ranks: Collection[str]) -> str | None:
    # `dask` is the section of the kind here, though as an executor it is `dask@local`.
    name = key if key in KINDS else same_executor(key)
    return name if name in ranks else None


def _is_scheduler(key: str) -> bool:
    return key.startswith(("dask@tcp://", "dask@tls://"))


def _section(document: Document, key: str, values: Mapping[str, object]) -> Layer:
    start = f"{key}."
    inner = {path.removeprefix(start): place for path, place in document.origins.items() if path.startswith(start)}
    return Layer(document.origin(key), values, inner)
