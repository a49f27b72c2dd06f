"""What answers fast imports nothing slow."""

from __future__ import annotations

import json
import pkgutil
import subprocess
import sys

import pytest

import pocket_exec

SLOW = {"awkward", "coffea", "dask", "dask_jobqueue", "distributed", "hist", "loky", "numpy", "pandas", "uproot"}

# They are imported when a run starts, and cannot exist without coffea, Dask or loky.
MAY_BE_SLOW = ("pocket_exec.engine.", "pocket_exec.sites.")
MAY_BE_SLOW_MODULES = {f"pocket_exec.executors.{name}" for name in ("code_plugin", "dask", "dask_pool", "processes")}

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


def _light_modules() -> list[str]:
    names = ["pocket_exec", *(m.name for m in pkgutil.walk_packages(pocket_exec.__path__, "pocket_exec."))]
    return [name for name in names if not name.startswith(MAY_BE_SLOW) and name not in MAY_BE_SLOW_MODULES]


def _slow_imports(*modules: str) -> dict[str, list[str]]:
    """Import ``modules`` in turn in a fresh interpreter; return which slow packages each of them brought."""
    given = json.dumps([modules, sorted(SLOW)])
    done = subprocess.run(
        [sys.executable, "-c", _IMPORT_EACH, given], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, list[str]] = json.loads(done.stdout)
    return found


def test_modules_outside_the_engine_and_dask_s_factories_import_nothing_slow() -> None:
    assert _slow_imports(*_light_modules()) == {}


@pytest.mark.parametrize("door", ["pocket_exec", "pocket_exec.api", "pocket_exec.cli", "pocket_exec.executors"])
def test_a_door_of_the_package_opens_without_a_slow_import(door: str) -> None:
    assert _slow_imports(door) == {}


def test_a_slow_import_would_be_seen() -> None:
    assert _slow_imports("json", "numpy") == {"numpy": ["numpy"]}
