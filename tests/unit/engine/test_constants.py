"""Constants that were changed after the import: which they are, and what a worker does with them."""

from __future__ import annotations

import importlib
import pickle
import sys
import threading
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import cloudpickle
import numpy as np
import pytest

from pocket_exec.engine import constants
from pocket_exec.engine.batch import RunBatch
from pocket_exec.engine.constants import Constants, are_state, changed_constants

SOURCE = """\
import math
import os

import numpy as np

PT = 10
ETA: float = 2.4
CUTS = {"pt": 10, "tight": (1, 2)}
NAMES = ["a"]
SCALE = 1
SCALE = 2
UNSET: int
HOME = os.environ.get("HOME")
POINT = os.environ.get("NOT_SET", "medium")
SQUARE = PT * PT
LOW, HIGH = 70, 110
BINS = np.linspace(0, 100, 51)
TURN = 2 * math.pi
READY = False
CACHE = {}
SEEN = []
SWITCHED = 1
if os.environ.get("NOT_SET"):
    SWITCHED = 2
TWICE = SWITCHED * 2


DEFAULT = {"eta": 2.4}
CHOSEN = DEFAULT
WEIGHTS = {"a": 1.0}
NUMBER = 5
ODD = os.environ.get("NOT_SET")
MANY = np.array([1.0, 2.0])


def MANY(number):
    return number


OF_MANY = MANY(3)


class Configured:
    pt = 10

    def __init__(self, pt=10):
        self.pt = pt

    def fill(self, WEIGHTS):
        NUMBER = 1
        NUMBER += 1
        WEIGHTS.update(a=2)


def weighted():
    WEIGHTS = dict()
    WEIGHTS["a"] = NUMBER
    return WEIGHTS


class Muon:
    pt = 20


class Counter:
    calls = 0

    @classmethod
    def count(cls):
        cls.calls += 1


def get(key):
    global READY
    READY = True
    SEEN.append(key)
    CACHE[key] = key
"""


# A second module, which takes constants of the first over.
TAKES = """\
from my_cuts_of_this_test import CUTS, PT as LOWEST
"""


@pytest.fixture
def cuts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A user's module, just imported."""
    (tmp_path / "my_cuts_of_this_test.py").write_text(SOURCE)
    (tmp_path / "my_selection_of_this_test.py").write_text(TAKES)
    monkeypatch.syspath_prepend(tmp_path)
    yield importlib.import_module("my_cuts_of_this_test")
    elsewhere({})
    for name in ("my_cuts_of_this_test", "my_selection_of_this_test"):
        sys.modules.pop(name, None)


@pytest.fixture
def selection(cuts: Any) -> Any:
    """A module that has taken its constants over."""
    return importlib.import_module("my_selection_of_this_test")


def mine(found: Constants, module: str = "my_cuts_of_this_test") -> dict[str, object]:
    return {name: value for (of, name), value in found.values.items() if of == module}


def elsewhere(values: dict[tuple[str, str], Any]) -> None:
    """Hold values as a worker's process does."""
    with Constants(values, process=(0, 0)).held():
        pass


def test_what_stands_in_the_file_is_not_changed(cuts: Any, selection: Any) -> None:
    assert mine(changed_constants()) == {}
    assert mine(changed_constants(), selection.__name__) == {}


def test_changed_are_plain_values_that_the_file_sets_otherwise(cuts: Any) -> None:
    cuts.PT = 10.0
    cuts.ETA = 2.1
    cuts.CUTS["pt"] = 20
    cuts.SCALE = 1
    cuts.NAMES = object()
    # What the file computes may differ from machine to machine.
    cuts.HOME = "/elsewhere"
    cuts.NEW = 1
    found = mine(changed_constants())
    assert found == {"PT": 10.0, "ETA": 2.1, "CUTS": {"pt": 20, "tight": (1, 2)}, "SCALE": 1}
    assert type(found["PT"]) is float


def test_arithmetic_tuples_arrays_and_attributes_of_classes_are_constants_too(cuts: Any) -> None:
    cuts.SQUARE = 99
    cuts.LOW, cuts.HIGH = 1, 2
    cuts.BINS = np.linspace(0, 1, 3)
    cuts.Muon.pt = 25
    cuts.TURN = 3.0
    found = mine(changed_constants())
    bins: Any = found.pop("BINS")
    assert bins.tolist() == [0, 0.5, 1]
    assert found == {"SQUARE": 99, "LOW": 1, "HIGH": 2, "Muon.pt": 25, "TURN": 3.0}


