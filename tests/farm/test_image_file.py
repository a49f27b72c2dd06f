"""An image that is one file: seen by the workers, or copied to them; the same bits in every way."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.farm.test_lxplus import until_empty
from tests.farm.zmumu_runs import Zmumu, analysis, samples
from tests.farm_build.farm import Farm

pytestmark = pytest.mark.farm


@pytest.fixture(scope="module")
def zmumu(farm: Farm, zmumu_files: dict[str, list[Path]]) -> Iterator[Zmumu]:
    """The analysis, and an image file beside it, where client and workers see them."""
    made = analysis(farm, farm.home / "zmumu-image-file", samples(zmumu_files))
    image_file(farm, made.directory / "worker.sif")
    yield made
    shutil.rmtree(made.directory)


def image_file(farm: Farm, file: Path) -> None:
    """Make a file of the image that fits; by root, as some of its files are nobody else's to read."""
    fast = ["--mksquashfs-args", "-comp gzip -Xcompression-level 1"]
    farm.run(["apptainer", "build", *fast, file, farm.image], root=True, timeout_s=240)
    os.chown(file, farm.uid, farm.uid)


@pytest.mark.parametrize(
    ("executor", "flags"),
    [
        ("dask@htcondor", []),
        ("dask@htcondor", ["--container-runtime=site"]),
        ("dask@slurm", ["--queue=quick"]),
    ],
)
def test_workers_run_in_an_image_file_that_they_see(zmumu: Zmumu, executor: str, flags: list[str]) -> None:
    out = f"seen-{executor}-{len(flags)}"
    zmumu.run(out, executor, f"--worker-image={zmumu.directory / 'worker.sif'}", *flags)
    assert zmumu.same(out)


def test_an_image_file_travels_where_no_file_system_is_shared(
    zmumu: Zmumu, farm: Farm, zmumu_files: dict[str, list[Path]]
) -> None:
    far = analysis(farm, farm.unshared / farm.user / "zmumu-image-file", samples(zmumu_files))
    try:
        image = far.directory / "worker.sif"
        shutil.move(zmumu.directory / "worker.sif", image)
        flags = ["--shared-filesystem=false", "--transfer-files=data/*.root", "--container-runtime=site"]
        far.run("out", "dask@htcondor", *flags, f"--worker-image={image}")
        assert far.same("out")
        assert "transfer_container" not in far.run(
            "out", "dask@htcondor", *flags, f"--worker-image={image}", "--dry-run"
        )
        until_empty(farm)
    finally:
        shutil.rmtree(far.directory)
