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


SLOW, FAST = 1e6, 1e13
"""Bytes a second; what becomes smaller at all is worth it with the one, nothing with the other."""


@pytest.mark.parametrize("own", [True, False])
@pytest.mark.parametrize("protocol", [4, 5])
def test_what_becomes_smaller_is_compressed_for_a_slow_way_and_can_be_changed_once_it_is_there(
    protocol: int, own: bool
) -> None:
    noise = np.random.default_rng(1).bytes(10 * BESIDE_BYTES)
    value = {
        "a": LARGE.copy(),
        "noise": np.frombuffer(bytearray(noise), "u1"),
        "few": [f"bin {n}" for n in range(20_000)],
    }
    whole, packed = pack(value, own=own), pack(value, own=own, bytes_s=SLOW)
    assert packed.size == whole.size
    assert len(noise) < packed.travelling < 0.8 * whole.travelling
    there = pickle.loads(pickle.dumps(packed, protocol=protocol)).value()
    assert there["few"] == value["few"]
    there["a"] += 1
    np.testing.assert_array_equal(there["a"], LARGE + 1)
    assert there["noise"].tobytes() == noise


@pytest.mark.parametrize("bytes_s", [FAST, 0.0])
def test_nothing_is_compressed_for_a_fast_way_or_one_that_nobody_knows(bytes_s: float) -> None:
    packed = pack({"a": LARGE}, own=True, bytes_s=bytes_s)
    assert packed.travelling == packed.size
    assert not packed.whole


def test_small_parts_are_left_as_they_are() -> None:
    assert not pack({"a": np.zeros(100)}, own=True, bytes_s=SLOW).whole
