"""A factory's options read as a mapping with kebab-case keys, and are its own copy."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import pytest

from pocket_exec.errors import OptionsError
from pocket_exec.options.defaults import built_in_executors, defaults_layers, model_for
from pocket_exec.options.mapping import OptionsMapping
from pocket_exec.options.resolve import Resolved, resolve
from pocket_exec.options.source import from_mapping


def _resolved(**options: Any) -> Resolved[Any]:
    user = [from_mapping({key.replace("_", "-"): value for key, value in options.items()}, "cfg.py")]
    defaults = defaults_layers("dask@slurm")
    return resolve(
        "dask@slurm", model_for("dask@slurm"), defaults, user, known_executors=built_in_executors(), custom_module=True
    )


def test_values_are_as_published_factories_expect_them() -> None:
    options = OptionsMapping.of(_resolved(mem_per_worker="4GB", walltime="6:00:00", custom_setup_commands=["a"]))
    assert f"{options['mem-per-worker']}" == "4GB"
    assert options["mem-per-worker"] + 0 == 4 * 10**9
    assert f"{options['walltime']}" == "06:00:00"
    assert f"--death-timeout {options['death-timeout']}" == "--death-timeout 3600"
    assert options["custom-setup-commands"] + ["b"] == ["a", "b"]
    assert options.get("nothing", 3) == 3
    assert "queue" in options
    assert "nothing" not in options


def test_attributes_and_custom_keys_read_as_well() -> None:
    options = OptionsMapping.of(_resolved(custom={"spanet_model": "m", "cut": {"a": 1}}))
    assert options.mem_per_worker == options["mem-per-worker"]
    assert options["spanet_model"] == options.spanet_model == "m"


def test_writing_changes_only_this_copy() -> None:
    resolved = _resolved(custom={"cut": {"a": 1}}, env={"A": "x"})
    first, second = OptionsMapping.of(resolved), OptionsMapping.of(resolved)
    first["scaleout"] = 3
    first.queue = "other"
    first["cut"]["a"] = 2
    first["env"]["A"] = "y"
    del first["retries"]
    assert (second["scaleout"], second["queue"], second["cut"], second["env"]["A"]) == (10, None, {"a": 1}, "x")
    assert "retries" in second
    assert resolved.options.scaleout == first.model.scaleout == 10
    third = first.copy()
    third["scaleout"] = 4
    assert first["scaleout"] == 3


@pytest.mark.parametrize("again", [copy.copy, copy.deepcopy, lambda options: pickle.loads(pickle.dumps(options))])
def test_it_copies_and_pickles(again: Any) -> None:
    options = OptionsMapping.of(_resolved())
    options["x"] = [1]
    assert dict(again(options)) == dict(options)
    assert again(options).model == options.model


def test_a_missing_key_names_the_nearest() -> None:
    options = OptionsMapping.of(_resolved())
    with pytest.raises(KeyError, match="did you mean 'mem-per-worker'"):
        options["mem_per_worker"]
    with pytest.raises(AttributeError, match="did you mean 'scaleout'"):
        _ = options.scaleuot


def test_a_plain_dictionary_reads_but_has_no_model() -> None:
    options = OptionsMapping.of({"queue": "x"})
    assert options["queue"] == "x"
    with pytest.raises(OptionsError, match="hand on the run_options that your factory got"):
        _ = options.model
    with pytest.raises(TypeError, match="run_options is int"):
        OptionsMapping.of(3)
