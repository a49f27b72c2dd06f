"""The grid proxy that remote data are read with: found, looked at, and named to this process and its children."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

from pocket_exec.errors import ExecutorError
from pocket_exec.options.model import GeneralOptions

log = logging.getLogger(__name__)

VARIABLE = "X509_USER_PROXY"
SHORT = timedelta(hours=1)
RENEW = "voms-proxy-init -voms cms -rfc --valid 168:0"


@contextmanager
def proxy_named(options: GeneralOptions) -> Iterator[None]:
    """Set X509_USER_PROXY to the option ``voms-proxy`` for the time of the block; without the option nothing changes.

    Raises:
        ExecutorError: the proxy is missing or expired, unless ``ignore-grid-certificate`` is set.
    """
    if options.voms_proxy is None:
        yield
        return
    path = Path(os.path.expandvars(options.voms_proxy)).expanduser().absolute()
    if not options.ignore_grid_certificate:
        _check(path)
    before = os.environ.get(VARIABLE)
    os.environ[VARIABLE] = str(path)
    try:
        yield
    finally:
        if before is None:
            os.environ.pop(VARIABLE, None)
        else:
            os.environ[VARIABLE] = before


def _check(path: Path) -> None:
    from cryptography.x509 import load_pem_x509_certificates

    try:
        certificates = load_pem_x509_certificates(path.read_bytes())
    except OSError as error:
        raise ExecutorError(f"voms-proxy {path}: {error.strerror}; make one with `{RENEW}`") from error
    except ValueError as error:
        raise ExecutorError(f"voms-proxy {path}: not a proxy ({error}); make one with `{RENEW}`") from error
    left = min(certificate.not_valid_after_utc for certificate in certificates) - datetime.now(UTC)
    if left <= timedelta(0):
        raise ExecutorError(f"voms-proxy {path}: it has expired; renew it with `{RENEW}`")
    if left < SHORT:
        log.warning("the proxy %s ends in %d minutes; renew it with `%s`", path, left.total_seconds() // 60, RENEW)
