"""The code archive holds what workers import, is the same bytes for the same code, and is no data transfer."""

from __future__ import annotations

import io
import zipfile
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path

import pytest

import pocket_exec
from pocket_exec.errors import ExecutorError
from pocket_exec.worker.archive import code_archive, modules_in


def made(directory: Path, *names: str) -> Path:
    for name in names:
        (directory / name).parent.mkdir(parents=True, exist_ok=True)
        (directory / name).write_text(f"# {name}\n")
    return directory


def names(directories: list[Path]) -> list[str]:
    return zipfile.ZipFile(io.BytesIO(code_archive(directories)[0])).namelist()


def found(directory: Path) -> list[str]:
    return [path.relative_to(directory).as_posix() for path in modules_in(directory)]


def test_modules_and_packages_are_found_with_their_data(tmp_path: Path) -> None:
    made(tmp_path, "a.py", "package/__init__.py", "package/data.json", "package/deep/b.py", "package/__pycache__/a.pyc")
    made(tmp_path, "results/output.coffea", "notes.txt", "data.root")
    (tmp_path / "gone.py").symlink_to(tmp_path / "nowhere.py")
    assert found(tmp_path) == ["a.py", "package/__init__.py", "package/data.json", "package/deep/b.py"]


def test_a_compiled_module_beside_cfg_py_is_found(tmp_path: Path) -> None:
    made(tmp_path, f"fast{EXTENSION_SUFFIXES[0]}", "liquid.so", "kernel.cpp")
    assert found(tmp_path) == [f"fast{EXTENSION_SUFFIXES[0]}", "liquid.so"]


def test_of_a_directory_without_init_only_modules_are_taken(tmp_path: Path) -> None:
    made(
        tmp_path, "cuts/muons.py", "cuts/table.root", "cuts/deep/jets.py", "cuts/package/__init__.py", "cuts/package/d"
    )
    made(tmp_path, "not-a-name/a.py", "plots/a/b/c/far.py", "venv/pyvenv.cfg", "venv/a.py", "cuts/__pycache__/a.pyc")
    assert found(tmp_path) == ["cuts/deep/jets.py", "cuts/muons.py", "cuts/package/__init__.py", "cuts/package/d"]


def test_a_link_to_a_directory_without_init_is_not_followed(tmp_path: Path) -> None:
    made(tmp_path, "elsewhere/a.py")
    code = made(tmp_path / "code", "b.py")
    (code / "back").symlink_to(tmp_path / "elsewhere")
    assert found(code) == ["b.py"]


def test_an_archive_is_a_program_with_this_project_and_the_users_modules(tmp_path: Path) -> None:
    inside = names([made(tmp_path, "physics.py", "__main__.py")])
    assert {"physics.py", "pocket_exec/engine/remote.py", "pocket_exec/worker/entry.py", "__main__.py"} <= set(inside)
    assert not [name for name in inside if name.endswith(".pyc")]
    program = zipfile.ZipFile(io.BytesIO(code_archive([tmp_path])[0])).read("__main__.py")
    assert program == Path(pocket_exec.__file__).with_name("worker").joinpath("doorkeeper.py").read_bytes()


def test_the_program_at_the_archives_door_can_be_read_by_old_pythons() -> None:
    text = Path(pocket_exec.__file__).with_name("worker").joinpath("doorkeeper.py").read_text()
    assert not [new for new in ('f"', "import annotations", "def ", "print(", "->", ":=") if new in text]


def test_the_same_code_is_the_same_archive_wherever_and_whenever_it_lies(tmp_path: Path) -> None:
    one, two = (made(tmp_path / where, "a.py", "b/__init__.py") for where in ("one", "two"))
    other = made(tmp_path / "three", "a.py")
    assert code_archive([one]) == code_archive([two])
    assert code_archive([one])[1] != code_archive([other])[1]


def test_the_first_directory_wins_as_in_an_import_path(tmp_path: Path) -> None:
    first, second = made(tmp_path / "first"), made(tmp_path / "second")
    for directory in (first, second):
        directory.mkdir()
        (directory / "a.py").write_text(directory.name)
    data, _ = code_archive([first, second])
    assert zipfile.ZipFile(io.BytesIO(data)).read("a.py") == b"first"


def test_a_directory_with_this_project_in_it_is_archived_once() -> None:
    inside = names([Path(pocket_exec.__file__).parents[1]])
    assert len(inside) == len(set(inside))


def test_hostile_names_are_archived(hostile: str, tmp_path: Path) -> None:
    assert f"{hostile}.py" in names([made(tmp_path, f"{hostile}.py")])


def test_modules_too_large_to_be_code_are_refused_and_the_largest_named(tmp_path: Path) -> None:
    made(tmp_path, "package/__init__.py", "a.py")
    with (tmp_path / "package" / "weights.bin").open("wb") as out:
        out.truncate(62_000_000)
    with pytest.raises(ExecutorError, match=r"are 62 MB, more than the 50 MB .*package/weights\.bin \(62 MB\)"):
        code_archive([tmp_path])


def test_a_compiled_module_counts_and_is_named(tmp_path: Path) -> None:
    with (tmp_path / f"fast{EXTENSION_SUFFIXES[0]}").open("wb") as out:
        out.truncate(51_000_000)
    with pytest.raises(ExecutorError, match=r"fast\.\S+so \(51 MB\)"):
        code_archive([tmp_path])
