"""YAML is read with the line of each key, and a value is what it looks like."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from pocket_exec.errors import OptionsError
from pocket_exec.options.yaml_text import parse_value, parse_yaml


def _message(text: str) -> str:
    with pytest.raises(OptionsError) as refused:
        parse_yaml(text, "my.yaml")
    return "\n".join(str(fault) for fault in refused.value.faults)


def test_each_key_knows_its_line() -> None:
    parsed = parse_yaml("# mine\nqueue: a\n\nenv:\n  A: b\n", "my.yaml")
    assert parsed.lines == {"queue": 2, "env": 4, "env.A": 5}


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("12:00:00", "12:00:00"),
        ("1:30", "1:30"),
        ("2026-01-01", "2026-01-01"),
        ("010", "010"),
        ("0x10", "0x10"),
        ("1e5", "1e5"),
        ("100_000", 100000),
        ("-3", -3),
        ("1.5", 1.5),
        ("yes", True),
        ("Off", False),
        ("null", None),
        ("", None),
        ("'5'", "5"),
        ("none", "none"),
        ("[1, a]", [1, "a"]),
    ],
    ids=repr,
)
def test_a_value_is_what_it_looks_like(written: str, value: Any) -> None:
    assert parse_yaml(f"key: {written}", "my.yaml").values == {"key": value}


@pytest.mark.parametrize("text", ["", "\n", "# nothing\n", "---\n", "{}"])
def test_an_empty_file_is_an_empty_mapping(text: str) -> None:
    assert parse_yaml(text, "my.yaml").values == {}


def test_all_keys_that_stand_twice_are_told() -> None:
    assert _message("a: 1\nb: {c: 1, c: 2}\na: 2\n").splitlines() == [
        "b.c (my.yaml, line 2): is given twice; the first is on line 2",
        "a (my.yaml, line 3): is given twice; the first is on line 1",
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: 1\nb:\n\tc: 1\n", "my.yaml, line 3: a tab; YAML is indented with spaces"),
        ("- 1\n", "my.yaml, line 1: is a list, not options; write 'key: value' in each line"),
        ("hello\n", "my.yaml, line 1: is the text 'hello', not options; write 'key: value' in each line"),
        ("a: 1\n---\nb: 1\n", "my.yaml, line 2: '---' begins a second document; a file of run options has one"),
        ("a: !!python/name:os.system\n", "is a type that run options do not have"),
        ("a: &x\n  b: *x\n", "a.b (my.yaml, line 1): holds itself"),
        ("[a]: 1\n", "a key is a word, not a list or a table"),
        ("a: 'x\x00'\n", "my.yaml: not YAML: unacceptable character"),
    ],
)
def test_what_is_no_mapping_of_options_is_refused_with_its_line(text: str, message: str) -> None:
    assert message in _message(text)


def test_a_syntax_error_shows_the_line_and_its_text() -> None:
    assert _message("a: 1\nb: c: d\n") == (
        "my.yaml, line 2: not YAML: a second ': ' in one line, or a line indented too far; "
        "text with ': ' goes in quotes: 'b: c: d'"
    )


def test_a_table_may_be_merged_into_another() -> None:
    parsed = parse_yaml("base: &b {x: 1, y: 1}\nmine:\n  <<: *b\n  y: 2\n", "my.yaml")
    assert parsed.values["mine"] == {"y": 2, "x": 1}


def test_a_flags_text_is_yaml_in_one_line() -> None:
    assert parse_value("{a: 1, b: [x, 'y z']}") == {"a": 1, "b": ["x", "y z"]}
    with pytest.raises(ValueError, match="not YAML"):
        parse_value("{a: 1")


_PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(st.characters(codec="utf-8")),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.text(min_size=1, max_size=8), _PLAIN, max_size=4))
def test_what_pyyaml_writes_is_read_as_it_was(values: dict[str, Any]) -> None:
    text = yaml.safe_dump(values)
    assert parse_yaml(text, "my.yaml").values == values
