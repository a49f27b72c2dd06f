"""Checks the groups of samples that are saved together."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from pocket_exec.analysis.fileset import Fileset
from pocket_exec.errors import Fault, OptionsError, did_you_mean
from pocket_exec.options.kinds import GeneralOptions
from pocket_exec.options.resolve import Resolved

_OPTION = "group-samples"


def sample_groups(
    resolved: Resolved[GeneralOptions], everything: Fileset, chosen: Fileset
) -> Mapping[str, Sequence[str]]:
    """Return ``group-samples`` with the samples that were chosen only; a filter is no reason to write it anew.

    Raises:
        OptionsError: it names samples that no dataset has, or one sample in two groups.
    """
    there, left = ({str(dataset.metadata.get("sample", "")) for dataset in part} for part in (everything, chosen))
    groups = resolved.options.group_samples
    faults = [
        Fault(f"{_OPTION}.{group}", what, resolved.origins.get(f"{_OPTION}.{group}", resolved.origin(_OPTION)))
        for group, what in _wrong(groups, there)
    ]
    if faults:
        raise OptionsError(faults)
    return {group: [sample for sample in samples if sample in left] for group, samples in groups.items()}


def _wrong(groups: Mapping[str, Sequence[str]], there: set[str]) -> Iterator[tuple[str, str]]:
    group_of: dict[str, str] = {}
    for group, sample in ((group, sample) for group, samples in groups.items() for sample in samples):
        if sample not in there:
            yield group, f"no dataset has metadata.sample '{sample}'{did_you_mean(sample, there)}"
        elif group_of.setdefault(sample, group) != group:
            yield group, f"'{sample}' is in the group '{group_of[sample]}' already"
