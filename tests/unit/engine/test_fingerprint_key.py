"""The key of a processor as a record: its parts, its caveats, what differs between two, and the files it depends on."""

from __future__ import annotations

import dis
import functools
import hashlib
import logging
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import CodeType
from typing import Any

import awkward
import hist
import numpy as np
import pytest
from coffea import processor
from coffea.lookup_tools.dense_lookup import dense_lookup

from pocket_exec.engine.code_form import names_reached
from pocket_exec.engine.fingerprint import (
    NoCanonicalForm,
    canonical_digest,
    depends_on_digest,
    processor_key,
)
from pocket_exec.errors import CfgError
from tests.unit.engine.keys import changes

LOCK = threading.Lock()


class Holder(processor.ProcessorABC):  # type: ignore[misc]
    def __init__(self, **attributes: object) -> None:
        self.__dict__.update(attributes)

    def process(self, events: Any) -> Any:
        return {"n": len(events)}

    def postprocess(self, accumulator: Any) -> Any:
        return accumulator


class WithLock(Holder):
    def process(self, events: Any) -> Any:
        with LOCK:
            return len(events)


class Slotted:
    __slots__ = ("pt_cut",)

    def __init__(self, pt_cut: float) -> None:
        self.pt_cut = pt_cut

    def process(self, events: Any) -> Any:
        return events


class ChoosesItsState(Holder):
    def __getstate__(self) -> dict[str, object]:
        return {name: value for name, value in vars(self).items() if not name.startswith("_")}


class Reduced(Holder):
    def __reduce__(self) -> tuple[Any, ...]:
        return Reduced, (), {"x": vars(self)["x"]}


@functools.singledispatch
def dispatched(value: object) -> str:
    return f"object {value}"


@dispatched.register
def _(value: int) -> str:
    return f"int {value}"


@functools.lru_cache
def cached(value: int) -> int:
    return value


def process(events: Any, pt: int = 0) -> Any:
    return dispatched(len(events)), cached(pt)


def test_a_value_without_canonical_form_counts_by_its_pickle_and_the_key_says_so(tmp_path: Path) -> None:
    (tmp_path / "table").write_text("1")
    with (tmp_path / "table").open() as handle:
        key = processor_key(Holder(evaluator={"pt": handle}))
        assert key.caveat.startswith("self.evaluator['pt'] (_io.TextIOWrapper) counts by its pickle")
        assert processor_key(Holder(evaluator={"pt": handle})) == key


def test_a_key_that_cannot_know_an_attribute_matches_no_other() -> None:
    held = Holder(x=1, lock=LOCK)
    one, other = processor_key(held), processor_key(held)
    assert "self.lock (_thread.lock)" in one.caveat
    assert changes(one, other) == ["self.lock changed"]


def test_a_global_that_has_no_content_counts_by_the_source_of_its_module() -> None:
    key = processor_key(WithLock())
    assert processor_key(WithLock()) == key
    assert "test_fingerprint_key.py:LOCK (_thread.lock) counts by the source" in key.caveat
    with pytest.raises(NoCanonicalForm, match=r"test_fingerprint_key\.py:LOCK"):
        canonical_digest(WithLock())


def test_an_attribute_nested_too_deeply_is_named() -> None:
    value: list[object] = []
    for _ in range(100_000):
        value = [value]
    assert "self.deep" in processor_key(Holder(deep=value)).caveat


@pytest.mark.parametrize(
    ("processor", "attributes"),
    [
        (Slotted(20.0), ["pt_cut"]),
        (ChoosesItsState(x=1, _handle=LOCK), ["x"]),
        (Reduced(x=1, y=2), [""]),
        (Holder(), []),
        (process, [""]),
        (lambda events: events.x, [""]),
        (functools.partial(process, pt=1), ["args", "func", "keywords"]),
        (Slotted(20.0).process, [""]),
    ],
    ids=["slots", "getstate", "reduce", "no state", "function", "lambda", "partial", "method"],
)
def test_every_kind_of_processor_has_a_key(processor: Any, attributes: list[str]) -> None:
    key = processor_key(processor)
    assert list(key.state) == attributes
    assert key.caveat == ""
    assert processor_key(processor) == key


