"""The grid proxy is looked at before a run needs it, and named for the time of the run only."""

from __future__ import annotations

import logging
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from pocket_exec.errors import ExecutorError
from pocket_exec.executors.proxy import OPTION, VARIABLE, proxy_named, worker_proxy
from pocket_exec.options.model import GeneralOptions


def certificate(valid: timedelta, key: ec.EllipticCurvePrivateKey) -> bytes:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "physicist")])
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=2))
        .not_valid_after(now + valid)
        .sign(key, hashes.SHA256())
        .public_bytes(serialization.Encoding.PEM)
    )


def proxy(path: Path, *valid: timedelta) -> Path:
    """Write a file as voms-proxy-init does: the proxy, its key, the chain above it."""
    key = ec.generate_private_key(ec.SECP256R1())
    secret = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
    )
    first, *chain = [certificate(each, key) for each in valid]
    path.write_bytes(b"".join([first, secret, *chain]))
    return path


def options(**given: Any) -> GeneralOptions:
    return GeneralOptions.model_construct(**{"voms_proxy": None, "ignore_grid_certificate": False, **given})


DAY = timedelta(days=1)


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)


def test_without_the_option_nothing_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, "/the/users/own")
    with proxy_named(options()):
        assert os.environ[VARIABLE] == "/the/users/own"


def test_a_good_proxy_is_named_for_the_time_of_the_run(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = proxy(tmp_path / "x509", DAY, 300 * DAY)
    with proxy_named(options(voms_proxy=str(path))):
        assert os.environ[VARIABLE] == str(path)
    assert VARIABLE not in os.environ
    assert caplog.text == ""


def test_the_users_own_proxy_is_named_again_afterwards(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, "/the/users/own")
    with (
        pytest.raises(ZeroDivisionError),
        proxy_named(options(voms_proxy=str(proxy(tmp_path / "x509", DAY)))),
    ):
        raise ZeroDivisionError
    assert os.environ[VARIABLE] == "/the/users/own"


@pytest.mark.parametrize("written", ["$WHERE/x509", "~/x509", "x509"])
def test_variables_home_and_current_directory_are_understood(
    written: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    proxy(tmp_path / "x509", DAY)
    monkeypatch.setenv("WHERE", str(tmp_path))
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    with proxy_named(options(voms_proxy=written)):
        assert os.environ[VARIABLE] == str(tmp_path / "x509")


def test_a_hostile_path_is_taken_as_it_is(hostile: str, tmp_path: Path) -> None:
    # What a variable's name looks like in it is one that is not set, and stays.
    path = proxy(tmp_path / hostile, DAY)
    with proxy_named(options(voms_proxy=str(path))):
        assert os.environ[VARIABLE] == str(path)


def refused(path: Path, **given: Any) -> str:
    with pytest.raises(ExecutorError) as caught, proxy_named(options(voms_proxy=str(path), **given)):
        pass
    assert VARIABLE not in os.environ
    return str(caught.value)


def test_a_proxy_that_is_missing_is_told_with_the_command_that_makes_one(tmp_path: Path) -> None:
    message = refused(tmp_path / "missing")
    assert f"voms-proxy {tmp_path / 'missing'}: No such file or directory" in message
    assert "voms-proxy-init" in message


def test_a_directory_is_no_proxy(tmp_path: Path) -> None:
    assert "Is a directory" in refused(tmp_path)


@pytest.mark.parametrize(
    "content", [b"", b"no certificate", b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"]
)
def test_what_is_no_certificate_is_no_proxy(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "x509").write_bytes(content)
    assert "not a proxy" in refused(tmp_path / "x509")


def test_a_proxy_that_has_expired_is_told_with_what_goes_on_without_a_look_at_it(tmp_path: Path) -> None:
    told = refused(proxy(tmp_path / "x509", -DAY, 300 * DAY))
    assert "it has expired; renew it with" in told
    assert told.endswith(", or go on all the same with --ignore-grid-certificate")


def test_a_chain_lasts_as_long_as_its_shortest_part(tmp_path: Path) -> None:
    assert "it has expired" in refused(proxy(tmp_path / "x509", DAY, -DAY))


def test_a_proxy_that_ends_soon_is_a_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with proxy_named(options(voms_proxy=str(proxy(tmp_path / "x509", timedelta(minutes=30, seconds=30))))):
        assert VARIABLE in os.environ
    assert [record.levelno for record in caplog.records] == [logging.WARNING]
    assert "ends in 30 minutes" in caplog.text


def test_ignore_grid_certificate_takes_any_proxy_on_trust(tmp_path: Path) -> None:
    for path in (tmp_path / "missing", proxy(tmp_path / "expired", -DAY)):
        with proxy_named(options(voms_proxy=str(path), ignore_grid_certificate=True)):
            assert os.environ[VARIABLE] == str(path)


def test_workers_get_the_proxy_of_the_option_before_that_of_the_variable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said, other = proxy(tmp_path / "said", DAY), proxy(tmp_path / "other", DAY)
    monkeypatch.setenv(VARIABLE, str(other))
    assert worker_proxy(options(voms_proxy=str(said)), None) == said
    assert worker_proxy(options(), None) == other


def test_a_proxy_that_ends_before_the_jobs_is_a_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = proxy(tmp_path / "x509", timedelta(hours=5, minutes=1))
    assert worker_proxy(options(voms_proxy=str(path)), 3 * 3600) == path
    assert caplog.text == ""
    assert worker_proxy(options(voms_proxy=str(path)), 8 * 3600) == path
    assert "ends in 5 hours, before a job that may run 8.0 hours; renew it with `voms-proxy-init" in caplog.text


def test_one_that_is_looked_at_with_all_else_is_named_unseen(tmp_path: Path) -> None:
    path = proxy(tmp_path / "x509", -DAY)
    with proxy_named(options(voms_proxy=str(path)), looked_at_later=True):
        assert os.environ[VARIABLE] == str(path)
        with pytest.raises(ExecutorError, match=f"{OPTION} {path}: it has expired"):
            worker_proxy(options(voms_proxy=str(path)), None)


def test_a_proxy_of_the_variable_that_has_expired_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, str(proxy(tmp_path / "x509", -DAY)))
    with pytest.raises(ExecutorError, match=f"{VARIABLE} {tmp_path / 'x509'}: it has expired"):
        worker_proxy(options(), None)
    assert worker_proxy(options(ignore_grid_certificate=True), None) == tmp_path / "x509"


def test_an_old_proxy_in_tmp_that_nobody_asked_for_stays_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    old = proxy(tmp_path / "x509", -DAY)
    monkeypatch.setattr("pocket_exec.executors.proxy.usual_place", lambda: old)
    assert worker_proxy(options(), None) is None
    assert "it has expired" in caplog.text
    assert "the workers get none" in caplog.text
    assert "ignore-grid-certificate" not in caplog.text


def test_without_any_proxy_there_is_nothing_to_say(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("pocket_exec.executors.proxy.usual_place", lambda: tmp_path / "x509")
    assert worker_proxy(options(), 3600) is None
    assert caplog.text == ""
