"""Every schema: its events are those of plain coffea, and one whose form cannot be kept is read the plain way."""

from __future__ import annotations

import os
import warnings
from functools import partial
from pathlib import Path
from typing import Any

import awkward as ak
import pytest
import uproot
from coffea.nanoevents import schemas
from coffea.processor import Runner

from pocket_exec.engine.reading import Reading, announced, cheap, forms
from pocket_exec.engine.reading.call import RunnerCall
from tests.contract.reading.given import everything, handed_over, items_of, sums, write

SAMPLES = "POCKET_EXEC_SCHEMA_SAMPLES"
"""A directory with files of coffea's own test samples, for schemas whose files uproot cannot write."""

OF_SAMPLES = {
    "treemaker.root": (schemas.TreeMakerSchema, "PreSelection"),
    "treemaker_rntuple.root": (schemas.TreeMakerSchema, "PreSelection"),
    "PHYSLITE_example.root": (schemas.PHYSLITESchema, "CollectionTree"),
    "pfnano.root": (schemas.PFNanoAODSchema, "Events"),
    "scouting_nano.root": (schemas.ScoutingNanoAODSchema, "Events"),
    "pduneana.root": (schemas.PDUNESchema, "pduneana/beamana"),
    "test_FCC_Spring2021.root": (schemas.FCC.get_schema(version="pre-edm4hep1"), "events"),
    "p8_ee_WW_ecm240_edm4hep.root": (schemas.FCC.get_schema(), "events"),
    "edm4hep.root": (schemas.BaseSchema, "events"),
    "nano_dimuon_rntuple.root": (schemas.NanoAODSchema, "Events"),
}


def packed(events: Any) -> dict[str, Any]:
    """Be a processor that returns everything; nested lists without what plain coffea leaves of their neighbours."""
    return everything(ak.to_packed(ak.materialize(events))) | {"metadata": dict(events.metadata)}


def same(path: Path, schema: Any, *, size: int, treename: str = "Events", process: Any = packed) -> Any:
    """Check that both ways give the same, with and without knowing the next chunks, and return our function."""
    items = items_of(path, size, treename=treename)[:4]
    plain = handed_over(process, schema=schema)
    ours = cheap(plain, Reading())
    expected = [plain(item)["out"] for item in items]
    assert [ours(item)["out"] for item in items] == expected
    with announced(items):
        assert [ours(item)["out"] for item in items] == expected
    return ours


def takes_the_plain_way(function: Any) -> bool:
    return function.args[2]._work is None


