"""The example of the documentation for a farm without a name here is one that a run takes."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.contract.command_line import cfg_of, runner

PAGE = Path(__file__).parents[2] / "docs" / "own_site.md"


@pytest.mark.parametrize("executor", ["dask@htcondor", "dask@slurm"])
def test_the_values_of_the_page_reach_the_job(
    executor: str, zmumu_files: dict[str, list[Path]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    found = re.search(r"```yaml\n(.*?)```", PAGE.read_text(), re.DOTALL)
    assert found is not None
    Path("my_farm.yaml").write_text(found[1])
    Path("cfg.py").write_text(cfg_of({"DY": {"files": [str(zmumu_files["DYToMuMu_M50"][0])]}}))
    ended = runner("--cfg", "cfg.py", "-o", "out", "-e", executor, "-ro", "my_farm.yaml", "--dry-run")
    assert ended.status == 0, ended.err
    values = {line.split()[0]: line for line in ended.out.splitlines() if line.endswith(tuple("0123456789"))}
    assert "my_farm.yaml, line 3" in values["walltime"]
    jobs = ended.out.partition("\n### ")[2]
    assert "source /opt/experiment/setup.sh" in jobs
    assert not Path("out").exists()
