"""A traceback of a worker names the user's own files, not the copies that the worker had of them."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path

import cloudpickle
import pytest

from pocket_exec.engine.users_files import with_users_files

SCRATCH = "/var/lib/condor/execute/dir_5090/scratch/f25646fd-0-y3lu766_"


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory with modules of the user's that can be imported."""
    (tmp_path / "tools").mkdir()
    for name in ("zmumu.py", "tools/cuts.py"):
        (tmp_path / name).write_text("")
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path


def line(path: object) -> str:
    return f'  File "{path}", line 57, in process\n    selection.add("two", first.ptt > 26)\n'


@pytest.mark.parametrize("name", ["zmumu.py", "tools/cuts.py"])
@pytest.mark.parametrize("unpacked", ["code", "pocket-exec-code-abc12_x"])
def test_a_copy_is_called_by_the_file_it_was_made_of(here: Path, name: str, unpacked: str) -> None:
    head = "Traceback (most recent call last):\n"
    assert with_users_files(head + line(f"{SCRATCH}/{unpacked}/{name}")) == head + line(here / name)


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize("path", [f"{SCRATCH}/code/other.py", "/usr/lib/python3.12/site-packages/zmumu.py", "<string>"])
def test_what_is_no_copy_of_a_file_here_keeps_its_name(path: str) -> None:
    assert with_users_files(line(path)) == line(path)


def test_a_file_that_is_there_is_meant_itself(here: Path) -> None:
    mine = here / "code" / "zmumu.py"
    mine.parent.mkdir()
    mine.write_text("")
    assert with_users_files(line(mine)) == line(mine)


SOURCE = """\
class Selection:
    def process(self, events):
        first = [muon for muon in events]
        return (lambda muons: muons / 0)(first)


def helper(events):
    return 1 / 0
"""


def by_value(number: int, name: str) -> str:
    return f'  File "<dynamic-code>", line {number}, in {name}\n'


@pytest.fixture
def pickled_by_value(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The file of a module whose code travels."""
    path = tmp_path / "analysis_of_this_test.py"
    path.write_text(SOURCE)
    monkeypatch.syspath_prepend(tmp_path)
    module = importlib.import_module(path.stem)
    cloudpickle.register_pickle_by_value(module)
    yield path
    cloudpickle.unregister_pickle_by_value(module)
    del sys.modules[path.stem]


def test_a_file_that_was_edited_meanwhile_is_read_anew(pickled_by_value: Path) -> None:
    # Modules of other tests have a process(), too.
    source = "def of_this_test():\n    return 1 / 0\n"
    for before in ("", "\n\n"):
        pickled_by_value.write_text(before + source)
        number = 2 + len(before)
        assert "return 1 / 0" in with_users_files(by_value(number, "of_this_test"))
        assert with_users_files(by_value(number + 1, "of_this_test")) == by_value(number + 1, "of_this_test")


@pytest.mark.parametrize(
    ("number", "name", "source"),
    [
        (4, "process", "return (lambda muons: muons / 0)(first)"),
        (4, "<lambda>", "return (lambda muons: muons / 0)(first)"),
        (8, "helper", "return 1 / 0"),
    ],
)
def test_code_that_travelled_by_value_is_called_by_its_file_and_shown(
    pickled_by_value: Path, number: int, name: str, source: str
) -> None:
    shown = f'  File "{pickled_by_value}", line {number}, in {name}\n    {source}\n'
    assert with_users_files(by_value(number, name)) == shown


@pytest.mark.usefixtures("pickled_by_value")
@pytest.mark.parametrize(("number", "name"), [(8, "process"), (3, "other"), (80, "helper")])
def test_code_of_no_file_that_is_known_keeps_its_name(number: int, name: str) -> None:
    assert with_users_files(by_value(number, name)) == by_value(number, name)
