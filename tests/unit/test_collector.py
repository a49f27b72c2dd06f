"""The garbage collector from the start of a process to the beginning of its work."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest

from pocket_exec.collector import SELDOM, collect_as_before, collect_seldom


@pytest.fixture(autouse=True)
def _as_it_was() -> Iterator[None]:
    before = gc.get_threshold()
    yield
    gc.unfreeze()
    gc.set_threshold(*before)


def test_the_collector_looks_seldom_until_all_is_imported() -> None:
    gc.set_threshold(700, 10, 9)
    collect_seldom()
    assert gc.isenabled()
    assert gc.get_threshold() == (SELDOM, 10, 9)
    collect_as_before()
    assert gc.get_threshold() == (700, 10, 9)
    assert gc.get_freeze_count() > 0


@pytest.mark.parametrize("thresholds", [(0, 10, 10), (50_000, 20, 20)])
def test_what_the_users_own_code_sets_meanwhile_stays(thresholds: tuple[int, int, int]) -> None:
    collect_seldom()
    gc.set_threshold(*thresholds)
    collect_as_before()
    assert gc.get_threshold() == thresholds


def test_a_collector_that_is_switched_off_stays_off() -> None:
    gc.set_threshold(0, 10, 10)
    collect_seldom()
    collect_as_before()
    assert gc.get_threshold() == (0, 10, 10)
