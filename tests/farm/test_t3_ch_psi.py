"""Z -> mumu on a cluster like PSI's: the same bits on plain machines and in the image, nothing left behind."""

from __future__ import annotations

import os
import shutil
import signal
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.farm.zmumu_runs import T3, Zmumu, analysis, movable_python, samples
from tests.farm_build.farm import Farm

pytestmark = pytest.mark.farm


@pytest.fixture(scope="module")
def zmumu(farm: Farm, zmumu_files: dict[str, list[Path]]) -> Iterator[Zmumu]:
    """The analysis where client and workers see it."""
    made = analysis(farm, farm.home / "zmumu-t3", samples(zmumu_files), T3)
    yield made
    shutil.rmtree(made.directory)


@pytest.mark.parametrize(
    ("executor", "flags"),
    [("dask@T3_CH_PSI", []), ("dask@T3", ["--worker-image=auto"]), ("dask@slurm", ["--queue=quick"])],
)
def test_the_result_is_the_same_to_the_bit(zmumu: Zmumu, executor: str, flags: list[str]) -> None:
    zmumu.run(executor, executor, *flags)
    assert zmumu.same(executor)


@pytest.mark.parametrize("image", ["plain", "in an image"])
def test_a_local_virtual_environment_is_that_of_the_workers(
    zmumu: Zmumu, farm: Farm, image: str, shared_dir: Path
) -> None:
    flags = ["--local-virtualenv"]
    if image == "in an image":
        checkout = Path(__file__).parents[2]
        flags += [
            "--worker-image=auto",
            f"--mounts={{{farm.holding.venv}: {farm.holding.venv}, {checkout}: {checkout}}}",
        ]
    out = f"virtualenv-{image.replace(' ', '-')}"
    replace(zmumu, python=movable_python(farm, shared_dir)).run(out, "dask@T3", *flags)
    assert zmumu.same(out)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGKILL])
def test_a_client_that_is_killed_leaves_nothing_in_the_queue(zmumu: Zmumu, farm: Farm, number: signal.Signals) -> None:
    out = f"killed-{number.name}"
    with zmumu.popen(out, "dask@T3") as process:
        end = time.monotonic() + 60
        while len(farm.slurm_jobs()) < 2 or not zmumu.knows_its_jobs(out):
            assert process.poll() is None
            assert time.monotonic() < end
            time.sleep(0.2)
        os.kill(process.pid, number)
        killed = time.monotonic()
        process.communicate(timeout=120)
        # One that may still close does so first, in its own time.
        gone = killed if number == signal.SIGKILL else time.monotonic()
    while farm.slurm_jobs():
        assert time.monotonic() - gone < 30
        time.sleep(0.5)


def test_what_slurm_refuses_is_told_in_its_words(zmumu: Zmumu, farm: Farm) -> None:
    said = zmumu.run("memory", "dask@T3", "--mem-per-worker=900GB", status=4)
    assert "no job could be submitted: `sbatch --parsable" in said
    assert "Memory specification can not be satisfied" in said
    said = zmumu.run("walltime", "dask@T3", "--walltime=30d", status=4)
    assert "walltime is longer than the partition allows" in said
    said = zmumu.run("image", "dask@T3", f"--worker-image={farm.image}", "--container-runtime=site", status=3)
    assert "slurm starts no images by itself here" in said
