"""The canonical form of values: what is the same has one digest, what differs has another."""

from __future__ import annotations

import collections
import copy
import dataclasses
import enum
import functools
import logging
import operator
import pickle
import re
import threading
import types
import weakref
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any, NamedTuple

import awkward
import hist
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pocket_exec.engine.fingerprint import NoCanonicalForm, canonical_digest


class Region(enum.Enum):
    SIGNAL = 1
    CONTROL = 2


class Level(enum.IntEnum):
    LOW = 1


@dataclasses.dataclass
class Cut:
    name: str
    value: float = 20.0


class Slotted:
    __slots__ = ("a", "b")

    def __init__(self, a: object, b: object) -> None:
        self.a, self.b = a, b


class Plain:
    def __init__(self, **attributes: object) -> None:
        self.__dict__.update(attributes)


class Point(NamedTuple):
    x: int
    y: int


class Names(set[str]):
    pass


def type_name(value: object) -> str:
    return type(value).__name__


def histogram(fill: float = 0.5) -> Any:
    made = hist.Hist.new.StrCat([], growth=True, name="dataset").Reg(10, 0, 1, name="x", label="$x$").Weight()
    made.fill(dataset="data", x=[0.1, fill], weight=0.3)
    return made


def holding_itself() -> list[object]:
    made: list[object] = [1]
    made.append({"self": made})
    return made


def adder(number: int) -> Callable[[int], int]:
    return lambda x: x + number


ALL_DIFFERENT: list[Any] = [
    *(
        None,
        True,
        False,
        0,
        1,
        -1,
        255,
        256,
        2**70,
        0.0,
        -0.0,
        1.0,
        float("nan"),
        float("inf"),
        1j,
        ...,
        NotImplemented,
    ),
    *("", "1", "a", "a" * 64, "a" * 65, "a" * 66, b"", b"1", b"a" * 65, bytearray(b"1"), "é", "\ud800"),
    *([], [1], [1, 2], [2, 1], [[1], 2], [[1, 2]], (), (1,), (1, 2), ((1,), 2), [(1, 2)]),
    *(
        {},
        {"a": 1},
        {"a": 1, "b": 2},
        {"b": 2, "a": 1},
        {"a": {"b": 2}},
        {1: "a"},
        set(),
        {1},
        {1, 2},
        frozenset({1, 2}),
    ),
    *(Names({"a"}), Names({"b"}), collections.OrderedDict(a=1), collections.Counter("a"), collections.deque([1])),
    *(collections.defaultdict(int, a=1), collections.defaultdict(bool, a=1), {"a": 1}.keys(), {"a": 1}.values()),
    *(types.MappingProxyType({"a": 1}), types.SimpleNamespace(a=1), range(3), range(4), slice(1, 2), date(2026, 1, 1)),
    *(
        Path("a"),
        Path("a/b"),
        Path("/a"),
        re.compile("a"),
        re.compile("a", re.IGNORECASE),
        int,
        float,
        list,
        Region,
        Cut,
        Plain,
    ),
    *(Region.SIGNAL, Region.CONTROL, Level.LOW, Cut("pt"), Cut("pt", 21.0), Cut("eta"), Point(1, 2), Point(2, 1)),
    *(Slotted(1, 2), Slotted(2, 1), Plain(a=1), Plain(b=1), Plain(a=2), Plain()),
    *(np.arange(3), np.arange(3.0), np.arange(3)[::-1], np.arange(4), np.arange(4).reshape(2, 2)),
    *(
        np.arange(4).reshape(2, 2).T,
        np.zeros(0),
        np.zeros((0, 2)),
        np.array(1),
        np.int64(1),
        np.int32(1),
    ),
    *(
        np.float64(1),
        np.dtype("f4"),
        np.dtype("f8"),
        np.dtype(">f8"),
        np.array(["a"]),
        np.array(["ab"]),
    ),
    *(np.array([1, "a"], dtype=object), np.array([1, "b"], dtype=object), np.array(["2026"], dtype="M8[Y]")),
    *(np.ma.MaskedArray([1, 2], [True, False]), np.ma.MaskedArray([1, 2], [False, False])),
    *(
        awkward.Array([[1, 2], [3]]),
        awkward.Array([[1], [2, 3]]),
        awkward.Array([[1.0, 2.0], [3.0]]),
        awkward.Record({"a": 1}),
    ),
    *(histogram(), histogram(0.7), hist.axis.Regular(3, 0, 1), hist.axis.Regular(3, 0, 1, name="x")),
    *(len, np.sum, np.add, operator.itemgetter(1), operator.itemgetter(2), "a".join, "b".join, str.upper),
    *(functools.partial(int, base=2), functools.partial(int, base=3), adder(1), adder(2), adder, np, re),
    *(Cut("a").__repr__, holding_itself(), [holding_itself()], adder.__code__),
]


