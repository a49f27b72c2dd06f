"""The key of a processor: which changes of its code and state change it, and how they are named."""

from __future__ import annotations

import dataclasses
import importlib.util
import itertools
import json
import sys
import types
from collections.abc import Iterator
from pathlib import Path

import pytest

from pocket_exec.engine.fingerprint import ProcessorKey, processor_key
from tests.unit.engine.keys import changes

CFG = '''\
"""An analysis."""
import dataclasses, enum, functools, logging, os
from pathlib import Path

import numba
import numpy as np
import whole
from coffea import processor
from part import select

log = logging.getLogger(__name__)
here = Path(__file__).parent
METADATA = {"year": 2018}
events_seen = 0
WORKING_POINT = 0.3


class Region(enum.Enum):
    SIGNAL = 1


@dataclasses.dataclass
class Cut:
    name: str
    value: float = 20.0
    regions: list = dataclasses.field(default_factory=list)


@numba.njit
def kernel(x):
    return x + 1


def chosen(function):
    @functools.wraps(function)
    def inner(*args):
        return function(*args)
    return inner


@chosen
def tagged(jets):
    return jets.btag > WORKING_POINT


class Base(processor.ProcessorABC):
    def postprocess(self, accumulator):
        return accumulator


class Z(Base):
    """Selects Z bosons."""

    triggers = {"IsoMu24", "Mu50"}

    def __init__(self, pt_cut=25.0):
        self.pt_cut = pt_cut
        self.cut = lambda events: events.pt > pt_cut
        self.cuts = [Cut("pt"), Cut("eta", 2.4)]
        self.region = Region.SIGNAL
        self.kernel = kernel
        self.tagged = tagged
        self.weights = here / "weights.json"
        self.folder = os.path.join(str(here), "x")
        self.method = self.inner
        self.options = {"a": 1, "b": 2}

    def inner(self):
        return super().postprocess(1)

    def process(self, events):
        """Fill."""
        from late import correct
        metadata = events.METADATA
        log.info("%s", __file__)
        return {"n": np.sum(select(events)), "m": whole.scale(events), "t": tagged(events), "c": correct(metadata)}

    class Inner:
        size = 1


def unused():
    return 1


run_options = {"scaleout": 2}
fileset = {"data": ["a.root"]}
instance = Z()
'''

FILES = {
    "cfg.py": CFG,
    "part.py": """\
CUT = 20.0
TABLE = [1, 2]
UNUSED = 3

def select(events, pt=CUT, *, eta=2.4):
    # pt in GeV
    return (events.Muon.pt > pt) & passes(events)

def passes(events):
    "Pass all."
    return events.x > TABLE[0]

def unused():
    return UNUSED
""",
    "whole.py": "import deeper\nSCALE = 2\ndef scale(x):\n    return deeper.square(x) * SCALE\ndef unused(): pass\n",
    "deeper.py": "import pkg.deepest\nPOWER = 2\ndef square(x):\n    return pkg.deepest.power(x, POWER)\n",
    "pkg/__init__.py": "",
    "pkg/deepest.py": "from . import constants\ndef power(x, n):\n    return x ** n + constants.ONE\n",
    "pkg/constants.py": "ONE = 1\n",
    "late.py": "def correct(x):\n    return x\n",
    "aside.py": "X = 1\n",
}
TOPS = ("part", "whole", "deeper", "pkg", "late", "aside")


class Analysis:
    """A directory with a cfg.py, loaded anew, under another name, each time."""

    numbers = itertools.count()

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        for name, text in FILES.items():
            self.write(name, text)

    def write(self, name: str, text: str) -> None:
        path = self.directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")

    def edit(self, name: str, old: str, new: str) -> None:
        assert FILES[name].count(old) == 1
        self.write(name, FILES[name].replace(old, new))

    def load(self) -> types.ModuleType:
        for name in [name for name in sys.modules if name.partition(".")[0] in TOPS]:
            del sys.modules[name]
        importlib.invalidate_caches()
        sys.path.insert(0, str(self.directory))
        name = f"private_{next(self.numbers)}"
        spec = importlib.util.spec_from_file_location(name, self.directory / "cfg.py")
        assert spec is not None
        assert spec.loader is not None
        module = sys.modules[name] = importlib.util.module_from_spec(spec)
        try:
            spec.loader.exec_module(module)
        finally:
            sys.path.remove(str(self.directory))
        return module

    def key(self) -> ProcessorKey:
        return processor_key(self.load().instance)


