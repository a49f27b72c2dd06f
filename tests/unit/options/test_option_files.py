"""Files that options name: one that is not there is a fault of the options."""

from __future__ import annotations

from pathlib import Path

import pytest

from pocket_exec.errors import OptionsError
from pocket_exec.options.defaults import defaults_layers, model_for
from pocket_exec.options.files import check_files
from pocket_exec.options.model import GeneralOptions
from pocket_exec.options.resolve import Resolved, resolve
from pocket_exec.options.source import yaml_document


def resolved(executor: str, text: str) -> Resolved[GeneralOptions]:
    given = yaml_document(text, "ro.yaml")
    return resolve(executor, model_for(executor), defaults_layers(executor), [given], known_executors=[executor])


def test_each_missing_file_is_named_with_its_origin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    text = "tls-ca-file: ca.pem\ntls-client-cert: a b.pem\ntls-client-key: key.pem\ndepends-on: [weights.json]\n"
    Path("ca.pem").touch()
    with pytest.raises(OptionsError) as caught:
        check_files(resolved("dask@tls://host:8786", text), Path("/analysis"))
    assert [str(fault) for fault in caught.value.faults] == [
        "depends-on (ro.yaml, line 4): no such file: /analysis/weights.json",
        "tls-client-cert (ro.yaml, line 2): no such file: a b.pem",
        "tls-client-key (ro.yaml, line 3): no such file: key.pem",
    ]
    assert caught.value.status == 3


def test_files_that_are_there_are_no_fault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("weights.json", "home.json"):
        (tmp_path / name).touch()
    check_files(resolved("iterative", "depends-on: [weights.json, ~/home.json]"), tmp_path)
    check_files(resolved("dask@tls://host:8786", ""), tmp_path)
