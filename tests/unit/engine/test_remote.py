"""A worker's side of an attempt, on threads that share it."""

from __future__ import annotations

import threading
import time
import warnings
from functools import partial
from typing import Any

import cloudpickle
import pytest

from pocket_exec.engine import remote
from pocket_exec.engine.outcome import FaultKind
from pocket_exec.engine.remote import KEPT_FUNCTIONS, Packed, attempt_packed, unpacked


def attempted(function: Any, item: object) -> Any:
    packed = Packed(function)
    return attempt_packed(packed.data, packed.digest, cloudpickle.dumps(item))


def test_a_function_is_applied_to_its_item() -> None:
    answer = unpacked(attempted(lambda x: x + 1, 2))
    assert (answer.value, answer.trouble) == (3, None)


def test_a_function_that_gives_nothing_gives_none() -> None:
    assert attempted(lambda x: None, 2).value is None


class Unloadable:
    """Pickles, and does not come back."""

    def __reduce__(self) -> Any:
        return int, ("no number",)


@pytest.mark.parametrize(("function", "item"), [(Unloadable(), 1), (len, Unloadable())])
def test_what_does_not_load_on_the_worker_is_the_users_fault(function: Any, item: object) -> None:
    trouble = attempted(function, item).trouble
    assert (trouble.kind, trouble.error) == (FaultKind.USER, "ValueError")
    assert "cannot be loaded on the worker: invalid literal" in trouble.message


@pytest.mark.parametrize("kind", [SystemExit, KeyboardInterrupt, GeneratorExit])
def test_nothing_that_the_users_code_raises_ends_the_worker(kind: type[BaseException]) -> None:
    def ends(item: object) -> Any:
        raise kind("enough")

    trouble = attempted(ends, 1).trouble
    assert (trouble.kind, trouble.error, trouble.message) == (FaultKind.USER, kind.__name__, "enough")


def test_few_functions_are_kept() -> None:
    for number in range(5):
        assert unpacked(attempted(partial(pow, number), 2)).value == number**2
    assert len(remote._functions) == KEPT_FUNCTIONS


def warns(item: str) -> str:
    for _ in range(20):
        warnings.warn(item, UserWarning, stacklevel=1)
        time.sleep(0.001)
    return item


def test_each_thread_answers_with_its_own_warnings_and_leaves_none_behind() -> None:
    answers: dict[str, Any] = {}

    def work(name: str) -> None:
        answers[name] = attempted(warns, name)

    before = warnings.showwarning
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        threads = [threading.Thread(target=work, args=(f"thread {number}",)) for number in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert {name: {warned.text for warned in answer.warned} for name, answer in answers.items()} == {
        name: {name} for name in answers
    }
    assert [len(answer.warned) for answer in answers.values()] == [20] * 4
    assert warnings.showwarning is before
