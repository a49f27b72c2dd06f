"""The content key: what decides a result is in it, for finished results and for the ledger's blocks."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from coffea.nanoevents import NanoAODSchema
from coffea.processor.executor import WorkItem

from pocket_exec.analysis.cfg import Analysis
from pocket_exec.analysis.fileset import DataFile, Dataset
from pocket_exec.options.defaults import built_in_executors, defaults_layers, model_for
from pocket_exec.options.resolve import resolve
from pocket_exec.runs.content import content_key, contexts
from pocket_exec.runs.key import ContentKey, differences

LIBRARY = """\
class A:
    def __init__(self, cut):
        self.cut = cut
    def process(self, events):
        return {"n": self.cut(events)}

class B(A):
    def process(self, events):
        return {"n": -self.cut(events)}
"""
FILESET = (Dataset("DY", (DataFile("a.root", "Events"),)),)
VERSIONS = {("a.root", "Events"): "1:2:3"}
ITEMS = [WorkItem("DY", "a.root", "Events", 0, 100, b"1" * 16)]


@pytest.fixture
def modules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[ModuleType, ModuleType]]:
    """Give an installed library with two processors, and the user's own module of cuts."""
    (tmp_path / "somelib.py").write_text(LIBRARY)
    (tmp_path / "my_cuts.py").write_text("def cut(events):\n    return len(events)\n")
    metadata = tmp_path / "somelib-1.0.dist-info" / "METADATA"
    metadata.parent.mkdir()
    metadata.write_text("Metadata-Version: 2.1\nName: somelib\nVersion: 1.0\n")
    monkeypatch.syspath_prepend(tmp_path)
    yield importlib.import_module("somelib"), importlib.import_module("my_cuts")
    for name in ("somelib", "my_cuts"):
        del sys.modules[name]


def key_of(processor: Any, directory: Path) -> ContentKey:
    name = "iterative"
    found = resolve(name, model_for(name), defaults_layers(name), [], known_executors=built_in_executors())
    analysis = Analysis("analysis", FILESET, processor, NanoAODSchema, directory)
    return content_key(analysis, FILESET, ITEMS, VERSIONS, found.options, "pocket-exec")[0]


def test_another_processor_of_a_library_is_another_key_though_it_holds_the_same_cuts(
    modules: tuple[ModuleType, ModuleType], tmp_path: Path
) -> None:
    library, cuts = modules
    then, now = (key_of(made(cuts.cut), tmp_path) for made in (library.A, library.B))
    assert "my_cuts.py" in then.processor_code
    assert differences(then, now) == ("processor code changed: processor A, processor B",)
    assert contexts(then, FILESET) != contexts(now, FILESET)
    assert key_of(library.A(cuts.cut), tmp_path) == then