@pytest.fixture
def analysis(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Analysis]:
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    before = set(sys.modules)
    yield Analysis(tmp_path / "here")
    for name in set(sys.modules) - before:
        if name.startswith("private_") or name.partition(".")[0] in TOPS:
            del sys.modules[name]


def test_a_processor_that_is_loaded_again_has_the_same_key(analysis: Analysis) -> None:
    key = analysis.key()
    assert analysis.key() == key
    assert key.caveat == ""
    assert list(key.modules) == [
        *(
            "cfg.py",
            "deeper.py",
            "late.py",
            "part.py",
            "pkg/__init__.py",
            "pkg/constants.py",
            "pkg/deepest.py",
            "whole.py",
        )
    ]
    assert key.libraries["python"] == f"{sys.version_info[0]}.{sys.version_info[1]}"
    assert {"coffea", "numba", "numpy"} <= key.libraries.keys()


def test_the_directory_of_the_analysis_does_not_count(analysis: Analysis, tmp_path: Path) -> None:
    assert changes(analysis.key(), Analysis(tmp_path / "another place").key()) == []


def test_the_key_holds_no_path_of_this_machine(analysis: Analysis) -> None:
    assert str(analysis.directory) not in json.dumps(dataclasses.asdict(analysis.key()))


CHANGES = [
    ("cfg.py", '"""Selects Z bosons."""', '"""Selects\n\n    Z bosons."""', []),
    ("cfg.py", '"""Fill."""', "", []),
    ("cfg.py", '"""Fill."""', '"""Fill."""\n        # here', []),
    ("cfg.py", 'return {"n": np.sum', 'return {\n            "n" : np.sum', []),
    ("cfg.py", "def unused():\n    return 1", "def unused():\n    return 2", []),
    ("cfg.py", '{"scaleout": 2}', '{"scaleout": 3}', []),
    ("cfg.py", '["a.root"]', '["a.root", "b.root"]', []),
    ("cfg.py", '{"year": 2018}', '{"year": 2017}', []),
    ("cfg.py", "events_seen = 0", "events_seen = 1", []),
    ("cfg.py", "here = Path(__file__).parent", "here = Path(__file__).parent\nimport aside", []),
    ("cfg.py", '{"IsoMu24", "Mu50"}', '{"Mu50", "IsoMu24"}', []),
    ("part.py", "# pt in GeV", "# pt", []),
    ("part.py", '"Pass all."', '"Pass some."', []),
    ("part.py", "UNUSED = 3", "UNUSED = 4", []),
    ("part.py", "return UNUSED", "return None", []),
    ("whole.py", "SCALE = 2", "SCALE = 2  # twice", []),
    ("cfg.py", 'm": whole', 'M": whole', ["cfg.py changed"]),
    ("cfg.py", '{"IsoMu24", "Mu50"}', '{"IsoMu24"}', ["cfg.py changed"]),
    ("cfg.py", "return accumulator", "return {**accumulator}", ["cfg.py changed"]),
    ("cfg.py", "SIGNAL = 1\n", "SIGNAL = 1\n    CONTROL = 2\n", ["cfg.py changed"]),
    ("cfg.py", "size = 1", "size = 2", ["cfg.py changed"]),
    ("cfg.py", "WORKING_POINT = 0.3", "WORKING_POINT = 0.4", ["cfg.py changed"]),
    ("cfg.py", "    name: str\n", "    name: str\n    unit: str = ''\n", ["cfg.py changed", "self.cuts changed"]),
    ("cfg.py", "value: float = 20.0", "value: float = 21.0", ["cfg.py changed", "self.cuts changed"]),
    ("cfg.py", "return x + 1", "return x + 2", ["cfg.py changed", "self.kernel changed"]),
    ("cfg.py", "return function(*args)", "return not function(*args)", ["cfg.py changed"]),
    ("cfg.py", "return jets.btag >", "return jets.btag <", ["cfg.py changed"]),
    ("cfg.py", "pt_cut=25.0", "pt_cut=26.0", ["cfg.py changed", "self.cut changed", "self.pt_cut changed"]),
    ("cfg.py", "events.pt > pt_cut", "events.pt < pt_cut", ["cfg.py changed", "self.cut changed"]),
    ("cfg.py", '"weights.json"', '"other.json"', ["cfg.py changed", "self.weights changed"]),
    ("cfg.py", '{"a": 1, "b": 2}', '{"b": 2, "a": 1}', ["cfg.py changed", "self.options changed"]),
    ("cfg.py", "instance = Z()", "instance = Z(30.0)", ["self.cut changed", "self.pt_cut changed"]),
    ("cfg.py", "instance = Z()", "instance = Z()\ninstance.more = 1", ["self.more is new"]),
    ("cfg.py", "instance = Z()", "instance = Z()\ndel instance.region", ["self.region is gone"]),
    ("cfg.py", "return super()", "import aside\n        return super()", ["aside.py is new", "cfg.py changed"]),
    ("part.py", "CUT = 20.0", "CUT = 21.0", ["part.py changed"]),
    ("part.py", "TABLE = [1, 2]", "TABLE = [1, 3]", ["part.py changed"]),
    ("part.py", "eta=2.4", "eta=2.5", ["part.py changed"]),
    ("part.py", "return events.x >", "return events.x <", ["part.py changed"]),
    ("whole.py", "SCALE = 2", "SCALE = 3", ["whole.py changed"]),
    ("whole.py", "def unused(): pass", "def unused(): return 1", ["whole.py changed"]),
    ("deeper.py", "POWER = 2", "POWER = 3", ["deeper.py changed"]),
    ("pkg/deepest.py", "x ** n", "x ^ n", ["pkg/deepest.py changed"]),
    ("pkg/constants.py", "ONE = 1", "ONE = 2", ["pkg/constants.py changed"]),
    ("pkg/__init__.py", "", "pass", ["pkg/__init__.py changed"]),
    ("late.py", "return x", "return -x", ["late.py changed"]),
]


