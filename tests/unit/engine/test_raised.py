"""Exceptions travel with their types, or not at all."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np

from pocket_exec.engine.raised import LARGEST, again, packed


class Half(Exception):
    """Goes into a pickle and does not come out of it, whoever has taught pickle what about exceptions."""

    def __reduce__(self) -> tuple[Any, ...]:
        return int, ("no number",)


def test_an_exception_comes_back_with_its_type_its_words_and_its_causes() -> None:
    back = again(packed([KeyError("muons"), FileNotFoundError(2, "no such file", "a.root")]))
    assert isinstance(back, KeyError)
    assert back.args == ("muons",)
    assert isinstance(back.__cause__, FileNotFoundError)
    assert back.__cause__.filename == "a.root"
    assert back.__cause__.__cause__ is None


def test_what_does_not_survive_a_pickle_is_left_out_and_the_others_come() -> None:
    locked: Any = RuntimeError("locked")
    locked.by = threading.Lock()
    heavy = RuntimeError(np.zeros(LARGEST))
    back = again(packed([locked, Half("way"), heavy, OSError("busy")]))
    assert isinstance(back, OSError)
    assert back.__cause__ is None


def test_nothing_comes_of_nothing_and_of_what_this_process_cannot_read() -> None:
    assert again(()) is None
    assert again([b"no pickle"]) is None