def test_a_number_of_numpy_is_a_value_like_others(cuts: Any) -> None:
    cuts.PT = np.arange(20, 40, 5)[1]
    assert mine(changed_constants()) == {"PT": 25}


def test_what_functions_change_is_state_and_no_constant(cuts: Any) -> None:
    cuts.READY, cuts.CACHE["a"], cuts.SWITCHED, cuts.TWICE, cuts.Counter.calls = True, 1, 5, 10, 7
    cuts.SEEN.append(1)
    assert mine(changed_constants()) == {}


def test_a_large_table_does_not_travel(cuts: Any) -> None:
    cuts.BINS = np.zeros(200_000)
    assert mine(changed_constants()) == {}


def test_a_list_that_holds_itself_is_no_constant(cuts: Any) -> None:
    names: list[Any] = []
    names.append(names)
    cuts.NAMES = names
    assert mine(changed_constants()) == {}


def test_what_a_module_has_taken_over_is_as_it_is_here(cuts: Any, selection: Any) -> None:
    cuts.PT = 20
    assert mine(changed_constants(), selection.__name__) == {"LOWEST": 10}
    selection.LOWEST = 20
    assert mine(changed_constants(), selection.__name__) == {"LOWEST": 20}
    cuts.PT = 10
    assert mine(changed_constants(), selection.__name__) == {"LOWEST": 20}


def test_a_worker_holds_what_came_last_and_nothing_of_what_came_before(cuts: Any) -> None:
    name = cuts.__name__
    elsewhere({(name, "PT"): 20, (name, "SCALE"): 5, (name, "Muon.pt"): 30})
    assert (cuts.PT, cuts.SCALE, cuts.Muon.pt) == (20, 5, 30)
    elsewhere({(name, "SCALE"): 6, ("no_such_module", "X"): 1})
    assert (cuts.PT, cuts.SCALE, cuts.Muon.pt) == (10, 6, 20)
    elsewhere({})
    assert (cuts.PT, cuts.SCALE) == (10, 2)


def test_who_holds_a_container_sees_its_new_content_and_later_the_old(cuts: Any, selection: Any) -> None:
    held, given = selection.CUTS, {"pt": [20]}
    elsewhere({(cuts.__name__, "CUTS"): given, (selection.__name__, "CUTS"): given})
    assert held is cuts.CUTS
    assert held is selection.CUTS
    assert held == {"pt": [20]}
    held["pt"].append(30)
    elsewhere({})
    assert held == {"pt": 10, "tight": (1, 2)}
    assert given == {"pt": [20]}


def test_another_container_under_a_name_is_not_put_into_those_that_others_go_on_with(cuts: Any, selection: Any) -> None:
    """As ``cuts.CUTS = {"pt": 20}`` leaves what another module has taken over."""
    cuts.CUTS, cuts.CHOSEN = {"pt": 20}, {"eta": 1.0}
    values = changed_constants().values
    assert values[selection.__name__, "CUTS"] == {"pt": 10, "tight": (1, 2)}
    cuts.CUTS, cuts.CHOSEN = selection.CUTS, cuts.DEFAULT
    elsewhere(dict(values))
    assert (cuts.CUTS, selection.CUTS["pt"]) == ({"pt": 20}, 10)
    assert (cuts.CHOSEN, cuts.DEFAULT) == ({"eta": 1.0}, {"eta": 2.4})
    elsewhere({})
    assert cuts.CUTS == {"pt": 10, "tight": (1, 2)}
    assert cuts.CHOSEN is cuts.DEFAULT


def test_a_name_of_a_functions_own_is_none_of_the_modules(cuts: Any) -> None:
    cuts.WEIGHTS, cuts.NUMBER, cuts.Configured.pt = {"a": 99.0}, 77, 33
    assert mine(changed_constants()) == {"WEIGHTS": {"a": 99.0}, "NUMBER": 77, "Configured.pt": 33}


