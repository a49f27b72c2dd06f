"""Unpickling in the process that pickled: the class is what it was, and so are the globals that its methods see."""

from __future__ import annotations

import pickle
import sys
import types
from collections.abc import Iterator
from typing import Any

import cloudpickle
import numpy as np
import pytest

from pocket_exec.engine.packing import pack
from pocket_exec.engine.unpickling import copied, loads

SOURCE = """\
CUT = 1

class Cuts:
    def cut(self):
        return CUT

def local():
    class Cuts:
        def cut(self):
            return CUT
    return Cuts
"""


@pytest.fixture
def script() -> Iterator[types.ModuleType]:
    """Give a module whose classes travel by value, as those of a script and a notebook do."""
    module = sys.modules["a_script"] = types.ModuleType("a_script")
    exec(SOURCE, vars(module))
    cloudpickle.register_pickle_by_value(module)
    yield module
    cloudpickle.unregister_pickle_by_value(module)
    del sys.modules["a_script"]


@pytest.fixture(params=["of its module", "inside a function"])
def cls(script: types.ModuleType, request: pytest.FixtureRequest) -> Any:
    return script.Cuts if request.param == "of its module" else script.local()


def test_a_copy_and_its_class_see_the_globals_as_they_are_now(script: types.ModuleType, cls: Any) -> None:
    made, before = cls(), vars(cls)["cut"]
    script.CUT = 2  # type: ignore[attr-defined]
    copy = copied(made)
    script.CUT = 3  # type: ignore[attr-defined]
    assert copy is not made
    assert type(copy) is cls
    assert vars(cls)["cut"] is before
    assert (copy.cut(), made.cut(), copied(made).cut()) == (3, 3, 3)


def test_cloudpickle_alone_would_overwrite_the_class(script: types.ModuleType) -> None:
    """Where this fails, cloudpickle has changed, and ``unpickling`` may no longer be needed."""
    made = script.Cuts()
    cloudpickle.loads(cloudpickle.dumps(made))
    script.CUT = 2  # type: ignore[attr-defined]
    assert made.cut() == 1


def test_what_comes_back_packed_leaves_the_class_as_it_is(script: types.ModuleType, cls: Any) -> None:
    made = cls()
    made.table = np.arange(100_000)
    back = pack(made, own=True).value()
    script.CUT = 2  # type: ignore[attr-defined]
    assert made.cut() == back.cut() == 2
    assert (back.table == made.table).all()


def test_a_fault_in_a_pickle_is_raised_as_pickle_raises_it() -> None:
    with pytest.raises(pickle.UnpicklingError):
        loads(b"\x80\x04]\x00")