def test_values_that_differ_have_different_digests() -> None:
    found: dict[str, Any] = {}
    for value in ALL_DIFFERENT:
        digest = canonical_digest(value)
        assert digest not in found, f"{value!r} is taken for {found[digest]!r}"
        found[digest] = value


@pytest.mark.parametrize("value", ALL_DIFFERENT, ids=[f"{type(v).__name__}-{i}" for i, v in enumerate(ALL_DIFFERENT)])
def test_a_value_and_its_copy_have_one_digest(value: Any) -> None:
    digest = canonical_digest(value)
    assert canonical_digest(value) == digest
    if not isinstance(value, types.MappingProxyType | types.ModuleType) and "dict_" not in type(value).__name__:
        assert canonical_digest(copy.deepcopy(value)) == digest


@pytest.mark.parametrize(
    "value",
    [histogram(), awkward.Array([[1, 2]]), Cut("a"), Region.SIGNAL, np.arange(3), Names("ab")],
    ids=type_name,
)
def test_a_value_keeps_its_digest_through_a_pickle(value: Any) -> None:
    assert canonical_digest(pickle.loads(pickle.dumps(value))) == canonical_digest(value)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (float("nan"), -float("nan")),
        (np.asfortranarray(np.arange(6).reshape(2, 3)), np.arange(6).reshape(2, 3)),
        (np.arange(6)[::2], np.array([0, 2, 4])),
        (awkward.Array([[1, 2], [3], [4]])[1:], awkward.Array([[3], [4]])),
        (Plain(a=1, b=2), Plain(b=2, a=1)),
        (logging.getLogger("one"), logging.getLogger("other")),
        ([[1, 2]] * 2, [[1, 2], [1, 2]]),
    ],
    ids=["nan", "memory order", "stride", "offset", "order of attributes", "logger", "shared"],
)
def test_what_is_no_content_does_not_count(one: Any, other: Any) -> None:
    assert canonical_digest(one) == canonical_digest(other)


def test_the_padding_of_a_record_does_not_count() -> None:
    record = np.dtype([("a", "i1"), ("b", "i8")], align=True)
    memory = bytearray(b"\xff" * 32)
    clean, dirty = np.zeros(2, record), np.frombuffer(memory, record)
    dirty["a"], dirty["b"] = 0, 0
    assert any(memory)
    assert canonical_digest(clean) == canonical_digest(dirty)
    dirty["b"][1] = 1
    assert canonical_digest(clean) != canonical_digest(dirty)


def test_paths_below_a_root_count_relative_to_it() -> None:
    def held(root: str) -> list[object]:
        return [f"{root}/sf.json", Path(root) / "sf.json", root, f"{root}er/sf.json"]

    one, other = held("/home/a/analysis"), held("/tmp/b")
    for here, there in zip(one[:3], other[:3], strict=True):
        assert canonical_digest(here) != canonical_digest(there)
        roots = [Path("/home/a/analysis")], [Path("/tmp/b")]
        assert canonical_digest(here, roots[0]) == canonical_digest(there, roots[1])
    assert canonical_digest(one[3], [Path("/home/a/analysis")]) == canonical_digest(one[3])
    assert canonical_digest("/a/b/x", [Path("/a"), Path("/a/b")]) != canonical_digest(
        "/a/x", [Path("/a"), Path("/a/b")]
    )


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary(max_size=80) | st.complex_numbers(),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.tuples(inner, inner)
        | st.dictionaries(st.text(max_size=5), inner, max_size=4)
        | st.frozensets(st.integers() | st.text(), max_size=5)
        | st.builds(Cut, st.text(), inner)
        | st.builds(lambda a: Plain(a=a), inner)
    ),
    max_leaves=20,
)


