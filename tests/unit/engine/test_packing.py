"""A value travels by every protocol of pickle; large arrays beside it, where the protocol can do that."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pytest

from pocket_exec.engine.packing import BESIDE_BYTES, Frames, pack

LARGE = np.arange(BESIDE_BYTES, dtype="f8")


@pytest.mark.parametrize("own", [True, False])
@pytest.mark.parametrize("protocol", [4, 5])
def test_a_value_comes_back_and_can_be_changed_by_any_protocol(protocol: int, own: bool) -> None:
    there = pickle.loads(pickle.dumps(pack({"a": LARGE.copy(), "small": np.ones(3)}, own=own), protocol=protocol))
    assert isinstance(there, Frames)
    value = there.value()
    np.testing.assert_array_equal(value["a"], LARGE)
    value["a"] += 1
    value["small"] += 1


def test_what_has_come_in_a_message_travels_on_by_any_protocol() -> None:
    buffers: list[Any] = []
    packed = pickle.dumps(pack(LARGE, own=True), protocol=5, buffer_callback=buffers.append)
    assert len(packed) < BESIDE_BYTES
    arrived = pickle.loads(packed, buffers=[memoryview(bytearray(buffer.raw())) for buffer in buffers])
    again = pickle.loads(pickle.dumps(arrived, protocol=4))
    np.testing.assert_array_equal(again.value(), LARGE)
    assert arrived.size == again.size
