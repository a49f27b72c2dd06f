"""The garbage collector's settings: moderate while a chunk runs, the user's own otherwise."""

from __future__ import annotations

import gc
import threading
from collections.abc import Iterator

import pytest

from pocket_exec.engine.reading import garbage
from pocket_exec.engine.reading.garbage import THRESHOLDS, collect_if_grown, moderate_collection


@pytest.fixture(autouse=True)
def _as_new(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    before = gc.get_threshold()
    gc.set_threshold(700, 10, 10)
    monkeypatch.setattr(garbage, "_collector", garbage._Collector())
    yield
    gc.set_threshold(*before)
    gc.enable()


def test_thresholds_are_raised_inside_and_restored_outside() -> None:
    with moderate_collection():
        assert gc.get_threshold() == THRESHOLDS
        assert gc.isenabled()
    assert gc.get_threshold() == (700, 10, 10)


def test_they_are_restored_after_an_error() -> None:
    with pytest.raises(ValueError, match="x"), moderate_collection():
        raise ValueError("x")
    assert gc.get_threshold() == (700, 10, 10)


def test_the_last_of_several_threads_restores_them() -> None:
    inside, leave = threading.Event(), threading.Event()

    def work() -> None:
        with moderate_collection():
            inside.set()
            leave.wait(10)

    thread = threading.Thread(target=work)
    thread.start()
    inside.wait(10)
    with moderate_collection():
        pass
    assert gc.get_threshold() == THRESHOLDS
    leave.set()
    thread.join()
    assert gc.get_threshold() == (700, 10, 10)


def test_what_the_users_code_sets_inside_stays_from_then_on() -> None:
    with moderate_collection():
        gc.set_threshold(123, 4, 5)
    assert gc.get_threshold() == (123, 4, 5)
    with moderate_collection():
        assert gc.get_threshold() == (123, 4, 5)
    assert gc.get_threshold() == (123, 4, 5)


@pytest.mark.parametrize("users", [(0, 10, 10), (100_000, 10, 10)])
def test_what_the_user_set_higher_or_switched_off_before_stays(users: tuple[int, int, int]) -> None:
    gc.set_threshold(*users)
    with moderate_collection():
        assert gc.get_threshold() == users
    assert gc.get_threshold() == users


def test_a_collector_that_the_user_disabled_stays_disabled() -> None:
    gc.disable()
    with moderate_collection():
        assert not gc.isenabled()
    assert not gc.isenabled()


class Held:
    """A cycle with much memory in it."""

    def __init__(self) -> None:
        self.itself = self
        # Above glibc's largest threshold: memory that was free already would be no growth.
        self.data = bytearray(b"x") * 40_000_000


def test_cycles_that_hold_much_memory_are_collected_once_it_has_grown() -> None:
    gc.collect()
    assert not collect_if_grown(20_000_000)
    Held()
    assert collect_if_grown(20_000_000)
    assert not collect_if_grown(20_000_000)


def test_memory_that_shrinks_sets_a_new_base(monkeypatch: pytest.MonkeyPatch) -> None:
    # What malloc gives back to the system is its own affair.
    sizes = iter([100, 100, 40, 70, 80, 75, 105])
    monkeypatch.setattr(garbage, "resident_bytes", lambda: next(sizes))
    assert [collect_if_grown(30) for _ in range(5)] == [False, False, False, True, False]
