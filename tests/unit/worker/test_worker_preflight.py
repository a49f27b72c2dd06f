"""The preflight's looks that need no network."""

from __future__ import annotations

import importlib.metadata
import stat
from dataclasses import replace
from pathlib import Path

import pytest

from pocket_exec.worker.entry import read_settings
from pocket_exec.worker.preflight import (
    WorkerFaultError,
    check_files,
    check_modules,
    compare_versions,
    private_directory,
)
from pocket_exec.worker.settings import TLSFiles, WorkerSettings
from pocket_exec.worker.statuses import WorkerExit

SETTINGS = WorkerSettings("tls://host:1", 1, 10**9, 60, {})
DASK = importlib.metadata.version("dask")


def test_equal_versions_pass_and_what_need_not_be_equal_is_told() -> None:
    assert compare_versions({"python": "2.7", "dask": DASK}) == ""
    numpy = importlib.metadata.version("numpy")
    assert compare_versions({"dask": DASK, "numpy": "1.0"}) == f"numpy {numpy} (1.0 where the run was started)"


def test_a_package_that_is_missing_is_told_as_such() -> None:
    assert compare_versions({"no-such-package": "1"}) == "no no-such-package (1 where the run was started)"


def test_another_version_of_what_decides_is_a_fault() -> None:
    with pytest.raises(WorkerFaultError, match=rf"has dask {DASK} \(1\.0 where the run was started\)$") as raised:
        compare_versions({"dask": "1.0", "numpy": "1.0"})
    assert raised.value.status is WorkerExit.VERSIONS


def test_modules_are_looked_for_and_not_imported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "module_that_fails_at_import.py").write_text("raise SystemExit\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    check_modules(("json", "module_that_fails_at_import"))
    with pytest.raises(WorkerFaultError, match="has no module not_there, nor_there"):
        check_modules(("json", "not_there", "nor_there"))


def test_certificates_must_be_readable(tmp_path: Path) -> None:
    (tmp_path / "ca").touch()
    check_files(SETTINGS)
    with pytest.raises(WorkerFaultError, match=r"the certificate .*cert cannot be read here"):
        check_files(replace(SETTINGS, tls=TLSFiles(*(str(tmp_path / name) for name in ("ca", "cert", "key")))))


def test_certificates_without_a_directory_are_beside_the_settings(tmp_path: Path) -> None:
    file = tmp_path / "worker.json"
    file.write_text(replace(SETTINGS, tls=TLSFiles("ca.pem", "/elsewhere/cert.pem", "key.pem")).to_json())
    assert read_settings(file).tls == TLSFiles(f"{tmp_path}/ca.pem", "/elsewhere/cert.pem", f"{tmp_path}/key.pem")


def test_a_workers_own_directory_is_private_and_made_where_it_is_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("USER", "physicist")
    made = Path(private_directory(replace(SETTINGS, local_directory=f"{tmp_path}/$USER/a b/${{USER}}s"), "w-1"))
    assert made.parent == tmp_path / "physicist" / "a b" / "physicists"
    assert made.name.startswith("w-1-")
    assert stat.S_IMODE(made.stat().st_mode) == 0o700


def test_a_scratch_directory_that_is_named_but_not_there_is_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("_CONDOR_SCRATCH_DIR", str(tmp_path / "not there"))
    monkeypatch.setenv("SLURM_TMPDIR", str(tmp_path))
    assert Path(private_directory(SETTINGS, "w-1")).parent == tmp_path


def test_a_directory_that_cannot_be_made_is_a_fault() -> None:
    with pytest.raises(WorkerFaultError, match=r"/dev/null/x: Not a directory; see local-directory"):
        private_directory(replace(SETTINGS, local_directory="/dev/null/x"), "w-1")
