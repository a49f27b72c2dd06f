"""What answers fast imports nothing slow."""

from __future__ import annotations

import json
import pkgutil
import subprocess
import sys
from typing import Any

import pytest

import pocket_exec

SLOW = {"awkward", "coffea", "dask", "dask_jobqueue", "distributed", "hist", "loky", "numpy", "pandas", "uproot"}

# What answers without a run; `cli.run` is imported when one starts.
LIGHT_ROOMS = ("pocket_exec.options", "pocket_exec.analysis", "pocket_exec.cli")
LIGHT = ("pocket_exec", "pocket_exec.executors", "pocket_exec.executors.registry", "pocket_exec.runs.record")
NOT_LIGHT = {"pocket_exec.cli.run"}

_IMPORT_EACH = """
import importlib, json, sys
modules, slow = json.loads(sys.argv[1])
found, seen = {}, set()
for module in modules:
    importlib.import_module(module)
    loaded = {name for name in slow if name in sys.modules}
    if loaded - seen:
        found[module] = sorted(loaded - seen)
    seen |= loaded
print(json.dumps(found))
"""


_ANSWER = """
import json, sys
import pocket_exec.cli
slow, door, *sys.argv = json.loads(sys.argv[1])
try:
    getattr(pocket_exec.cli, door)()
except SystemExit as end:
    assert not end.code, end.code
print(json.dumps([name for name in slow if name in sys.modules]))
"""


def _light_modules() -> list[str]:
    names = [module.name for module in pkgutil.walk_packages(pocket_exec.__path__, "pocket_exec.")]
    rooms = tuple(f"{room}." for room in LIGHT_ROOMS)
    return [*LIGHT, *(name for name in names if name.startswith(rooms) and name not in NOT_LIGHT)]


def _slow_imports(*modules: str) -> dict[str, list[str]]:
    """Import ``modules`` in turn in a fresh interpreter; return which slow packages each of them brought."""
    found: dict[str, list[str]] = _said(_IMPORT_EACH, [modules, sorted(SLOW)])
    return found


def _said(program: str, given: object) -> Any:
    """Run ``program`` in a fresh interpreter and return what it says in its last line."""
    done = subprocess.run(
        [sys.executable, "-c", program, json.dumps(given)], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_what_answers_without_a_run_imports_nothing_slow() -> None:
    assert _slow_imports(*_light_modules()) == {}


@pytest.mark.parametrize("room", [*LIGHT, *LIGHT_ROOMS])
def test_a_light_room_is_light_by_itself(room: str) -> None:
    assert _slow_imports(room) == {}


@pytest.mark.parametrize(
    ("door", "words"),
    [
        ("runner", ["--help"]),
        ("runner", ["--version"]),
        ("main", ["sites"]),
        ("main", ["options", "iterative"]),
        ("main", ["options", "dask"]),
        ("main", ["options", "dask@lxplus"]),
        ("main", ["options", "dask@lxplus", "--json-schema"]),
        ("main", ["completion", "bash"]),
    ],
)
def test_a_question_is_answered_without_a_slow_import(door: str, words: list[str]) -> None:
    assert _said(_ANSWER, [sorted(SLOW), door, door, *words]) == []


@pytest.mark.parametrize(("door", "words"), [("runner", ["--help"]), ("main", ["sites"])])
def test_flags_and_sites_are_named_without_a_model_of_options(door: str, words: list[str]) -> None:
    assert _said(_ANSWER, [["pocket_exec.options.base", "pydantic"], door, door, *words]) == []


def test_a_slow_import_would_be_seen() -> None:
    assert _slow_imports("json", "numpy") == {"numpy": ["numpy"]}
