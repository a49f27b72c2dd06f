"""Names of result files."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pocket_exec.errors import OutputDirectoryError
from pocket_exec.runs.names import check_names, dataset_of, result_name

pieces = st.sampled_from(
    ["/", "%", "%2F", ":", "::", ".partial", ".coffea", "\0", "\n", "µ", "\u202e", " ", ".", "\ud800"]
)
any_name = st.text() | st.lists(pieces | st.text(max_size=3)).map("".join)


@given(any_name, st.booleans())
def test_a_name_comes_back_from_its_file_name(dataset: str, partial: bool) -> None:
    assert dataset_of(result_name(dataset, partial)) == (dataset, partial)


@given(any_name)
def test_a_file_name_holds_no_character_that_a_path_cannot(dataset: str) -> None:
    name = result_name(dataset)
    assert not set(name) & {"/", "\0", "\n"}
    name.encode()


@given(st.text() | st.text().map("output_{}.coffea".format) | st.from_regex(r"output_(%[0-9A-F]{2}|[a.:%])*\.coffea"))
def test_a_file_name_is_read_only_if_it_would_be_written_so(filename: str) -> None:
    found = dataset_of(filename)
    assert found is None or result_name(*found) == filename


def test_a_plain_name_stays_readable() -> None:
    assert result_name("DY_2018") == "output_DY_2018.coffea"
    assert result_name("DY_2018", partial=True) == "output_DY_2018.partial.coffea"
    assert result_name("Zµµ 13 TeV") == "output_Zµµ 13 TeV.coffea"


def test_a_dataset_that_ends_in_partial_does_not_look_like_a_partial_result() -> None:
    assert result_name("DY.partial") == "output_DY%2Epartial.coffea"


@pytest.mark.parametrize("name", ["a b", "a'; echo x", 'q"=0"', "$(id)", "%h", "a::b", "a:b", "*", "~", "..", "\\"])
def test_a_hostile_name_is_loaded_by_its_path(name: str, tmp_path: Path) -> None:
    from coffea.util import load, save

    path = str(tmp_path / result_name(name))
    save({"n": 1}, path)
    assert load(path) == {"n": 1}
    assert [p.name for p in tmp_path.iterdir()] == [result_name(name)]


@pytest.mark.parametrize("name", ["all", "ALL", "", "x.partial", "x.Partial", "x" * 234, "µ" * 117])
def test_a_name_that_collides_or_does_not_fit_is_refused(name: str) -> None:
    with pytest.raises(OutputDirectoryError, match="Rename these datasets"):
        check_names(["DY", name])


def test_the_longest_name_that_fits_is_a_file(tmp_path: Path) -> None:
    check_names(["x" * 233])
    (tmp_path / result_name("x" * 233, partial=True)).touch()


def test_names_that_differ_only_by_case_are_refused_together() -> None:
    with pytest.raises(OutputDirectoryError, match="'DY' and 'dy': one file on some file systems"):
        check_names(["DY", "TT", "dy"])


def test_names_that_differ_only_by_normalisation_are_refused() -> None:
    with pytest.raises(OutputDirectoryError, match="one file"):
        check_names(["\u00e9", "e\u0301"])


def test_all_bad_names_are_told_at_once() -> None:
    with pytest.raises(OutputDirectoryError) as told:
        check_names(["all", "x.partial", "A", "a"])
    assert len(str(told.value).splitlines()) == 4


def test_usual_names_pass() -> None:
    check_names(["DY", "TT", "data/Run2018A", "all_muons", "partial"])
