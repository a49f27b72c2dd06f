"""Versions that cannot work together stop a run, those that may matter are told."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from pocket_exec.errors import FarmError
from pocket_exec.executors.versions import DECIDING, TELLING, compare_versions, differences

OURS = {
    "python": "3.12.4.final.0",
    "coffea": "2026.9.0",
    "cloudpickle": "3.1.0",
    "dask": "2026.8.0",
    "distributed": "2026.8.0",
    "awkward": "2.14.0",
    "uproot": "5.7.7",
    "numpy": "2.3.0",
}


def side(**changed: str | None) -> dict[str, Any]:
    return {"host": {}, "packages": {**OURS, **changed}}


def versions(scheduler: Mapping[str, Any] | None = None, **workers: Mapping[str, Any]) -> dict[str, Any]:
    return {"client": side(), "scheduler": scheduler or side(), "workers": workers or {"tcp://a:1": side()}}


class Client:
    """A client that knows nothing but versions."""

    def __init__(self, found: dict[str, Any]) -> None:
        self._found = found

    def get_versions(self, packages: list[str]) -> dict[str, Any]:
        return self._found


def test_the_same_versions_everywhere_are_no_word_worth(caplog: pytest.LogCaptureFixture) -> None:
    compare_versions(Client(versions()))
    assert caplog.text == ""


@pytest.mark.parametrize("package", DECIDING)
def test_a_worker_that_cannot_run_what_is_sent_to_it_stops_the_run(package: str) -> None:
    with pytest.raises(FarmError) as caught:
        compare_versions(Client(versions(**{"tcp://a:1": side(**{package: "1.2.3"})})))
    assert f"{package}: " in str(caught.value)
    assert "on worker tcp://a:1" in str(caught.value)
    assert "on client, scheduler" in str(caught.value)


@pytest.mark.parametrize("package", DECIDING)
def test_what_is_not_installed_on_a_worker_is_missed(package: str) -> None:
    with pytest.raises(FarmError, match="not installed on worker tcp://a:1"):
        compare_versions(Client(versions(**{"tcp://a:1": side(**{package: None})})))


@pytest.mark.parametrize("package", TELLING)
def test_a_difference_that_may_matter_is_told(package: str, caplog: pytest.LogCaptureFixture) -> None:
    compare_versions(Client(versions(**{"tcp://a:1": side(**{package: "0.1"})})))
    assert f"versions differ: {package}: " in caplog.text


def test_another_patch_of_python_is_the_same_python() -> None:
    assert list(differences(versions(**{"tcp://a:1": side(python="3.12.9.final.0")}), ("python",))) == []
    assert len(list(differences(versions(**{"tcp://a:1": side(python="3.11.9.final.0")}), ("python",)))) == 1


def test_a_scheduler_needs_no_coffea_and_must_not_have_another_one() -> None:
    assert list(differences(versions(side(coffea=None)), ("coffea",))) == []
    assert len(list(differences(versions(side(coffea="2025.1")), ("coffea",)))) == 1


@pytest.mark.parametrize("nothing", [None, {}, {"packages": None}])
def test_a_worker_that_says_nothing_has_nothing(nothing: Any) -> None:
    found = versions()
    found["workers"] = {"tcp://a:1": nothing}
    assert list(differences(found, ("coffea",))) == [
        "coffea: 2026.9.0 on client, scheduler; not installed on worker tcp://a:1"
    ]


def test_many_workers_are_counted_rather_than_listed() -> None:
    workers = {f"tcp://a:{number}": side(coffea="1") for number in range(9)}
    assert list(differences(versions(**workers), ("coffea",))) == [
        "coffea: 2026.9.0 on client, scheduler; 1 on worker tcp://a:0, worker tcp://a:1, worker tcp://a:2 and 6 more"
    ]


def test_all_differences_are_told_at_once() -> None:
    with pytest.raises(FarmError) as caught:
        compare_versions(Client(versions(**{"tcp://a:1": side(coffea="1", cloudpickle="2")})))
    assert [line.split(":")[0].strip() for line in str(caught.value).splitlines()[1:3]] == ["coffea", "cloudpickle"]
