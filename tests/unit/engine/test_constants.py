"""Constants that were changed after the import: which they are, and what a worker does with them."""

from __future__ import annotations

import importlib
import pickle
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pocket_exec.engine.batch import RunBatch
from pocket_exec.engine.constants import Constants, changed_constants

SOURCE = """\
import os

PT = 10
ETA: float = 2.4
CUTS = {"pt": 10, "tight": (1, 2)}
NAMES = ["a"]
SCALE = 1
SCALE = 2
UNSET: int
HOME = os.environ.get("HOME")
SQUARE = PT * PT
"""


@pytest.fixture
def cuts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A user's module, just imported."""
    (tmp_path / "my_cuts_of_this_test.py").write_text(SOURCE)
    monkeypatch.syspath_prepend(tmp_path)
    yield importlib.import_module("my_cuts_of_this_test")
    Constants().hold()
    replace(Constants(), process=(0, 0)).hold()
    sys.modules.pop("my_cuts_of_this_test", None)


def mine(constants: Constants) -> dict[str, object]:
    return {name: value for (module, name), value in constants.values.items() if module == "my_cuts_of_this_test"}


def test_what_stands_in_the_file_is_not_changed(cuts: Any) -> None:
    assert mine(changed_constants()) == {}


def test_changed_are_plain_values_that_the_file_sets_otherwise(cuts: Any) -> None:
    cuts.PT = 10.0
    cuts.ETA = 2.1
    cuts.CUTS["pt"] = 20
    cuts.SCALE = 1
    cuts.NAMES = object()
    # What the file computes may differ from machine to machine.
    cuts.HOME = "/elsewhere"
    cuts.SQUARE = 0
    cuts.NEW = 1
    found = mine(changed_constants())
    assert found == {"PT": 10.0, "ETA": 2.1, "CUTS": {"pt": 20, "tight": (1, 2)}, "SCALE": 1}
    assert type(found["PT"]) is float


def test_a_worker_holds_what_came_last_and_nothing_of_what_came_before(cuts: Any) -> None:
    elsewhere = (0, 0)
    name = cuts.__name__
    replace(Constants({(name, "PT"): 20, (name, "SCALE"): 5}), process=elsewhere).hold()
    assert (cuts.PT, cuts.SCALE) == (20, 5)
    replace(Constants({(name, "SCALE"): 6, ("no_such_module", "X"): 1}), process=elsewhere).hold()
    assert (cuts.PT, cuts.SCALE) == (10, 6)
    replace(Constants(), process=elsewhere).hold()
    assert (cuts.PT, cuts.SCALE) == (10, 2)


def test_in_the_process_that_they_are_from_nothing_is_set(cuts: Any) -> None:
    cuts.PT = 20
    constants = changed_constants()
    cuts.PT = 30
    constants.hold()
    assert cuts.PT == 30


def test_a_function_takes_them_along(cuts: Any) -> None:
    cuts.PT = 20
    travelled = pickle.loads(pickle.dumps(RunBatch(len)))
    assert mine(travelled._constants) == {"PT": 20}


def test_a_module_that_was_unloaded_meanwhile_is_no_trouble(cuts: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    replace(Constants({(cuts.__name__, "PT"): 20}), process=(0, 0)).hold()
    monkeypatch.delitem(sys.modules, cuts.__name__)
    replace(Constants(), process=(0, 0)).hold()
