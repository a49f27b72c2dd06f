"""Every form of a fileset comes to the same thing, and what is wrong with one is told at once."""

from __future__ import annotations

import gzip
import json
import logging
import threading
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pocket_exec.analysis.fileset import DataFile, Dataset, Fileset
from pocket_exec.analysis.fileset_forms import RESERVED_METADATA, read_fileset
from pocket_exec.analysis.selection import Selection, select
from pocket_exec.errors import CfgError

REMOTE = "root://eos.example//store/a.root"


def read(raw: object, base: Path = Path("/nowhere"), treename: str | None = None) -> Fileset:
    return read_fileset(raw, treename, base)


def files(raw: object, base: Path = Path("/nowhere"), treename: str | None = None) -> list[DataFile]:
    return [file for dataset in read(raw, base, treename) for file in dataset.files]


def names(raw: object, base: Path = Path("/nowhere")) -> list[str]:
    return [file.name for file in files(raw, base)]


def refused(raw: object, base: Path = Path("/nowhere")) -> str:
    with pytest.raises(CfgError) as caught:
        read(raw, base)
    return str(caught.value)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty directory that is the current one."""
    directory = tmp_path / "here"
    directory.mkdir()
    monkeypatch.chdir(directory)
    return directory


def made(*paths: Path) -> list[str]:
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return [str(path) for path in paths]


SAME = {
    "a list": ["/data/a.root", REMOTE],
    "a tuple": ("/data/a.root", REMOTE),
    "paths": [Path("/data/a.root"), REMOTE],
    "a mapping with a list": {"files": ["/data/a.root", REMOTE]},
    "a mapping with a tree for each": {"files": {"/data/a.root": "Events", REMOTE: "Events"}},
    "a mapping without trees": {"files": {"/data/a.root": None, REMOTE: None}},
    "files and trees alone": {"/data/a.root": "Events", REMOTE: "Events"},
    "preprocessed, without steps": {
        "files": {"/data/a.root": {"object_path": "Events", "steps": None}, REMOTE: {"object_path": "Events"}}
    },
}


@pytest.mark.parametrize("form", SAME.values(), ids=SAME)
def test_every_form_of_a_dataset_gives_the_same_files(form: Any) -> None:
    assert files({"DY": form}) == [DataFile("/data/a.root", "Events"), DataFile(REMOTE, "Events")]


def test_one_file_may_stand_without_a_list() -> None:
    assert read({"DY": "/data/a.root"}) == read({"DY": {"files": "/data/a.root"}}) == read({"DY": ["/data/a.root"]})


def test_the_order_of_datasets_and_files_is_the_users() -> None:
    given = {"z": ["/b.root", "/a.root"], "a": ["/d.root", "/c.root"]}
    assert [(d.name, [f.name for f in d.files]) for d in read(given)] == list(given.items())


def test_the_tree_is_the_files_own_else_the_datasets_else_the_fileset_s_else_events() -> None:
    fileset = {
        "file": {"files": {"/a.root": "Own"}, "treename": "Dataset"},
        "dataset": {"files": ["/a.root"], "treename": "Dataset"},
        "no tree of its own": {"files": {"/a.root": None}, "treename": "Dataset"},
        "rest": ["/a.root"],
    }
    assert [file.treename for file in files(fileset, treename="Runs")] == ["Own", "Dataset", "Dataset", "Runs"]
    assert [file.treename for file in files(fileset)][-1] == "Events"


def test_steps_of_a_preprocessed_fileset_are_kept() -> None:
    given = {"/a.root": {"object_path": "Events", "steps": [[0, 10], [10, 25]], "num_entries": 25, "uuid": "x"}}
    assert files({"DY": {"files": given, "metadata": None}}) == [
        DataFile("/a.root", "Events", steps=((0, 10), (10, 25)))
    ]


def test_the_empty_file_of_a_preprocessed_fileset_has_one_empty_step() -> None:
    assert files({"DY": {"files": {"/a.root": {"object_path": "Events", "steps": [[0, 0]]}}}})[0].steps == ((0, 0),)


@pytest.mark.parametrize(
    "steps", [[], [[10, 5]], [[-1, 5]], [[0, 5], [4, 9]], [[0.0, 5.0]], [0, 5], [[0, 5, 9]], "0-5", 5, [["0", "5"]]]
)
def test_steps_that_are_no_entry_ranges_or_count_twice_are_a_fault(steps: Any) -> None:
    message = refused({"DY": {"files": {"/a.root": {"object_path": "Events", "steps": steps}}}})
    assert "dataset 'DY': 'steps' of /a.root is not a list of [start, stop]" in message


def test_coffeas_own_models_are_taken_as_they_are() -> None:
    from coffea.dataset_tools.filespec import DataGroupSpec, DatasetSpec

    plain = {
        "DY": {
            "files": {"/a.root": {"object_path": "Events", "steps": [[0, 5]], "num_entries": 5, "uuid": "ab"}},
            "metadata": {"year": "2018"},
            "format": "root",
        }
    }
    wanted = (Dataset("DY", (DataFile("/a.root", "Events", steps=((0, 5),)),), {"year": "2018"}),)
    assert read(DataGroupSpec(plain)) == read({"DY": DatasetSpec(**plain["DY"])}) == read(plain) == wanted


def test_the_first_replica_is_the_files_name() -> None:
    fileset = {"DY": {"files": [["root://one//a.root", "root://two//a.root"], "/b.root"]}}
    assert files(fileset) == [
        DataFile("root://one//a.root", "Events", ("root://two//a.root",)),
        DataFile("/b.root", "Events"),
    ]


def test_a_replica_of_a_file_that_is_listed_already_counts_its_events_twice() -> None:
    twice = {"DY": [["root://one//a.root", "root://two//a.root"], "root://two//a.root"]}
    assert "root://two//a.root is listed twice; its events would count twice" in refused(twice)


def test_preload_is_the_set_of_branches() -> None:
    (dataset,) = read({"DY": {"files": ["/a.root"], "preload": ["nMuon", "Muon_pt"]}})
    assert dataset.preload == frozenset({"nMuon", "Muon_pt"})


@pytest.mark.parametrize("preload", ["nMuon", 3, [1]])
def test_preload_that_is_no_list_of_branches_is_a_fault(preload: Any) -> None:
    assert "its 'preload' is" in refused({"DY": {"files": ["/a.root"], "preload": preload}})


def test_metadata_are_kept_and_cannot_be_changed() -> None:
    given = {"year": 2018, "xsec": 6077.22}
    (dataset,) = read({"DY": {"files": ["/a.root"], "metadata": given}})
    given["year"] = 2017
    assert dict(dataset.metadata) == {"year": 2018, "xsec": 6077.22}
    with pytest.raises(TypeError):
        dataset.metadata["year"] = 2016  # type: ignore[index]


@pytest.mark.parametrize("name", sorted(RESERVED_METADATA))
def test_a_name_that_coffea_keeps_for_itself_is_a_fault_in_metadata(name: str) -> None:
    assert f"keeps these names of 'metadata' for itself: {name}" in refused(
        {"DY": {"files": ["/a.root"], "metadata": {name: 1}}}
    )


def test_the_reserved_names_are_coffeas() -> None:
    from coffea.processor import executor

    assert executor._PROTECTED_NAMES == RESERVED_METADATA


def test_metadata_that_cannot_travel_are_named() -> None:
    message = refused({"DY": {"files": ["/a.root"], "metadata": {"tools": {"lock": threading.Lock()}}}})
    assert "dataset 'DY': metadata['tools']['lock'] cannot be sent to workers" in message


def test_json_gives_what_the_mapping_gives(here: Path) -> None:
    fileset = {"DY": {"files": ["/a.root"], "metadata": {"year": "2018"}}}
    Path("one.json").write_text(json.dumps(fileset))
    Path("two.json.gz").write_bytes(gzip.compress(json.dumps(fileset).encode()))
    forms = ["one.json", Path("one.json"), here / "one.json", "two.json.gz", ["one.json"], "on*.json"]
    assert [read(form) for form in forms] == [read(fileset)] * len(forms)


def test_json_files_are_put_together_in_their_order(here: Path) -> None:
    for name in ("b", "a", "c"):
        Path(f"{name}.json").write_text(json.dumps({name: [f"/{name}.root"]}))
    assert [dataset.name for dataset in read(["b.json", "a.json", "c.json"])] == ["b", "a", "c"]
    assert [dataset.name for dataset in read("*.json")] == ["a", "b", "c"]


def test_a_dataset_in_two_json_files_is_a_fault(here: Path) -> None:
    for name in ("a", "b"):
        Path(f"{name}.json").write_text('{"DY": ["/a.root"]}')
    assert "it stands in two JSON files" in refused("*.json")


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"{", "not JSON"),
        (b"[1]", "is not a mapping"),
        (b"\xff\xfe", "not JSON"),
        (b'{"DY": ["/a.root"], "DY": ["/b.root"]}', "'DY' stands in it twice"),
    ],
)
def test_json_that_cannot_be_used_is_named(content: bytes, told: str, here: Path) -> None:
    Path("bad.json").write_bytes(content)
    message = refused("bad.json")
    assert told in message
    assert str(here / "bad.json") in message


@pytest.mark.parametrize("content", [b"not gzip", gzip.compress(b"{}", mtime=0)[:-6], b"\x1f\x8b\x08\0" + b"\xff" * 40])
def test_json_in_a_damaged_gzip_file_is_named(content: bytes, here: Path) -> None:
    Path("bad.json.gz").write_bytes(content)
    assert "bad.json.gz" in refused("bad.json.gz")


def test_a_json_file_that_is_not_there_is_named(here: Path) -> None:
    assert f"({here / 'no.json'}): No such file" in refused("no.json")


def test_a_glob_stands_for_the_files_in_sorted_order(here: Path) -> None:
    found = made(here / "d" / "b.root", here / "d" / "a.root", here / "d" / "deep" / "c.root")
    assert names({"DY": ["d/*.root"]}) == sorted(found[:2])
    assert names({"DY": "d/**/*.root"}) == sorted(found)
    assert names({"DY": {"files": {"d/*.root": "T"}}}) == sorted(found[:2])


def test_a_glob_that_matches_nothing_is_a_fault(here: Path) -> None:
    assert "dataset 'DY': no file matches nothing/*.root" in refused({"DY": ["nothing/*.root"]})


def test_a_file_whose_name_looks_like_a_glob_is_that_file(here: Path) -> None:
    found = made(here / "a[1].root", here / "a1.root")
    assert names({"DY": ["a[1].root"]}) == found[:1]


def test_a_directory_whose_name_looks_like_a_glob_is_that_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = made(tmp_path / "run[2018]*" / "a.root")
    monkeypatch.chdir(Path(found[0]).parent)
    assert names({"DY": ["*.root"]}) == found


def test_a_glob_on_another_file_system_keeps_its_protocol(here: Path) -> None:
    import fsspec

    memory = fsspec.filesystem("memory")
    for name in ("b", "a"):
        memory.pipe(f"/store/{name}.root", b"")
    assert names({"DY": ["memory://store/*.root"]}) == ["memory:///store/a.root", "memory:///store/b.root"]
    assert "no file matches memory://store/*.txt" in refused({"DY": ["memory://store/*.txt"]})


def test_a_protocol_that_nobody_knows_is_named_where_it_is_a_glob() -> None:
    assert "nonsense://a/*.root: ValueError: Protocol not known" in refused({"DY": ["nonsense://a/*.root"]})


def test_a_question_mark_in_the_query_of_an_address_is_no_glob() -> None:
    assert names({"DY": ["https://x/a.root?token=*"]}) == ["https://x/a.root?token=*"]


def test_relative_paths_are_looked_for_here_and_then_beside_cfg_py(here: Path, tmp_path: Path) -> None:
    beside = tmp_path / "beside"
    local, both, theirs = made(here / "local.root", here / "both.root", beside / "theirs.root")
    made(beside / "both.root")
    assert names({"DY": ["local.root", "both.root", "theirs.root"]}, beside) == [local, both, theirs]


def test_a_path_that_is_not_there_is_taken_here(here: Path) -> None:
    assert names({"DY": ["missing.root"]}, here / "beside") == [str(here / "missing.root")]


def test_the_home_directory_may_be_written_as_a_tilde(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert names({"DY": ["~/a.root"]}) == [str(tmp_path / "a.root")]


def test_the_home_of_nobody_is_a_fault() -> None:
    assert "~nobody-of-this-name/a.root" in refused({"DY": ["~nobody-of-this-name/a.root"]})


def test_a_whole_json_text_in_the_place_of_a_path_is_a_fault() -> None:
    text = json.dumps({"DY": [f"/data/{number}.root" for number in range(500)]})
    assert "File name too long" in refused(text)


def test_hostile_names_of_files_and_datasets_stay_as_they_are(hostile: str, here: Path) -> None:
    found = made(here / f"{hostile}.root", here / hostile / "b.root")
    fileset = {hostile: {"files": [f"{hostile}.root", f"{hostile}/*.root"], "metadata": {hostile: hostile}}}
    (dataset,) = read(fileset)
    assert (dataset.name, [file.name for file in dataset.files]) == (hostile, found)
    assert dataset.metadata == {hostile: hostile}
    Path(f"{hostile}.json").write_text(json.dumps(fileset))
    assert read(f"{hostile}.json") == (dataset,)


WORDS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="*?["), min_size=1)


@given(st.dictionaries(WORDS, st.lists(WORDS.map("root://host//{}.root".format), min_size=1, unique=True), min_size=1))
def test_any_names_survive_the_reading(fileset: dict[str, list[str]]) -> None:
    assert {dataset.name: [file.name for file in dataset.files] for dataset in read(fileset)} == fileset


def test_a_file_listed_twice_in_a_dataset_is_a_fault(here: Path) -> None:
    made(here / "a.root")
    for twice in (
        ["/a.root", "/a.root"],
        ["a.root", "*.root"],
        ["a.root", "./a.root"],
        ["a.root", str(here / "a.root")],
    ):
        assert "is listed twice; its events would count twice" in refused({"DY": twice})


def test_two_trees_of_one_file_are_two_inputs(here: Path) -> None:
    Path("a.json").write_text('{"DY": {"files": {"/a.root": "Events", "/./a.root": "Other"}}}')
    assert [file.treename for file in files("a.json")] == ["Events", "Other"]


def test_a_file_in_two_datasets_is_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    assert len(read({"DY": ["/a.root"], "TT": ["/a.root"]})) == 2
    assert "/a.root is in two datasets: 'DY' and 'TT'" in caplog.text


def test_two_names_that_are_the_same_as_text_are_a_fault() -> None:
    assert "two datasets are called '2018'" in refused({2018: ["/a.root"], "2018": ["/b.root"]})


@pytest.mark.parametrize(("raw", "told"), [({}, "it is empty"), ({"DY": []}, "it has no files"), ([], "it is empty")])
def test_an_empty_fileset_is_a_fault(raw: Any, told: str) -> None:
    assert told in refused(raw)


def test_a_dataset_without_files_is_left_out_with_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    assert [dataset.name for dataset in read({"DY": [], "TT": ["/a.root"]})] == ["TT"]
    assert "dataset 'DY' has no files; it is left out" in caplog.text


@pytest.mark.parametrize("raw", [None, 3, [1], object(), b"a.json"])
def test_what_is_no_fileset_is_named_by_its_type(raw: Any) -> None:
    assert type(raw).__name__ in refused(raw)


@pytest.mark.parametrize(
    ("entry", "told"),
    [
        (3, "a list or a mapping was expected"),
        (None, "a list or a mapping was expected"),
        ([3], "3 is no file"),
        ([[]], "[] is no file"),
        ([""], "is no file"),
        ({"metadata": {}}, "it has no 'files'"),
        ({"file": ["/a.root"]}, "is not the name of a tree"),
        ({"files": ["/a.root"], "metadata": [1]}, "its 'metadata' is a list"),
        ({"files": ["/a.root"], "treename": 3}, "its 'treename' is 3, not text"),
        ({"files": {"/a.root": {"object_path": 3}}}, "is 3, not the name of a tree"),
    ],
)
def test_a_dataset_that_cannot_be_used_is_named(entry: Any, told: str) -> None:
    message = refused({"DY": entry, "TT": ["/b.root"]})
    assert "dataset 'DY'" in message
    assert told in message


def test_all_faults_are_told_at_once(here: Path) -> None:
    message = refused(
        {
            "one": 3,
            "two": {"files": ["/a.root"], "metadata": {"dataset": 1}},
            "three": ["no/*.root"],
            "four": ["/a.root", "/a.root"],
        }
    )
    assert message.splitlines()[0] == "Bad fileset:"
    assert [line.split("'")[1] for line in message.splitlines()[1:]] == ["one", "two", "three", "four"]


CHOICE = read(
    {
        "DY_2017": {"files": ["/a.root", "/b.root", "/c.root"], "metadata": {"sample": "DY", "year": "2017"}},
        "DY_2018": {"files": ["/d.root"], "metadata": {"sample": "DY", "year": 2018}},
        "TT_2018": {"files": ["/e.root"], "metadata": {"sample": "TT", "year": "2018"}},
        "other": ["/f.root"],
    }
)


@pytest.mark.parametrize(
    ("selection", "left"),
    [
        (Selection(), ["DY_2017", "DY_2018", "TT_2018", "other"]),
        (Selection(datasets=("TT_2018", "DY_2017")), ["DY_2017", "TT_2018"]),
        (Selection(samples=("DY",)), ["DY_2017", "DY_2018"]),
        (Selection(years=("2018",)), ["DY_2018", "TT_2018"]),
        (Selection(samples=("DY",), years=("2018",)), ["DY_2018"]),
    ],
)
def test_filters_keep_what_was_asked_for_in_the_order_of_the_fileset(selection: Selection, left: list[str]) -> None:
    assert [dataset.name for dataset in select(CHOICE, selection)] == left


def test_names_that_no_dataset_has_are_all_told_with_the_nearest() -> None:
    with pytest.raises(CfgError) as caught:
        select(CHOICE, Selection(datasets=("DY2017",), samples=("TTT",), years=("2019",)))
    assert str(caught.value).splitlines() == [
        "Nothing to run:",
        "  --filter-datasets: no dataset has 'DY2017'; did you mean 'DY_2017'?",
        "  --filter-samples: no dataset has 'TTT'; did you mean 'TT'?",
        "  --filter-years: no dataset has '2019'; did you mean '2018' or '2017'?",
    ]


def test_filters_that_leave_nothing_are_told() -> None:
    with pytest.raises(CfgError, match="the filters leave no dataset"):
        select(CHOICE, Selection(samples=("TT",), years=("2017",)))


def test_limit_files_takes_the_first_of_each_dataset() -> None:
    limited = select(CHOICE, Selection(limit_files=2))
    assert [len(dataset.files) for dataset in limited] == [2, 1, 1, 1]
    assert limited[0].files == CHOICE[0].files[:2]


def test_reading_says_nothing_where_nothing_is_wrong(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        read({"DY": ["/a.root"]})
    assert caplog.text == ""
