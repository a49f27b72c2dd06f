"""Every executor gives the same result, to the bit."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from coffea.util import load

import pocket_exec

HERE = Path(__file__).parent / "analyses"


@pytest.fixture(scope="module", autouse=True)
def _importable() -> Iterator[None]:
    sys.path.insert(0, str(HERE))
    yield
    sys.path.remove(str(HERE))
    sys.modules.pop("everything", None)


@pytest.fixture(scope="module")
def fileset(zmumu_files: dict[str, list[Path]]) -> dict[str, Any]:
    return {name: {"files": [str(file) for file in files]} for name, files in zmumu_files.items()}


def outcome(fileset: Any, executor: str, scaleout: int, chunksize: int = 150, **more: Any) -> Any:
    from everything import Everything, exact  # type: ignore[import-not-found]

    result = pocket_exec.run(fileset, Everything(), executor=executor, scaleout=scaleout, chunksize=chunksize, **more)
    return exact(result.output)


@pytest.fixture(scope="module")
def reference(fileset: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Any:
    directory = tmp_path_factory.mktemp("reference")
    exact_result = outcome(fileset, "iterative", 1, outputdir=directory)
    from everything import exact

    assert exact(load(directory / "output_all.coffea")) == exact_result
    return exact_result


@pytest.mark.parametrize("executor", ["iterative", "futures", "dask"])
@pytest.mark.parametrize("scaleout", [1, 2, 3])
def test_the_result_is_the_same_to_the_bit(
    fileset: dict[str, Any], reference: Any, executor: str, scaleout: int
) -> None:
    assert outcome(fileset, executor, scaleout) == reference


def test_another_cut_into_chunks_gives_other_last_bits_so_the_test_can_fail(
    fileset: dict[str, Any], reference: Any
) -> None:
    assert outcome(fileset, "iterative", 1, chunksize=100) != reference


def test_real_nanoaod_gives_the_same_bits(nanoaod_dir: Path) -> None:
    files = {path.stem: [str(path)] for path in sorted(nanoaod_dir.glob("nano_*.root"))}
    one = outcome(files, "iterative", 1, chunksize=7)
    assert outcome(files, "futures", 2, chunksize=7) == one
