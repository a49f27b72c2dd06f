"""The modules that a worker must be able to import are those that the processor's pickle names."""

from __future__ import annotations

import functools
import importlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cloudpickle
import numpy as np
import pytest

from pocket_exec.analysis.pickling import modules_named


@pytest.fixture
def written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    (tmp_path / "cuts_of_mine.py").write_text("class Cut:\n    pass\n\n\ndef least(x):\n    return x\n")
    (tmp_path / "analysis_of_mine.py").write_text(
        "import cuts_of_mine\nfrom cuts_of_mine import Cut\n\n\n"
        "class Processor:\n    def __init__(self, **parts):\n        self.__dict__.update(parts)\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    yield importlib.import_module("analysis_of_mine")
    for name in ("analysis_of_mine", "cuts_of_mine"):
        sys.modules.pop(name, None)


def test_the_processors_own_module_and_those_of_its_attributes_are_named(written: Any) -> None:
    assert modules_named(written.Processor()) == ["analysis_of_mine"]
    assert modules_named(written.Processor(cut=written.Cut())) == ["analysis_of_mine", "cuts_of_mine"]
    assert modules_named(written.Processor(least=written.cuts_of_mine.least)) == ["analysis_of_mine", "cuts_of_mine"]
    assert modules_named(written.Processor(module=written.cuts_of_mine)) == ["analysis_of_mine", "cuts_of_mine"]


def test_the_standard_library_is_there_anyway(written: Any) -> None:
    processor = written.Processor(where=Path(), call=functools.partial(sorted, key=len))
    assert modules_named(processor) == ["analysis_of_mine"]


def test_a_librarys_objects_name_the_library(written: Any) -> None:
    named = modules_named(written.Processor(edges=np.arange(3)))
    assert {name.partition(".")[0] for name in named} == {"analysis_of_mine", "numpy"}


def test_what_travels_by_value_needs_no_module(written: Any) -> None:
    cloudpickle.register_pickle_by_value(written)
    try:
        assert modules_named(written.Processor()) == []
        assert modules_named(written.Processor(cut=written.Cut())) == ["cuts_of_mine"]
    finally:
        cloudpickle.unregister_pickle_by_value(written)
