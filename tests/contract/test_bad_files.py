"""A file that cannot be read costs its own events and no others, and is named for what it is."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np
import pytest
import uproot
from coffea.util import load

import pocket_exec
from pocket_exec.engine.outcome import FaultKind
from pocket_exec.errors import PartialResult, ProcessingError


def count(events: Any) -> dict[str, Any]:
    return {"events": len(events), "pt": float(ak.sum(events.Muon.pt))}


def no_such_branch(events: Any) -> dict[str, Any]:
    return {"events": len(events), "x": float(ak.sum(events.Muon.nonsense))}


@pytest.fixture
def good(zmumu_files: dict[str, list[Path]]) -> list[str]:
    """Whole files."""
    return [str(path) for path in next(iter(zmumu_files.values()))]


def missing(directory: Path, good: str) -> Path:
    return directory / "missing.root"


def first_basket(path: Path) -> int:
    with uproot.open(path) as file:
        return int(file["Events"]["Muon_pt"].member("fBasketSeek")[0])


def truncated(directory: Path, good: str) -> Path:
    path = directory / "truncated.root"
    path.write_bytes(Path(good).read_bytes()[: first_basket(Path(good)) + 100])
    return path


def damaged(directory: Path, good: str) -> Path:
    """The header and the tree are whole, a basket is not."""
    path = directory / "damaged.root"
    start = first_basket(Path(good))
    content = bytearray(Path(good).read_bytes())
    content[start + 80 : start + 400] = b"\0" * 320
    path.write_bytes(content)
    return path


def not_root(directory: Path, good: str) -> Path:
    path = directory / "text.root"
    path.write_text("this is no ROOT file\n" * 100)
    return path


def empty(directory: Path, good: str) -> Path:
    path = directory / "empty.root"
    path.touch()
    return path


def no_tree(directory: Path, good: str) -> Path:
    path = directory / "no_tree.root"
    with uproot.recreate(path) as file:
        file["Other"] = {"x": np.arange(3)}
    return path


BAD = [missing, truncated, damaged, not_root, empty, no_tree]


@pytest.mark.parametrize("make", BAD)
@pytest.mark.parametrize("executor", ["iterative", "futures"])
def test_a_bad_file_is_named_and_the_others_are_in_the_result(
    make: Any, executor: str, good: list[str], tmp_path: Path
) -> None:
    bad = make(tmp_path, good[0])
    whole = pocket_exec.run({"DY": good}, count).output
    with pytest.raises(PartialResult) as caught:
        pocket_exec.run(
            {"DY": [*good[:1], str(bad), *good[1:]], "other": good[:1]},
            count,
            executor=executor,
            outputdir=tmp_path / "out",
            retries=1,
            scaleout=2,
        )
    failures = caught.value.failures
    assert {failure.file for failure in failures} == {str(bad)}
    assert {failure.kind for failure in failures} <= {FaultKind.BAD_FILE, FaultKind.STORAGE}
    names = sorted(path.name for path in (tmp_path / "out").glob("*.coffea"))
    assert names == ["output_DY.partial.coffea", "output_all.partial.coffea", "output_other.coffea"]
    assert load(tmp_path / "out" / "output_DY.partial.coffea")["events"] == whole["events"]
    record = json.loads((tmp_path / "out" / "run.json").read_text())
    assert record["status"] == {"code": 6, "word": "partial"}
    assert [row["file"] for row in record["failures"]] == [failure.file for failure in failures]


@pytest.mark.parametrize("make", BAD)
def test_skip_bad_files_gives_a_whole_result_that_lists_what_is_missing(
    make: Any, good: list[str], tmp_path: Path
) -> None:
    bad = make(tmp_path, good[0])
    result = pocket_exec.run(
        {"DY": [str(bad), *good]}, count, outputdir=tmp_path / "out", retries=0, skip_bad_files=True
    )
    assert result.whole
    assert {failure.file for failure in result.failures} == {str(bad)}
    record = json.loads((tmp_path / "out" / "run.json").read_text())
    assert record["status"]["code"] == 0
    assert {row["file"] for row in record["skipped"]} == {str(bad)}
    assert sorted(path.name for path in (tmp_path / "out").glob("*.coffea")) == [
        "output_DY.coffea",
        "output_all.coffea",
    ]


def test_a_branch_that_is_not_there_is_the_processors_error(good: list[str], tmp_path: Path) -> None:
    with pytest.raises(ProcessingError, match="nonsense") as caught:
        pocket_exec.run({"DY": good}, no_such_branch, outputdir=tmp_path / "out")
    assert "no_such_branch" in "".join(caught.value.__notes__)
    assert json.loads((tmp_path / "out" / "run.json").read_text())["status"]["code"] == 5


def test_a_replica_is_read_where_the_file_is_missing(good: list[str], tmp_path: Path) -> None:
    fileset = {"DY": {"files": [[str(tmp_path / "missing.root"), good[0]]]}}
    result = pocket_exec.run(fileset, count, retries=1)
    assert result.output == pocket_exec.run({"DY": good[:1]}, count).output


def test_an_rntuple_works_or_is_named(tmp_path: Path) -> None:
    path = tmp_path / "rntuple.root"
    with uproot.recreate(path) as file:
        file.mkrntuple("Events", {"x": np.arange(10.0)})

    def total(events: Any) -> dict[str, float]:
        return {"x": float(ak.sum(events.x))}

    from coffea.nanoevents import BaseSchema

    assert pocket_exec.run({"DY": [str(path)]}, total, schema=BaseSchema).output == {"x": 45.0}


def test_a_file_that_changed_is_read_afresh(good: list[str], tmp_path: Path) -> None:
    path = tmp_path / "changing.root"
    for n in (10, 25):
        with uproot.recreate(path) as file:
            file.mktree("Events", {"x": "float64"})
            file["Events"].extend({"x": np.arange(float(n))})
        from coffea.nanoevents import BaseSchema

        result = pocket_exec.run({"DY": [str(path)]}, lambda events: {"n": len(events)}, schema=BaseSchema)
        assert result.output == {"n": n}