@pytest.mark.parametrize(("file", "old", "new", "named"), CHANGES, ids=range(len(CHANGES)))
def test_a_change_that_matters_is_named_and_no_other_counts(
    analysis: Analysis, file: str, old: str, new: str, named: list[str]
) -> None:
    before = analysis.key()
    analysis.edit(file, old, new) if old else analysis.write(file, new)
    after = analysis.key()
    assert changes(before, after) == named


def test_a_value_set_on_a_module_counts_though_its_source_is_the_same(analysis: Analysis) -> None:
    before = analysis.key()
    module = analysis.load()
    sys.modules["whole"].SCALE = 5  # type: ignore[attr-defined]
    sys.modules["part"].TABLE.append(3)
    assert changes(before, processor_key(module.instance)) == ["part.py changed", "whole.py changed"]


def test_a_file_edited_after_it_was_imported_does_not_pass_for_the_code_that_runs(analysis: Analysis) -> None:
    running = analysis.load().instance
    analysis.edit("part.py", "return events.x >", "return events.x <")
    kept = processor_key(running)
    assert changes(analysis.key(), kept) == ["part.py changed"]


def test_code_without_source_counts_by_its_byte_code() -> None:
    def made(text: str) -> ProcessorKey:
        namespace: dict[str, object] = {"__name__": "__main__"}
        exec(compile(text, "<cell 1>", "exec"), namespace)
        return processor_key(namespace["f"])

    text = "LIMIT = 1\ndef f(events):\n    return events.x > LIMIT\n"
    assert made(text) == made(text.replace("    return", "    # comment\n\n    return"))
    assert made(text) != made(text.replace("x >", "x <"))
    assert changes(made(text), made(text.replace("LIMIT = 1", "LIMIT = 2"))) == ["__main__ changed"]


def test_an_installed_module_counts_by_its_version(analysis: Analysis) -> None:
    metadata = analysis.directory / "part-1.0.dist-info" / "METADATA"
    analysis.write(str(metadata), "Metadata-Version: 2.1\nName: part\nVersion: 1.0\n")
    before = analysis.key()
    assert "part.py" not in before.modules
    analysis.edit("part.py", "return events.x >", "return events.x <")
    assert changes(before, analysis.key()) == []
