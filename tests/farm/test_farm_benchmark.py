"""The benchmark of workers as jobs: that it runs and tells its rows; what it measures says nothing here."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [pytest.mark.farm, pytest.mark.timeout(560)]

CHECKOUT = Path(__file__).parents[2]


@pytest.mark.usefixtures("farm")
def test_the_benchmark_of_workers_as_jobs_tells_its_rows() -> None:
    words = [sys.executable, f"{CHECKOUT / 'benchmarks/farm.py'}", "slurm", "--workers", "2", "--rounds", "1"]
    done = subprocess.run(words, capture_output=True, text=True, timeout=500, check=False)
    # 1: a goal is missed.
    assert done.returncode in (0, 1), done.stderr
    told = done.stdout
    assert "sbatch processes for 2 workers" in told
    for what in ("all jobs' ids are known", "the first worker", "the last worker", "it returns", "the queue is empty"):
        assert "dask@slurm, 2 workers: " in told
        assert what in told
