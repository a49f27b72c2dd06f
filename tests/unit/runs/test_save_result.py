"""Result files."""

from __future__ import annotations

import hashlib
import threading
from pathlib import Path
from typing import Any

import hist
import numpy as np
import pytest

from pocket_exec.errors import OutputDirectoryError, ProcessingError
from pocket_exec.runs.directory import OutputDirectory
from pocket_exec.runs.results import existing_results, save_result


@pytest.fixture
def out(tmp_path: Path) -> OutputDirectory:
    return OutputDirectory(tmp_path)


def files(out: OutputDirectory) -> list[str]:
    return sorted(path.name for path in out.path.iterdir())


def load(path: Path) -> Any:
    from coffea import util

    return util.load(str(path))


def test_a_result_is_what_coffea_saves_and_loads(out: OutputDirectory) -> None:
    from coffea import util

    h = hist.Hist.new.Reg(10, 0, 1).StrCat([], growth=True).Weight().fill([0.1, 0.2], ["a", "b"], weight=[2.0, 3.0])
    output = {"h": h, "n": np.arange(3), "set": {1, 2}}
    saved = save_result(out, "DY", output, partial=False)
    loaded = load(saved.path)
    assert loaded["h"] == h
    assert list(loaded["n"]) == [0, 1, 2]
    util.save(output, str(out.path / "reference"))
    assert saved.path.read_bytes() == (out.path / "reference").read_bytes()


def test_a_saved_result_tells_its_name_size_and_digest(out: OutputDirectory) -> None:
    saved = save_result(out, "all", list(range(100_000)), partial=False, datasets=["DY", "TT"])
    data = saved.path.read_bytes()
    assert saved.path == out.path / "output_all.coffea"
    assert (saved.bytes, saved.sha256) == (len(data), hashlib.sha256(data).hexdigest())
    assert (saved.datasets, saved.partial) == (("DY", "TT"), False)


def test_a_whole_result_takes_its_partial_file_away(out: OutputDirectory) -> None:
    save_result(out, "DY", 1, partial=True)
    save_result(out, "TT", 1, partial=True)
    save_result(out, "DY", 2, partial=False)
    assert files(out) == ["output_DY.coffea", "output_TT.partial.coffea"]


def test_a_partial_result_leaves_a_whole_one(out: OutputDirectory) -> None:
    save_result(out, "DY", 2, partial=False)
    save_result(out, "DY", 1, partial=True)
    assert load(out.path / "output_DY.coffea") == 2
    assert load(out.path / "output_DY.partial.coffea") == 1


def test_a_whole_result_that_cannot_be_saved_leaves_the_partial_one(out: OutputDirectory) -> None:
    save_result(out, "DY", 1, partial=True)
    with pytest.raises(ProcessingError):
        save_result(out, "DY", {"lock": threading.Lock()}, partial=False)
    assert files(out) == ["output_DY.partial.coffea"]


class Holds:
    """An accumulator of a user's, with an attribute that cannot be pickled."""

    def __init__(self) -> None:
        self.lock = threading.Lock()


@pytest.mark.parametrize(
    ("output", "part"),
    [
        ({"hists": {"m": threading.Lock(), "n": 1}}, "output['hists']['m']"),
        ({"cut": [1, threading.Lock()]}, "output['cut'][1]"),
        ({("a", 1): Holds()}, "output[('a', 1)].lock"),
        (threading.Lock(), "output"),
    ],
)
def test_what_cannot_be_pickled_is_named_by_its_keys(out: OutputDirectory, output: object, part: str) -> None:
    with pytest.raises(ProcessingError) as told:
        save_result(out, "DY", output, partial=False)
    assert f"{part} of the processor's result cannot be pickled" in str(told.value)
    assert files(out) == []


def test_an_output_that_holds_itself_and_a_lock_is_told(out: OutputDirectory) -> None:
    output: dict[str, object] = {"lock": threading.Lock()}
    output = {"itself": output, **output}
    output["itself"] = output
    with pytest.raises(ProcessingError, match="cannot be pickled"):
        save_result(out, "DY", output, partial=False)


def test_a_missing_directory_is_told(tmp_path: Path) -> None:
    with pytest.raises(OutputDirectoryError, match="cannot write"):
        save_result(OutputDirectory(tmp_path / "gone"), "DY", 1, partial=False)


def test_results_are_found_again_with_the_digest_where_the_size_agrees(out: OutputDirectory) -> None:
    dy = save_result(out, "DY", [1, 2], partial=False)
    save_result(out, "a/b", 1, partial=True)
    (out.path / "plot.pdf").touch()
    (out.path / "output_dir.coffea").mkdir()
    found = existing_results(out.path, {dy.path.name: dy.bytes, "output_a%2Fb.partial.coffea": 1})
    assert {(r.name, r.partial, r.sha256) for r in found} == {("DY", False, dy.sha256), ("a/b", True, "")}


def test_a_directory_that_is_not_there_has_no_results(tmp_path: Path) -> None:
    assert existing_results(tmp_path / "gone", {}) == ()
