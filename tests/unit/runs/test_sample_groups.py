"""Groups of samples: checked once, against all datasets."""

from __future__ import annotations

import pytest

from pocket_exec.analysis.fileset import DataFile, Dataset, Fileset
from pocket_exec.errors import OptionsError
from pocket_exec.options.defaults import defaults_layers
from pocket_exec.options.kinds import GeneralOptions, IterativeOptions
from pocket_exec.options.resolve import Resolved, resolve
from pocket_exec.options.source import yaml_document
from pocket_exec.runs.groups import sample_groups
from pocket_exec.runs.outputs import Unit, Wanted, units

FILESET: Fileset = tuple(
    Dataset(name, (DataFile(f"/{name}.root", "Events"),), {"sample": sample})
    for name, sample in (("DY_2016", "DY"), ("DY_2017", "DY"), ("TT_2016", "TT"), ("Data", "Data"))
)


def resolved(groups: str) -> Resolved[GeneralOptions]:
    layers = defaults_layers("iterative")
    given = yaml_document(f"group-samples: {groups}", "ro.yaml")
    return resolve("iterative", IterativeOptions, layers, [given], known_executors=["iterative"])


def test_datasets_of_a_group_share_a_file() -> None:
    groups = sample_groups(resolved("{MC: [DY, TT]}"), FILESET, FILESET)
    assert units(FILESET, Wanted.SEPARATE, groups) == [
        Unit("MC", ("DY_2016", "DY_2017", "TT_2016")),
        Unit("Data", ("Data",)),
    ]


def test_a_filter_leaves_a_part_of_a_group() -> None:
    chosen = FILESET[:2]
    groups = sample_groups(resolved("{MC: [DY, TT]}"), FILESET, chosen)
    assert units(chosen, Wanted.SEPARATE, groups) == [Unit("MC", ("DY_2016", "DY_2017"))]


def test_all_that_is_wrong_with_groups_is_told_at_once() -> None:
    with pytest.raises(OptionsError) as caught:
        sample_groups(resolved("{MC: [DY, TTT], Other: [DY]}"), FILESET, FILESET)
    assert [str(fault) for fault in caught.value.faults] == [
        "group-samples.MC (ro.yaml, line 1): no dataset has metadata.sample 'TTT'; did you mean 'TT'?",
        "group-samples.Other (ro.yaml, line 1): 'DY' is in the group 'MC' already",
    ]