@pytest.mark.filterwarnings("ignore")  # what coffea has to say of these files, it says either way
@pytest.mark.parametrize("name", OF_SAMPLES)
def test_files_of_other_experiments_give_the_same_events(name: str) -> None:
    path = Path(os.environ.get(SAMPLES, "/nowhere")) / name
    if not path.exists():
        pytest.skip(f"needs coffea's test samples: set {SAMPLES} to their directory")
    schema, treename = OF_SAMPLES[name]
    with uproot.open(path) as file:
        size = max(1, file[treename].num_entries // 3)
    assert not takes_the_plain_way(same(path, schema, size=size, treename=treename))


@pytest.mark.parametrize(
    "schema", [schemas.BaseSchema, schemas.NanoAODSchema, schemas.PFNanoAODSchema], ids=lambda schema: schema.__name__
)
def test_schemas_of_flat_files_give_the_same_events(schema: Any, tmp_path: Path) -> None:
    assert not takes_the_plain_way(same(write(tmp_path / "a.root"), schema, size=250, process=everything))


def test_nested_lists_records_and_strings_are_the_same(tmp_path: Path) -> None:
    path = tmp_path / "a.root"
    with uproot.recreate(path) as file:
        words = [["a", "bc", ""][n % 3] * (n % 4) for n in range(100)]
        tree = file.mktree("Events", {"word": "string", "three": ("f4", (3,)), "x": "var * float64"})
        for start in (0, 50):
            part = slice(start, start + 50)
            tree.extend(
                {
                    "word": ak.Array(words[part]),
                    "three": ak.to_numpy(ak.Array([[n, n + 1, n + 2] for n in range(100)][part])).astype("f4"),
                    "x": ak.Array([[0.5] * (n % 4) for n in range(100)][part]),
                }
            )
    same(path, schemas.BaseSchema, size=13)


class NameReading(schemas.BaseSchema):  # type: ignore[misc]  # coffea is not typed
    """A schema that looks at the file's name."""

    def __init__(self, base_form: Any) -> None:
        super().__init__(base_form)
        self.of = self._form["parameters"]["metadata"]["filename"]


class Curious(schemas.BaseSchema):  # type: ignore[misc]  # coffea is not typed
    """A schema that looks at all metadata."""

    def __init__(self, base_form: Any) -> None:
        super().__init__(base_form)
        self._form["parameters"]["metadata"] = {**self._form["parameters"]["metadata"], "seen": True}


@pytest.mark.parametrize("schema", [NameReading, Curious])
def test_a_schema_that_looks_at_the_chunks_metadata_takes_the_plain_way_and_says_so_once(
    schema: Any, tmp_path: Path
) -> None:
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        assert takes_the_plain_way(same(write(tmp_path / "a.root"), schema, size=250))
    told = [str(warning.message) for warning in said if "as coffea reads them" in str(warning.message)]
    assert len(told) == 1
    assert schema.__name__ in told[0]


def test_it_is_said_without_losing_the_chunk_where_warnings_are_errors(tmp_path: Path) -> None:
    (item,) = items_of(write(tmp_path / "a.root"), 1000)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert cheap(handed_over(len_of, schema=NameReading), Reading())(item)["out"] == {"n": 1000}


def len_of(events: Any) -> dict[str, int]:
    return {"n": len(events)}


class ByYear(schemas.BaseSchema):  # type: ignore[misc]  # coffea is not typed
    """A schema that makes another form of each year's files."""

    def __init__(self, base_form: Any) -> None:
        super().__init__(base_form)
        year = self._form["parameters"]["metadata"].get("year", 0)
        self._form["fields"] = [f"y{year}_{name}" for name in self._form["fields"]]


def test_a_schema_that_looks_at_the_users_metadata_has_a_form_for_each(tmp_path: Path) -> None:
    path = write(tmp_path / "a.root")
    plain = handed_over(everything, schema=ByYear)
    ours = cheap(plain, Reading())
    chunks = zip(items_of(path, 500, year=2017), items_of(path, 500, year=2018), items_of(path, 500), strict=True)
    items = [item for each in chunks for item in each]
    assert [ours(item)["out"] for item in items] == [plain(item)["out"] for item in items]
    assert not takes_the_plain_way(ours)


@pytest.mark.parametrize("broken", ["nanoevents", "make_form"])
def test_where_a_library_is_not_as_we_know_it_coffea_reads_the_chunk(
    broken: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def changed(*arguments: Any, **keywords: Any) -> Any:
        raise TypeError("unexpected keyword argument")

    monkeypatch.setattr(forms, "_alike", set())
    monkeypatch.setattr(forms, broken, changed)
    items = items_of(write(tmp_path / "a.root"), 500)
    plain = handed_over(sums)
    ours = cheap(plain, Reading())
    with pytest.warns(UserWarning, match="unexpected keyword argument"):
        assert [ours(item) for item in items] == [plain(item) for item in items]
    assert takes_the_plain_way(ours)


def test_events_that_coffea_would_make_otherwise_are_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forms, "_alike", set())
    monkeypatch.setattr(forms, "alike", lambda ours, coffeas: False)
    (item,) = items_of(write(tmp_path / "a.root"), 1000)
    with pytest.warns(UserWarning, match="coffea makes other events of it"):
        cheap(handed_over(sums), Reading())(item)


def test_runners_function_is_understood() -> None:
    """Fails when coffea's Runner hands over something else: then all chunks are read the plain way."""
    function = handed_over(sums, savemetrics=True, xrootdtimeout=7)
    call = RunnerCall.of(function.args[2])  # type: ignore[attr-defined]  # a partial
    assert call is not None
    assert (call.format, call.xrootdtimeout, call.schema, call.savemetrics) == ("root", 7, schemas.NanoAODSchema, True)


@pytest.mark.parametrize("function", [len, partial(len), partial(Runner._work_function, "root")])
def test_what_is_not_runners_function_stays_as_it_is(function: Any) -> None:
    assert cheap(function, Reading()) is function


def test_parquet_stays_as_it_is_and_is_said_to(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    function = handed_over(sums, format="parquet")
    assert cheap(function, Reading()) is function
    assert caplog.messages == ["chunks are read as coffea reads them, each by itself: the format is parquet"]
