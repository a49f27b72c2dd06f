"""What of Dask's own configuration travels to workers: what the user has changed, and nothing of this machine's."""

from __future__ import annotations

import dask
import pytest

from pocket_exec.executors.dask_config import changed_config


def test_only_what_differs_from_the_defaults_travels() -> None:
    before = changed_config()
    with dask.config.set({"distributed.comm.timeouts.connect": "77s", "distributed.worker.memory.target": 0.31}):
        assert {**before, **changed_config()} == {
            **before,
            "distributed.comm.timeouts.connect": "77s",
            "distributed.worker.memory.target": 0.31,
        }


@pytest.mark.parametrize(
    "key", ["distributed.comm.tls.ca-file", "distributed.dashboard.link", "distributed.comm.require-encryption"]
)
def test_certificates_and_dashboards_of_this_machine_stay(key: str) -> None:
    with dask.config.set({key: "/home/ana/ca.pem"}):
        assert not [name for name in changed_config() if name.startswith(key)]


def test_what_json_cannot_hold_stays() -> None:
    with dask.config.set({"distributed.worker.preload": object()}):
        assert "distributed.worker.preload" not in changed_config()
