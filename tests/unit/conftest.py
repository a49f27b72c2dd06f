"""Unit tests start no process and open no connection: what tries to fails, saying so."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import pytest

_FORBIDDEN = {
    "os.exec",
    "os.fork",
    "os.forkpty",
    "os.posix_spawn",
    "os.spawn",
    "os.system",
    "pty.spawn",
    "socket.__new__",
    "socket.getaddrinfo",
    "subprocess.Popen",
}
_guard = {"on": False}


class ProcessOrNetworkInUnitTest(BaseException):
    """Not an Exception: no code under test may take it for a failure that it expects."""


def _refuse(event: str, arguments: tuple[object, ...]) -> None:
    if _guard["on"] and event in _FORBIDDEN:
        _guard["on"] = False
        raise ProcessOrNetworkInUnitTest(f"{event}{arguments!r}: such a test belongs into tests/contract")


# An audit hook sees what C code and third parties do, and stays until the interpreter ends.
sys.addaudithook(_refuse)


@pytest.fixture(autouse=True)
def _no_process_no_network() -> Iterator[None]:
    _guard["on"] = True
    yield
    _guard["on"] = False