def test_the_state_of_a_processor_decides_its_key_whatever_its_kind() -> None:
    def cut_at(value: float) -> Callable[[Any], Any]:
        return lambda events: events.pt > value

    for one, other in [
        (Slotted(1.0), Slotted(2.0)),
        (Reduced(x=1), Reduced(x=2)),
        (cut_at(1.0), cut_at(2.0)),
        (functools.partial(process, pt=1), functools.partial(process, pt=2)),
        (Slotted(1.0).process, Slotted(2.0).process),
    ]:
        assert changes(processor_key(one), processor_key(other))


def test_a_method_of_the_processor_in_its_state_does_not_stand_for_all_of_its_state() -> None:
    def made(x: int) -> Holder:
        held = Holder(x=x)
        held.__dict__["fill"] = held.process
        return held

    assert changes(processor_key(made(1)), processor_key(made(2))) == ["self.x changed"]


def test_the_logger_of_a_module_has_no_content() -> None:
    logs = [logging.getLogger(name) for name in ("cfg_1", "cfg_2")]
    assert changes(*(processor_key(Holder(log=log)) for log in logs)) == []


def test_a_name_is_reached_if_byte_code_loads_it_as_a_global() -> None:
    codes = [value.__code__ for value in vars(dis).values() if hasattr(value, "__code__")]
    assert len(codes) > 20
    for code in [
        *codes,
        compile("class A:\n  b = c\n  import d.e\n  def f(self): return g.h(i for i in j)", "", "exec"),
    ]:
        assert names_reached(code).globals == _loaded_globals(code)


def _loaded_globals(code: CodeType) -> set[str]:
    found = {one.argval for one in dis.get_instructions(code) if one.opname in ("LOAD_GLOBAL", "LOAD_NAME")}
    return found.union(*(_loaded_globals(inner) for inner in code.co_consts if isinstance(inner, CodeType)))


def test_a_key_is_made_in_the_blink_of_an_eye_and_arrays_at_the_speed_of_hashing() -> None:
    held = Holder(
        h=hist.Hist.new.StrCat([], growth=True, name="d").Reg(100, 0, 1, name="x").Weight(),
        table=dense_lookup(np.arange(12.0).reshape(3, 4), (np.arange(4.0), np.arange(5.0))),
        events=awkward.Array([[1, 2], [3]]),
        triggers={"IsoMu24", "Mu50"},
        big=np.ones(10_000_000),
    )
    hashing = _fastest(lambda: hashlib.sha256(held.__dict__["big"]))
    assert _fastest(lambda: processor_key(held)) < 1.5 * hashing + 0.05


def _fastest(function: Callable[[], object]) -> float:
    times = []
    for _ in range(5):
        start = time.process_time()
        function()
        times.append(time.process_time() - start)
    return min(times)


def test_files_depended_on_count_by_content(tmp_path: Path) -> None:
    one, other = tmp_path / "a.json", tmp_path / "b.json"
    one.write_text("1")
    other.write_text("1")
    before = depends_on_digest([one, other])
    assert list(before) == [str(one), str(other)]
    assert len(set(before.values())) == 1
    other.write_text("2")
    assert depends_on_digest([one, other])[str(one)] == before[str(one)]
    assert depends_on_digest([one, other])[str(other)] != before[str(other)]


def test_all_files_depended_on_that_cannot_be_read_are_named(tmp_path: Path, hostile: str) -> None:
    (tmp_path / "there").touch()
    with pytest.raises(CfgError) as caught:
        depends_on_digest([tmp_path / hostile, tmp_path / "there", tmp_path])
    assert str(caught.value).splitlines() == [
        "depends-on names what cannot be read:",
        f"  {tmp_path / hostile}: {os.strerror(2)}",
        f"  {tmp_path} is a directory; name the files in it",
    ]
