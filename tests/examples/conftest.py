"""The examples as a user has them: their directories on the path, a small input, what coffea's Runner makes of it."""

from __future__ import annotations

import importlib.util
import sys
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

EXAMPLES = Path(__file__).parent.parent.parent / "examples"
LUMINOSITY_PB = 4.0
EVENTS = 40_000


@pytest.fixture(scope="session")
def load() -> Iterator[Callable[[str], ModuleType]]:
    """Give a function that imports ``zmumu/cfg.py`` and the like, as if started in its directory."""
    before = list(sys.path)
    modules = set(sys.modules)

    def load_example(name: str) -> ModuleType:
        path = EXAMPLES / name
        if str(path.parent) not in sys.path:
            sys.path.insert(0, str(path.parent))
        spec = importlib.util.spec_from_file_location(f"example_{path.parent.name}_{path.stem}", path)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[spec.name] = module  # where `dataclass` looks for it
        spec.loader.exec_module(module)
        return module

    yield load_example
    sys.path[:] = before
    theirs = {path.stem for path in EXAMPLES.glob("*/*.py")}
    for name in set(sys.modules) - modules:
        if name in theirs or name.startswith("example_"):
            del sys.modules[name]


@pytest.fixture(scope="session")
def generated(load: Callable[[str], ModuleType], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Generate an input of moderate size: enough events for a peak."""
    directory = tmp_path_factory.mktemp("generated")
    load("zmumu/generate.py").generate(directory, events=EVENTS, files=4, seed=7, luminosity_pb=LUMINOSITY_PB)
    return directory


@pytest.fixture(scope="session")
def cfg(load: Callable[[str], ModuleType], generated: Path) -> ModuleType:
    """Load examples/zmumu/cfg.py on that input."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("POCKET_EXEC_ZMUMU_DATA", str(generated))
        return load("zmumu/cfg.py")


@pytest.fixture(scope="session")
def output(cfg: ModuleType) -> dict[str, Any]:
    """Run that cfg.py with coffea's own Runner."""
    return run_with_coffea(cfg.fileset, cfg.processor, cfg.schema)


def run_with_coffea(fileset: Any, processor: Any, schema: Any) -> dict[str, Any]:
    """Run coffea's IterativeExecutor; a warning is an error, as everywhere in the tests."""
    from coffea.processor import IterativeExecutor, Runner

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        # The files of CMS for these tests are skims of other versions of NanoAOD.
        warnings.filterwarnings("ignore", "Missing cross-reference|Branch Photon_", RuntimeWarning)
        runner = Runner(executor=IterativeExecutor(status=False), schema=schema, chunksize=15_000)
        result: dict[str, Any] = runner(fileset, processor)
    return result
