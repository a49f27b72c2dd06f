"""Chooses the part of a fileset that was asked for: by dataset, sample, year and number of files."""

from __future__ import annotations

from dataclasses import dataclass, replace

from pocket_exec.analysis.fileset import Fileset
from pocket_exec.errors import CfgError, Fault, did_you_mean

_SHOWN = 8


@dataclass(frozen=True)
class Selection:
    """Which part of the fileset to run."""

    datasets: tuple[str, ...] = ()
    samples: tuple[str, ...] = ()
    years: tuple[str, ...] = ()
    limit_files: int | None = None


def select(fileset: Fileset, selection: Selection) -> Fileset:
    """Return the datasets whose name, ``metadata.sample`` and ``metadata.year`` were asked for.

    Raises:
        CfgError: a name that no dataset has, with the nearest one; or nothing is left.
    """
    faults: list[Fault] = []
    chosen = fileset
    for flag, wanted, has in (
        ("--filter-datasets", selection.datasets, lambda d: d.name),
        ("--filter-samples", selection.samples, lambda d: str(d.metadata.get("sample", ""))),
        ("--filter-years", selection.years, lambda d: str(d.metadata.get("year", ""))),
    ):
        there = {has(dataset) for dataset in fileset} - {""}
        unknown = [word for word in wanted if word not in there]
        faults += [
            Fault(flag, f"no dataset has '{word}'{did_you_mean(word, there) or _some(there)}") for word in unknown
        ]
        if wanted:
            chosen = tuple(dataset for dataset in chosen if has(dataset) in wanted)
    if not faults and not chosen:
        faults.append(Fault("fileset", "the filters leave no dataset"))
    if faults:
        raise CfgError("\n".join(["Nothing to run:", *(f"  {fault}" for fault in faults)]))
    if selection.limit_files is None:
        return chosen
    return tuple(replace(dataset, files=dataset.files[: selection.limit_files]) for dataset in chosen)


def _some(there: set[str]) -> str:
    """Return what there is, of much only some."""
    more = f" and {len(there) - _SHOWN} more" if len(there) > _SHOWN else ""
    return f"; there are {', '.join(sorted(there)[:_SHOWN])}{more}" if there else ""
