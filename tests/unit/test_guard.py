"""The guard of the unit tests itself."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Callable

import pytest


@pytest.mark.parametrize(
    "forbidden",
    [
        lambda: subprocess.run([sys.executable, "-c", ""], check=True),
        lambda: os.system("true"),  # noqa: S605 (it must not come to it)
        socket.socket,
        lambda: socket.create_connection(("localhost", 1)),
    ],
    ids=["subprocess", "system", "socket", "connection"],
)
def test_a_unit_test_that_starts_a_process_or_opens_a_connection_fails(forbidden: Callable[[], object]) -> None:
    with pytest.raises(BaseException, match="belongs into tests/contract"):
        forbidden()
