"""Code that is sent to a worker is importable there, is that of this run, and is taken away."""

from __future__ import annotations

import importlib
import io
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cloudpickle
import pytest

from pocket_exec.executors.code_plugin import CodePlugin, archive, shared


class Worker:
    """As much of a Dask worker as a plugin sees."""

    def __init__(self, directory: Path) -> None:
        directory.mkdir()
        self.local_directory = str(directory)


@pytest.fixture
def worker(tmp_path: Path) -> Worker:
    return Worker(tmp_path / "worker")


@pytest.fixture(autouse=True)
def _as_it_was() -> Iterator[None]:
    path, modules = list(sys.path), dict(sys.modules)
    yield
    # A plugin takes away what came out of its archive, and the copy of this project that these tests run is not.
    left = {name for name in sys.modules if name.startswith("physics_of_the_test")}
    sys.path[:] = path
    sys.modules.update(modules)
    assert left == set()


def code(directory: Path, number: int) -> Path:
    directory.mkdir(exist_ok=True)
    (directory / "physics_of_the_test.py").write_text(f"number = {number}\n")
    return directory


def number() -> int:
    importlib.invalidate_caches()
    found: int = importlib.import_module("physics_of_the_test").number
    return found


def names(plugin: CodePlugin) -> list[str]:
    return zipfile.ZipFile(io.BytesIO(plugin.data)).namelist()


def sent(plugin: CodePlugin) -> Any:
    """Return the plugin as a worker gets it."""
    return cloudpickle.loads(cloudpickle.dumps(plugin))


def test_an_archive_has_this_project_and_the_users_modules(tmp_path: Path) -> None:
    found = names(archive([code(tmp_path / "code", 1)]))
    assert "physics_of_the_test.py" in found
    assert "pocket_exec/engine/remote.py" in found
    assert not [name for name in found if name.endswith(".pyc")]


def test_the_same_code_is_the_same_archive_wherever_and_whenever_it_lies(tmp_path: Path) -> None:
    one, two = archive([code(tmp_path / "one", 1)]), archive([code(tmp_path / "two", 1)])
    other = archive([code(tmp_path / "three", 2)])
    assert one.data == two.data
    assert one.digest == two.digest != other.digest
    assert one.name != two.name


def test_code_is_importable_while_it_is_there_and_nothing_is_left(tmp_path: Path, worker: Worker) -> None:
    path = list(sys.path)
    plugin = sent(archive([code(tmp_path / "code", 7)]))
    plugin.setup(worker)
    assert number() == 7
    assert Path(sys.modules["physics_of_the_test"].__file__ or "").is_relative_to(worker.local_directory)
    plugin.teardown(worker)
    assert sys.path == path
    assert "physics_of_the_test" not in sys.modules
    assert list(Path(worker.local_directory).iterdir()) == []


def test_a_plugin_that_was_never_set_up_takes_nothing_away(tmp_path: Path, worker: Worker) -> None:
    path = list(sys.path)
    sent(archive([code(tmp_path / "code", 7)])).teardown(worker)
    assert sys.path == path


def test_two_runs_of_the_same_code_share_it_until_the_last_one_ends(tmp_path: Path, worker: Worker) -> None:
    one, two = (sent(archive([code(tmp_path / "code", 7)])) for _ in range(2))
    one.setup(worker)
    module = importlib.import_module("physics_of_the_test")
    two.setup(worker)
    one.teardown(worker)
    assert importlib.import_module("physics_of_the_test") is module
    two.teardown(worker)
    assert "physics_of_the_test" not in sys.modules
    assert list(Path(worker.local_directory).iterdir()) == []


def test_code_that_a_killed_client_has_left_is_not_imported_in_the_place_of_the_new(
    tmp_path: Path, worker: Worker
) -> None:
    left = sent(archive([code(tmp_path / "code", 1)]))
    left.setup(worker)
    assert number() == 1
    new = sent(archive([code(tmp_path / "code", 2)]))
    new.setup(worker)
    assert number() == 2
    left.teardown(worker)
    assert number() == 2
    new.teardown(worker)
    assert list(Path(worker.local_directory).iterdir()) == []


def test_shared_directories_come_first_and_go(tmp_path: Path, worker: Worker) -> None:
    path = list(sys.path)
    plugin = shared([tmp_path / "a", tmp_path / "b"])
    assert plugin is not None
    plugin.setup(worker)
    assert sys.path == [str(tmp_path / "a"), str(tmp_path / "b"), *path]
    plugin.teardown(worker)
    assert sys.path == path


def test_a_path_that_was_there_before_stays(tmp_path: Path, worker: Worker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", [*sys.path, str(tmp_path)])
    plugin = shared([tmp_path])
    assert plugin is not None
    plugin.setup(worker)
    plugin.teardown(worker)
    assert str(tmp_path) in sys.path


def test_nothing_to_share_is_no_plugin() -> None:
    assert shared([]) is None
