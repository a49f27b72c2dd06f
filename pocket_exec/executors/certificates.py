"""Makes the certificates of one run, and the files in which its workers read them."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from distributed.security import Security


VALID = timedelta(days=365)
"""Longer than a job waits in any queue."""
CLOCKS_DIFFER = timedelta(hours=1)
"""A worker's machine may be behind this one."""


class CertificateFiles(NamedTuple):
    """The files of a run's certificates; whoever reads ``key`` can run code in its workers."""

    ca: Path
    cert: Path
    key: Path


def run_certificates() -> Security:
    """Make the certificates of one run: client, scheduler, workers and nannies share them, and trust no others.

    They are those of distributed's ``Security.temporary``, but for their key, on the curve P-256: one of RSA takes up
    to 0.2 s to be made.
    """
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
    from distributed.security import Security

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "dask-internal")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - CLOCKS_DIFFER)
        .not_valid_after(now + VALID)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("dask-internal")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    public = certificate.public_bytes(Encoding.PEM).decode()
    roles = ("client", "scheduler", "worker")
    keys = {f"tls_{role}_key": private for role in roles} | {f"tls_{role}_cert": public for role in roles}
    return Security(require_encryption=True, tls_ca_file=public, **keys)


def write_certificates(security: Any, directory: Path) -> CertificateFiles:
    """Write what a worker needs into ``directory``, which is private already, with mode 0600."""
    files = CertificateFiles(directory / "ca.pem", directory / "cert.pem", directory / "key.pem")
    write_private(files.ca, str(security.tls_ca_file))
    write_private(files.cert, str(security.tls_worker_cert))
    write_private(files.key, str(security.tls_worker_key))
    return files


def write_private(path: Path, content: str | bytes) -> None:
    """Write a new file that only its owner can read, whatever the umask; a link that waits there is not followed."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        os.fchmod(descriptor, 0o600)
        file.write(content.encode() if isinstance(content, str) else content)
