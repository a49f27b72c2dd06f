"""The examples of the Python API and of an executor of one's own run as a user starts them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

import pocket_exec
from pocket_exec.errors import OptionsError
from pocket_exec.executors.custom import load_custom
from tests.examples.conftest import EXAMPLES


def python(*arguments: str, data: Path, cwd: Path) -> str:
    """Run Python in a directory of its own, with the input of these tests, and return what it prints."""
    environment = {**os.environ, "POCKET_EXEC_ZMUMU_DATA": str(data)}
    done = subprocess.run(
        [sys.executable, *arguments], cwd=cwd, env=environment, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "Warning" not in done.stderr
    return done.stdout


def test_the_script_gives_the_same_in_both_ways_and_leaves_results(generated: Path, tmp_path: Path) -> None:
    printed = python(str(EXAMPLES / "python_api" / "analyse.py"), "out", data=generated, cwd=tmp_path)
    assert "same histogram: True" in printed
    assert (tmp_path / "out" / "output_all.coffea").exists()


def test_the_cells_of_the_notebook_run_one_after_the_other(generated: Path, tmp_path: Path) -> None:
    notebook = json.loads((EXAMPLES / "python_api" / "notebook.ipynb").read_text())
    cells = ["".join(cell["source"]) for cell in notebook["cells"] if cell["cell_type"] == "code"]
    code = "\n".join([*cells[:-1], cells[-1].replace("output[", "print(output[", 1) + ")"])
    assert python("-c", code, data=generated, cwd=tmp_path).splitlines()[-1] == "True"


def test_an_executor_of_ones_own_runs_with_an_option_of_its_own(cfg: ModuleType, output: dict[str, Any]) -> None:
    result = pocket_exec.run(
        cfg.fileset,
        cfg.processor,
        schema=cfg.schema,
        executor="dask",
        custom_setup=EXAMPLES / "custom_executor" / "my_factory.py",
        scaleout=1,
        chunksize=15_000,
        niceness=3,
    )
    ours, coffeas = (result.output["mass"], output["mass"])
    assert np.allclose(ours.sum().value, coffeas.sum().value)


def test_the_option_of_ones_own_has_a_help_text_and_is_checked() -> None:
    model = load_custom(EXAMPLES / "custom_executor" / "my_factory.py").options_model
    assert model is not None
    assert model.option_help()["niceness"].startswith("How far the workers stand back")
    with (
        pytest.raises(OptionsError, match="niceness"),
        pocket_exec.open_executor("dask", custom_setup=EXAMPLES / "custom_executor" / "my_factory.py", niceness=20),
    ):
        pass
