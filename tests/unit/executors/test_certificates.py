"""The certificates of a run are private files, whatever the umask, and are valid as long as a job may wait."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography.x509 import load_pem_x509_certificate

from pocket_exec.executors.certificates import run_certificates, write_certificates, write_private


def test_each_file_is_for_its_owner_alone(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        files = write_certificates(run_certificates(), tmp_path)
    finally:
        os.umask(before)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["ca.pem", "cert.pem", "key.pem"]
    assert {path.stat().st_mode & 0o777 for path in files} == {0o600}
    assert b"PRIVATE KEY" in files.key.read_bytes()
    assert b"PRIVATE KEY" not in files.ca.read_bytes() + files.cert.read_bytes()


def test_they_outlive_any_queue_and_are_made_anew_for_each_run(tmp_path: Path) -> None:
    (tmp_path / "one").mkdir()
    (tmp_path / "two").mkdir()
    one, two = (write_certificates(run_certificates(), tmp_path / name) for name in ("one", "two"))
    assert one.key.read_bytes() != two.key.read_bytes()
    certificate = load_pem_x509_certificate(one.cert.read_bytes())
    assert certificate.not_valid_after_utc - datetime.now(UTC) > timedelta(days=60)


def test_a_private_file_follows_no_link_and_replaces_nothing(tmp_path: Path) -> None:
    (tmp_path / "theirs").write_text("theirs")
    (tmp_path / "key.pem").symlink_to(tmp_path / "theirs")
    with pytest.raises(FileExistsError):
        write_private(tmp_path / "key.pem", "secret")
    assert (tmp_path / "theirs").read_text() == "theirs"
