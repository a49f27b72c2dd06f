"""Runs the Z -> mumu example on NanoAOD through the farm, as a user there does, and reads what comes of it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from coffea.util import load

from tests.contract.analyses.everything import exact
from tests.farm_build.farm import Farm

NANOAOD = "POCKET_EXEC_NANOAOD"
CHECKOUT = Path(__file__).parents[2]
EXAMPLE = CHECKOUT / "examples" / "zmumu"
RUNNER = ("-c", "import sys; from pocket_exec.cli import runner; sys.exit(runner())")
USUAL = ("-s", "2", "--mem-per-worker=1GB", "--poll-interval=2", "--worker-timeout=150", "--scheduler-host=10.66.0.1")
"""The address is the farm's; a worker that takes longer than this is none."""
LXPLUS = "lxplus901.farm.test"
T3 = "t3ui01.farm.test"
NO_KERBEROS = "--htcondor-settings={MY.SendCredential: null}"
"""The farm has none."""


@dataclass(frozen=True)
class Zmumu:
    """The analysis in a directory of the farm, its input beside it, and the result of ``iterative``."""

    farm: Farm
    directory: Path
    python: Path
    hostname: str | None = None
    environment: Mapping[str, str] = field(default_factory=dict)

    def words(self, out: str, executor: str, flags: Sequence[str]) -> list[str | Path]:
        """Return the command line of a run."""
        words: list[str | Path] = [self.python, *RUNNER, "--cfg", self.directory / "cfg_nanoaod.py"]
        return [*words, "-o", self.directory / out, "-e", executor, *flags]

    def popen(self, out: str, executor: str, *flags: str) -> subprocess.Popen[str]:
        """Start a run; its pid is its own."""
        words = self.words(out, executor, [*USUAL, *flags])
        pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
        return self.farm.popen(words, cwd=self.directory, hostname=self.hostname, env=self._all(), **pipes)

    def run(self, out: str, executor: str, *flags: str, status: int = 0, usual: Sequence[str] = USUAL) -> str:
        """Run to the end, which must have this status, and return what was printed."""
        done = self.farm.run(
            self.words(out, executor, [*usual, *flags]),
            cwd=self.directory,
            hostname=self.hostname,
            env=self._all(),
            check=False,
            timeout_s=300,
        )
        said = done.stdout + done.stderr
        assert done.returncode == status, said
        assert "Traceback" not in said
        return said

    def same(self, out: str) -> bool:
        """Whether a result is that of ``iterative``, to the bit, and the run has left nothing but results and logs."""
        directory = self.directory / out
        assert not [path for path in directory.rglob("*") if path.suffix in (".pem", ".zip") or path.name == "private"]
        assert not [*directory.rglob("jobs.json")]
        return bool(self.result(out) == self.result("iterative"))

    def result(self, out: str) -> Any:
        """Return a result in a form that is equal only where all bits are."""
        return exact(load(self.directory / out / "output_all.coffea"))

    def record(self, out: str) -> dict[str, Any]:
        """Return what the run has written down of itself."""
        read: dict[str, Any] = json.loads((self.directory / out / "run.json").read_text())
        return read

    def knows_its_jobs(self, out: str) -> bool:
        """Whether a run has written down two jobs: then no submission is under way."""
        found = list((self.directory / out / "log").rglob("jobs.json"))
        return any(len(json.loads(path.read_text())["jobs"]) == 2 for path in found)

    def _all(self) -> dict[str, str]:
        data = {NANOAOD: f"{self.directory / 'data'}", "XDG_CACHE_HOME": f"{self.directory / 'cache'}"}
        return {**data, **self.environment}


def samples(generated: Mapping[str, Sequence[Path]]) -> list[Path]:
    """Return the real NanoAOD files where this session has some, else the generated ones in the same layout."""
    real = os.environ.get(NANOAOD, "")
    return sorted(Path(real).glob("*.root")) if real else [path for files in generated.values() for path in files[:1]]


def analysis(farm: Farm, directory: Path, files: Sequence[Path], hostname: str | None = None) -> Zmumu:
    """Put the analysis and its input into a directory, and run it there with ``iterative``."""
    shutil.rmtree(directory, ignore_errors=True)
    (directory / "data").mkdir(parents=True)
    for path in EXAMPLE.glob("*.py"):
        shutil.copy(path, directory)
    for path in files:
        shutil.copy(path, directory / "data")
    for path in (directory, *directory.rglob("*")):
        os.chown(path, farm.uid, farm.uid)
    made = Zmumu(farm, directory, farm.python, hostname)
    made.run("iterative", "iterative", usual=())
    return made


def movable_python(farm: Farm, directory: Path) -> Path:
    """Return the Python of a virtual environment of which every part can be seen in an image.

    That of this session may have its home where an image lets nobody look.
    """
    home = Path(os.path.realpath(farm.python)).parent.parent
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    if not (home / "lib" / version / "os.py").is_file():
        pytest.skip(f"{home} is not the home of a Python of its own")
    ignored = shutil.ignore_patterns("test", "tests", "site-packages", "__pycache__", "idlelib", "config-*", "*.a")
    shutil.copytree(home / "lib" / version, directory / "python" / "lib" / version, ignore=ignored)
    for path in (home / "lib").glob("libpython*.so*"):
        shutil.copy(path, directory / "python" / "lib", follow_symlinks=False)
    (directory / "python" / "bin").mkdir()
    shutil.copy(home / "bin" / version, directory / "python" / "bin")
    made = directory / "venv"
    farm.run([directory / "python" / "bin" / version, "-m", "venv", "--without-pip", made], root=True)
    packages = made / "lib" / version / "site-packages"
    (packages / "others.pth").write_text(f"{Path(farm.holding.venv) / 'lib' / version / 'site-packages'}\n{CHECKOUT}\n")
    return made / "bin" / "python"
