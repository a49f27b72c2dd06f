"""Layers are stacked: later ones win, tables merge, lists are replaced, origins follow."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from pocket_exec.options.layers import Layer, stack


def test_later_layers_win_and_origins_follow() -> None:
    out = stack([Layer("a", {"queue": "x", "n": 1}, {"queue": "a, line 1"}), Layer("b", {"queue": "y"})])
    assert out.values == {"queue": "y", "n": 1}
    assert out.origins == {"queue": "b", "n": "a"}


def test_tables_merge_key_by_key_and_lists_are_replaced() -> None:
    out = stack([Layer("a", {"env": {"A": 1, "B": 1}, "cmds": [1, 2]}), Layer("b", {"env": {"B": 2}, "cmds": [3]})])
    assert out.values == {"env": {"A": 1, "B": 2}, "cmds": [3]}
    assert out.origins["env.A"] == "a"
    assert out.origins["env.B"] == "b"


def test_null_overrides_a_table_as_a_whole() -> None:
    out = stack([Layer("a", {"env": {"A": 1}}), Layer("b", {"env": None}), Layer("c", {"env": {"C": 3}})])
    assert out.values == {"env": {"C": 3}}
    assert "env.A" not in out.origins
    assert out.table_keys == {"env": ("A", "C")}


def test_a_value_without_an_origin_of_its_own_has_that_of_its_table() -> None:
    layer = Layer("file", {"env": {"A": 1}}, {"env": "file, line 3"})
    assert stack([layer]).origins["env.A"] == "file, line 3"


_LAYERS = st.lists(
    st.dictionaries(
        st.sampled_from("abc"),
        st.none()
        | st.integers()
        | st.lists(st.integers(), max_size=2)
        | st.dictionaries(st.sampled_from("xy"), st.integers()),
    ),
    max_size=4,
)


@given(_LAYERS)
def test_stacking_does_not_change_the_layers_and_every_value_has_an_origin(given_layers: list[dict[str, Any]]) -> None:
    layers = [Layer(str(number), values) for number, values in enumerate(given_layers)]
    before = repr(layers)
    out = stack(layers)
    assert repr(layers) == before
    assert set(out.values) == {key for values in given_layers for key in values}
    assert set(out.values) == {path.partition(".")[0] for path in out.origins}


@given(_LAYERS, st.integers(0, 4))
def test_stacking_a_stack_is_stacking_at_once(given_layers: list[dict[str, Any]], cut: int) -> None:
    layers = [Layer(str(number), values) for number, values in enumerate(given_layers)]
    first = stack(layers[:cut])
    at_once = stack(layers)
    in_two = stack([Layer("first", first.values, first.origins), *layers[cut:]])
    assert in_two.values == at_once.values
    assert all(in_two.origins[path] == origin for path, origin in at_once.origins.items() if path in first.origins)


@given(_LAYERS)
def test_a_scalar_comes_from_the_last_layer_that_has_it(given_layers: list[dict[str, Any]]) -> None:
    out = stack(Layer(str(number), values) for number, values in enumerate(given_layers))
    for key, value in out.values.items():
        if not isinstance(value, dict):
            last = max(number for number, values in enumerate(given_layers) if key in values)
            assert out.origins[key] == str(last)
            assert value == given_layers[last][key]
