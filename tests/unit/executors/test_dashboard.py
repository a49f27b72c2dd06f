"""Where the dashboard is said to be, and how it is reached from elsewhere."""

from __future__ import annotations

from typing import Any

import pytest

from pocket_exec.executors.dashboard import dashboard_lines
from pocket_exec.options.model import DaskOptions


def lines(**given: Any) -> list[str]:
    options = DaskOptions.model_construct(**{"dashboard_address": "127.0.0.1:0", "dashboard_link": None, **given})
    return list(dashboard_lines(options, 8787, "lxplus901.cern.ch", "ana"))


def test_on_the_loopback_it_comes_with_the_line_that_brings_it_home() -> None:
    where, how = lines()
    assert where == "dashboard: http://localhost:8787/status"
    assert how == "from your own machine: ssh -N -L 8787:localhost:8787 ana@lxplus901.cern.ch"


@pytest.mark.parametrize(("address", "host"), [(":0", "lxplus901.cern.ch"), ("10.0.0.1:0", "10.0.0.1")])
def test_elsewhere_it_is_where_it_listens(address: str, host: str) -> None:
    assert lines(dashboard_address=address) == [f"dashboard: http://{host}:8787/status"]


def test_a_facilitys_own_link_is_filled_in(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JUPYTERHUB_SERVICE_PREFIX", "/user/ana/")
    link = "https://hub{JUPYTERHUB_SERVICE_PREFIX}proxy/{host}:{port}/status"
    assert lines(dashboard_link=link) == ["dashboard: https://hub/user/ana/proxy/lxplus901.cern.ch:8787/status"]
