"""The processor that each chunk gets: one that no other chunk has changed."""

from __future__ import annotations

import time
import warnings
from typing import Any

import cloudpickle
import lz4.frame
import numpy as np
import pytest

from pocket_exec.engine.reading import processors
from pocket_exec.engine.reading.processors import Processors


class Plain:
    """Has some state."""

    def __init__(self) -> None:
        self.table = np.arange(1000.0)
        self.counted: list[int] = []


class Slow(Plain):
    """Takes long to load."""

    def __setstate__(self, state: dict[str, Any]) -> None:
        time.sleep(0)
        end = time.thread_time() + 0.02
        while time.thread_time() < end:
            pass
        self.__dict__.update(state)


class Stubborn(Slow):
    """Pickles only once."""

    def __getstate__(self) -> dict[str, Any]:
        if self.counted:
            raise TypeError("no more")
        return self.__dict__


def packed(processor: Any) -> Processors:
    return Processors(lz4.frame.compress(cloudpickle.dumps(processor)))


def lent(source: Processors, times: int, change: Any = None) -> list[Any]:
    found = []
    for _ in range(times):
        with source.lent() as processor:
            found.append(processor)
            if change is not None:
                change(processor)
    return found


def test_each_chunk_gets_a_new_one_where_that_costs_little() -> None:
    assert len({id(each) for each in lent(packed(Plain()), 5)}) == 5


def test_one_that_takes_long_to_load_is_kept() -> None:
    found = lent(packed(Slow()), 5)
    assert len({id(each) for each in found}) == 2, "the first imports the user's modules and says nothing of the cost"


def table() -> dict[str, float]:
    return {f"run {number}": float(number) for number in range(200_000)}


def arrays() -> list[Any]:
    return [np.full(50, float(number)) for number in range(10_000)]


class Tables:
    """Holds something large of many parts."""

    def __init__(self, content: Any) -> None:
        self.content = {"of": [content, "the year"]}


@pytest.mark.parametrize("make", [table, arrays])
def test_one_with_a_large_table_is_kept(make: Any) -> None:
    # On a busy machine one look may take longer than one load.
    kept = (len({id(each) for each in lent(packed(Tables(make())), 5)}) for _ in range(5))
    assert 2 in kept


class Selections(Slow):
    """Names what it returns by what it holds."""

    def __init__(self) -> None:
        super().__init__()
        self.selections = [f"pt > {number}" for number in range(10, 15)]
        self.cuts = {"pt": [float(number) for number in range(10, 15)]}


def test_one_whose_result_holds_parts_of_it_is_kept_and_not_said_to_change() -> None:
    source, results, found = packed(Selections()), [], []
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for _ in range(5):
            with source.lent() as processor:
                found.append(processor)
                results.append(dict(zip(processor.selections, processor.cuts["pt"], strict=True)))
    assert len({id(each) for each in found}) == 2


class Objects(Slow):
    """Holds an array of objects, in a container."""

    def __init__(self) -> None:
        super().__init__()
        self.content = {"of": np.array([[], None], dtype=object)}


def test_a_change_in_an_array_of_objects_is_seen() -> None:
    seen: list[int] = []

    def change(processor: Objects) -> None:
        events = processor.content["of"][0]
        seen.append(len(events))
        events.append(1)

    with pytest.warns(UserWarning, match="content"):
        lent(packed(Objects()), 5, change)
    assert seen == [0] * 5


@pytest.mark.parametrize(("make", "key", "value"), [(table, "run 7", 7.5), (arrays, 7, np.full(50, 7.5))])
def test_a_change_deep_in_a_large_table_is_seen(make: Any, key: Any, value: Any) -> None:
    seen: list[float] = []

    def change(processor: Tables) -> None:
        content: Any = processor.content["of"][0]
        seen.append(float(np.sum(content[key])))
        content[key] = value

    with pytest.warns(UserWarning, match="content"):
        lent(packed(Tables(make())), 4, change)
    assert len(set(seen)) == 1


@pytest.mark.parametrize("kind", [Plain, Slow, Stubborn])
def test_no_chunk_sees_what_another_has_changed(kind: type[Plain]) -> None:
    seen: list[tuple[int, float]] = []

    def change(processor: Plain) -> None:
        seen.append((len(processor.counted), float(processor.table[0])))
        processor.counted.append(1)
        processor.table[0] = 7.0

    lent(packed(kind()), 5, change)
    assert seen == [(0, 0.0)] * 5


def test_one_that_a_failing_chunk_had_is_not_given_again() -> None:
    source = packed(Slow())
    first = lent(source, 3)[-1]
    with pytest.raises(ValueError, match="x"), source.lent():
        raise ValueError("x")
    assert lent(source, 1)[0] is not first


def test_one_that_runner_does_not_pack_is_always_the_same() -> None:
    processor = Plain()
    assert all(each is processor for each in lent(Processors(processor), 3))


def test_looking_for_changes_never_costs_more_than_loading(monkeypatch: pytest.MonkeyPatch) -> None:
    looked: list[int] = []
    monkeypatch.setattr(processors, "DEAR_S", 0.0)
    real = processors._checksum

    def slow(value: Any, **how: Any) -> int | None:
        if not isinstance(value, Slow):
            return real(value, **how)
        looked.append(1)
        end = time.thread_time() + 0.05
        while time.thread_time() < end:
            pass
        return real(value, **how)

    monkeypatch.setattr(processors, "_checksum", slow)
    lent(packed(Slow()), 6)
    assert len(looked) == 1


class Counts:
    """Changes one of its attributes and looks at another."""

    def __init__(self) -> None:
        self.seen, self.scale = 0, {"muons": 1.5}

    def process(self) -> float:
        self.seen += 1
        return self.scale["muons"]


def test_the_attributes_that_the_first_chunk_changes_are_named_once() -> None:
    lending = Processors(lz4.frame.compress(cloudpickle.dumps(Counts())))
    with pytest.warns(UserWarning, match=r"changes the processor itself \(seen\)"), lending.lent() as processor:
        processor.process()
    with lending.lent() as processor:
        processor.process()
        assert processor.seen == 1