@pytest.mark.parametrize("change", ["odd", "lazy", "shadowed"])
def test_odd_values_of_the_users_end_no_run(cuts: Any, change: str) -> None:
    cuts.ODD = {"odd": (1 << 20_000) - 1, "lazy": Lazy(), "shadowed": 1}[change]
    cuts.PT = 20
    assert mine(changed_constants()) == {"PT": 20}


class Lazy:
    """Loads what it stands for when it is looked at, and cannot."""

    @property  # type: ignore[misc]  # as lazy proxies have it
    def __class__(self) -> type:
        raise RuntimeError("outside of its context")


def test_in_the_process_that_they_are_from_nothing_is_set(cuts: Any) -> None:
    cuts.PT = 20
    found = changed_constants()
    cuts.PT = 30
    with found.held():
        assert cuts.PT == 30


def test_a_function_takes_them_along_and_is_loaded_where_they_are_set(
    cuts: Any, selection: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its module is imported as it is loaded, and takes constants over."""
    cuts.PT = selection.LOWEST = 20
    travelling = cloudpickle.dumps(RunBatch(partial(getattr, selection, "LOWEST")))
    # As in another process, which has imported neither.
    monkeypatch.setattr(constants, "_TOKEN", 0)
    monkeypatch.delitem(sys.modules, cuts.__name__)
    monkeypatch.delitem(sys.modules, selection.__name__)
    arrived = pickle.loads(travelling)
    assert arrived.function() == 20
    assert importlib.import_module(cuts.__name__).PT == 20
    assert importlib.import_module(cuts.__name__) is not cuts


def test_threads_of_a_worker_never_see_another_value(cuts: Any) -> None:
    name, seen = cuts.__name__, set[tuple[int, int]]()
    start = threading.Barrier(4)

    def work(value: int) -> None:
        start.wait()
        for _ in range(20):
            # Each thread has loaded them by itself.
            with Constants({(name, "PT"): value}, process=(0, 0)).held():
                for _ in range(200):
                    seen.add((value, cuts.PT))
                time.sleep(0)

    threads = [threading.Thread(target=work, args=(value,)) for value in (20, 20, 30, 30)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert seen == {(20, 20), (30, 30)}


def test_who_wants_others_gets_its_turn_though_chunks_go_on_all_the_time(cuts: Any) -> None:
    name, over = cuts.__name__, threading.Event()

    def work() -> None:
        while not over.is_set():
            with Constants({(name, "PT"): 20}, process=(0, 0)).held():
                time.sleep(0.01)

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    begin = time.monotonic()
    with Constants({(name, "PT"): 30}, process=(0, 0)).held():
        seen = cuts.PT
    waited_s = time.monotonic() - begin
    over.set()
    for thread in threads:
        thread.join(30)
    assert seen == 30
    assert waited_s < 5


def test_threads_that_want_the_same_do_not_wait_for_each_other(cuts: Any) -> None:
    both = threading.Barrier(2, timeout=30)

    def work() -> None:
        with Constants({(cuts.__name__, "PT"): 20}, process=(0, 0)).held():
            both.wait()

    thread = threading.Thread(target=work)
    thread.start()
    work()
    thread.join(30)


def test_what_each_process_computes_is_compared_where_it_is_plain_and_no_path(cuts: Any) -> None:
    cuts.HOME, cuts.POINT = "tight", "medium"
    found = Constants(others=changed_constants().others, process=(0, 0))
    assert {name for module, name in found.others if module == cuts.__name__} >= {"HOME", "POINT"}
    assert found.differing() == set()
    cuts.POINT = "loose"
    assert found.differing() == {(cuts.__name__, "POINT")}
    # In the process that they are from, nothing is another one.
    assert changed_constants().differing() == set()
    cuts.POINT = "/elsewhere"
    assert found.differing() == set()
    assert (cuts.__name__, "POINT") not in changed_constants().others


def test_what_its_own_code_changes_is_no_difference_that_counts(cuts: Any) -> None:
    assert are_state([(cuts.__name__, name) for name in ("POINT", "READY", "SWITCHED", "PT")]) == {
        (cuts.__name__, "READY"),
        (cuts.__name__, "SWITCHED"),
    }


def test_a_module_that_was_unloaded_meanwhile_is_no_trouble(cuts: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    elsewhere({(cuts.__name__, "PT"): 20})
    monkeypatch.delitem(sys.modules, cuts.__name__)
    elsewhere({})
