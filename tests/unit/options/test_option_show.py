"""Options are shown as rows, as YAML that can be fed back, as a JSON schema and as Markdown."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pocket_exec.options.defaults import built_in_executors, defaults_layers, model_for
from pocket_exec.options.layers import Layer
from pocket_exec.options.model import DaskOptions
from pocket_exec.options.resolve import Resolved, resolve
from pocket_exec.options.show import as_yaml, flow_text, json_schema, option_rows, options_markdown, resolved_rows
from pocket_exec.options.source import yaml_document


def _resolve(executor: str, text: str = "", **settings: Any) -> Resolved[Any]:
    user = [yaml_document(text, "my.yaml")]
    layers = defaults_layers(executor)
    return resolve(executor, model_for(executor), layers, user, known_executors=built_in_executors(), **settings)


@pytest.mark.parametrize("executor", built_in_executors())
def test_yaml_that_is_fed_back_gives_the_same_options(executor: str) -> None:
    resolved = _resolve(executor)
    assert _resolve(executor, as_yaml(resolved)).options == resolved.options


@pytest.mark.parametrize(
    "text",
    [
        "htcondor-settings: {MY.WantOS: null, y: '010', z: 'yes'}",
        "htcondor-settings: null\nmounts: null\nenv: null",
        "env: {A: '1', B: 'null', C: '1.5e3', D: '12:00'}",
        "uproot-options: {timeout: null, x: [1, {y: 2.5}]}",
        "starting-time: 6:30\nlocal-directory: ~\ncustom-setup-commands: ['a: b', \"c\\nd\", '# e']",
        "mem-per-worker: 123456789\nwalltime: 1-00:00:00\nworker-ports: 1-2\ngroup-samples: {g: [a]}",
    ],
)
def test_what_the_user_changed_survives_being_fed_back(text: str) -> None:
    resolved = _resolve("dask@lxplus", text)
    assert _resolve("dask@lxplus", as_yaml(resolved)).options == resolved.options


def test_custom_keys_survive_being_fed_back() -> None:
    resolved = _resolve("dask", "custom: {a: 1, b: {c: [x]}}", custom_module=True)
    assert _resolve("dask", as_yaml(resolved), custom_module=True).custom == resolved.custom


@given(
    st.dictionaries(
        st.from_regex(r"[A-Z_]{1,6}", fullmatch=True),
        st.text(st.characters(codec="utf-8", exclude_characters="\0\n\r")),
        max_size=3,
    )
)
def test_any_words_of_the_environment_survive_being_fed_back(env: dict[str, str]) -> None:
    layer = Layer("cfg.py", {"env": env})
    defaults = defaults_layers("dask@slurm")
    resolved = resolve("dask@slurm", model_for("dask@slurm"), defaults, [layer], known_executors=())
    assert _resolve("dask@slurm", as_yaml(resolved)).options == resolved.options


def test_a_secret_is_neither_in_rows_nor_in_yaml() -> None:
    resolved = _resolve("dask@slurm", "tokenuser: me\ntokenpassword: s3cret")
    rows = {row.key: row.value for row in resolved_rows(resolved)}
    assert rows["tokenpassword"] == "***"
    assert "s3cret" not in as_yaml(resolved) + repr(resolved) + repr(rows)
    assert "# tokenpassword: a secret, left out" in as_yaml(resolved)
    assert resolved.options.tokenpassword.get_secret_value() == "s3cret"


def test_a_row_shows_value_and_origin_and_a_table_is_a_row_for_each_entry() -> None:
    rows = {row.key: row for row in resolved_rows(_resolve("dask@CLAIX", "env: {A: x}\nslurm-settings: {qos: low}"))}
    assert (rows["env.A"].value, rows["env.A"].origin) == ("x", "my.yaml, line 1")
    assert rows["slurm-settings.constraint"].origin.startswith("executor_defaults/sites/CLAIX.yaml, line ")
    assert rows["scaleout"].origin == "executor_defaults/batch.yaml, line 3"
    assert all(row.origin for row in rows.values())


def test_help_has_type_default_unit_meaning_and_origin_of_each_option() -> None:
    rows = {row.key: row for row in option_rows(DaskOptions, defaults_layers("dask"))}
    memory = rows["mem-per-worker"]
    assert (memory.type, memory.default, memory.unit) == ("size", "2GB", "bytes")
    assert memory.origin == "executor_defaults/kinds/dask.yaml, line 4"
    assert rows["limit-files"].type == "whole number from 1, or null"
    assert rows["chunksize"].unit == "events"
    assert all(row.help.endswith(".") and row.default for row in rows.values())


def test_an_option_with_its_default_in_a_users_class_shows_it() -> None:
    class Mine(DaskOptions):
        cut: float = 0.5
        """Cut."""
        model: str
        """Path."""

    rows = {row.key: row for row in option_rows(Mine, defaults_layers("dask"))}
    assert (rows["cut"].default, rows["model"].default) == ("0.5", "")
    assert "| `model` | text | must be set |  | Path. |" in options_markdown(Mine, defaults_layers("dask"))


def test_the_json_schema_requires_nothing_and_allows_sections() -> None:
    schema = json_schema(model_for("dask@lxplus"), executors=["dask@lxplus"])
    json.dumps(schema)
    assert "required" not in schema
    assert schema["additionalProperties"] is False
    assert schema["properties"]["scaleout"]["minimum"] == 1
    assert schema["properties"]["security"]["enum"] == ["tls", "none"]
    assert "2GB" in schema["properties"]["mem-per-worker"]["examples"]
    assert {"general", "dask", "dask@lxplus", "custom"} <= set(schema["properties"])
    assert all("\n" not in option["description"] for option in schema["properties"].values())


@pytest.mark.parametrize("executor", built_in_executors())
def test_every_model_has_a_json_schema_with_a_description_of_each_option(executor: str) -> None:
    schema = json_schema(model_for(executor))
    assert all(schema["properties"][key]["description"] for key in model_for(executor).option_fields())


def test_markdown_is_a_table_whose_cells_hold_no_bar() -> None:
    lines = options_markdown(model_for("dask@slurm"), defaults_layers("dask@slurm")).splitlines()
    assert len(lines) == len(model_for("dask@slurm").option_fields()) + 2
    assert all(line.replace("\\|", "").count("|") == 6 for line in lines)


def test_a_value_in_one_line_is_yaml() -> None:
    assert flow_text({"a": None, "b": ["x y", True], "c": "12:00"}) == "{a: null, b: [x y, true], c: '12:00'}"