@given(values)
def test_nested_values_have_the_digest_of_their_copy(value: object) -> None:
    assert canonical_digest(copy.deepcopy(value)) == canonical_digest(value)


@given(values, values)
def test_nested_values_are_equal_in_type_and_content_or_differ_in_digest(one: object, other: object) -> None:
    same = canonical_digest(one) == canonical_digest(other)
    assert same == (_written(one) == _written(other))


@given(st.lists(st.integers() | st.text(), unique=True))
def test_the_order_of_a_set_does_not_count(items: list[Any]) -> None:
    forwards, backwards = set(items), set[Any]()
    for item in reversed(items):
        backwards.add(item)
    assert canonical_digest(forwards) == canonical_digest(backwards)


@given(values)
def test_a_value_in_a_list_is_not_the_value(value: object) -> None:
    assert canonical_digest([value]) != canonical_digest(value)
    assert canonical_digest([value, value]) != canonical_digest([value])


def _written(value: Any) -> str:
    """Another way to tell values apart: by type and text."""
    match value:
        case list() | tuple():
            inner = [_written(item) for item in value]
        case frozenset():
            inner = sorted(_written(item) for item in value)
        case dict():
            inner = [_written(key) + _written(item) for key, item in value.items()]
        case Cut() | Plain():
            inner = [f"{name!r}{_written(item)}" for name, item in sorted(vars(value).items())]
        case _:
            inner = [repr(value)]
    return f"{type(value).__name__}({', '.join(inner)})"


def test_cycles_have_a_digest() -> None:
    parent, child = Plain(name="parent"), Plain(name="child")
    parent.child, child.parent = child, parent  # type: ignore[attr-defined]
    assert canonical_digest(copy.deepcopy(parent)) == canonical_digest(parent)
    assert canonical_digest(parent) != canonical_digest(child)
    before = canonical_digest(parent)
    child.name = "other"  # type: ignore[attr-defined]
    assert canonical_digest(parent) != before


def test_values_that_all_know_each_other_are_written_in_no_time() -> None:
    crowd = [Plain(number=number) for number in range(30)]
    for one in crowd:
        one.friends = crowd  # type: ignore[attr-defined]
    assert canonical_digest(crowd) == canonical_digest(copy.deepcopy(crowd))


@pytest.mark.parametrize(
    "make",
    [threading.Lock, lambda: (i for i in "a"), lambda: weakref.ref(Plain()), lambda: memoryview(b"a")],
    ids=["lock", "generator", "weak reference", "view of memory"],
)
def test_what_has_no_canonical_form_is_named_with_its_place(make: Callable[[], object]) -> None:
    value = make()
    with pytest.raises(NoCanonicalForm) as caught:
        canonical_digest(Plain(evaluator=Plain(tables=[{"pt": value}])))
    assert caught.value.path == "self.evaluator.tables[0]['pt']"
    assert type(value).__name__ in caught.value.type_name
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)


def test_an_open_file_is_named_with_its_place(tmp_path: Path) -> None:
    with (tmp_path / "a").open("w") as handle, pytest.raises(NoCanonicalForm, match=r"self\.evaluator\.handle \(_io"):
        canonical_digest(Plain(evaluator=Plain(handle=handle)))


def test_what_is_nested_too_deeply_has_no_canonical_form() -> None:
    value: list[object] = []
    for _ in range(100_000):
        value = [value]
    with pytest.raises(NoCanonicalForm, match="nested too deeply"):
        canonical_digest(value)
