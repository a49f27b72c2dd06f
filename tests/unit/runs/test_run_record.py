"""The record of a run."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta, timezone
from enum import Enum
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from pocket_exec.engine.outcome import DatasetOutcome, DatasetPlan, Failure, FaultKind
from pocket_exec.runs.git import GitState
from pocket_exec.runs.key import ContentKey
from pocket_exec.runs.record import DatasetRow, OptionRow, OutputRow, RangeRow, RunRecord, Status, StatusWord
from pocket_exec.runs.record_file import read_record, record_json_schema, record_markdown, write_record
from pocket_exec.runs.results import SavedResult

KEY = ContentKey(options={"chunksize": "100000"}, datasets={"DY": {"files": "f1"}, "TT": {"files": "f2"}})
FAILURE = Failure(
    "DY", "root://me:hunter2@host//f.root", "Events", 0, 9, FaultKind.USER, "KeyError", "'x'", "tb", "wn1", 2
)


def record(**changes: Any) -> RunRecord:
    fields: dict[str, Any] = {
        "version": "0.1.0",
        "started": datetime(2026, 11, 21, 8, 0, tzinfo=UTC),
        "ended": datetime(2026, 11, 21, 8, 1, tzinfo=UTC),
        "seconds": 60.0,
        "status": Status.of(0),
        "executor": "dask@lxplus",
        "engine": "pocket-exec",
    }
    return RunRecord(**fields | changes)


def full_record() -> RunRecord:
    saved = SavedResult(Path("/out/output_DY.coffea"), "DY", ("DY",), False, 12, "abc")
    outcome = DatasetOutcome(DatasetPlan("DY", 1, 2, 20), chunks=1, events=10, seconds=3.5, failures=[FAILURE])
    return record(
        options={"scaleout": OptionRow(value=4, origin="--scaleout")},
        git=GitState(commit="0" * 40, dirty=True),
        datasets=(DatasetRow.of(outcome),),
        outputs=(OutputRow.of(saved, KEY),),
        failures=(RangeRow.of(FAILURE),),
        key=KEY,
        interrupted="SIGINT",
    )


def test_a_record_comes_back_as_it_was_written(tmp_path: Path) -> None:
    write_record(tmp_path / "run.json", full_record())
    assert read_record(tmp_path / "run.json") == (full_record(), "")


def test_times_are_written_in_utc() -> None:
    local = datetime(2026, 11, 21, 9, 0, tzinfo=timezone(timedelta(hours=1)))
    assert json.loads(record(started=local).model_dump_json())["started"] == "2026-11-21T08:00:00Z"


def test_a_time_without_a_zone_is_refused() -> None:
    with pytest.raises(ValidationError):
        record(started=datetime(2026, 11, 21, 9, 0))  # noqa: DTZ001


@pytest.mark.parametrize(
    ("code", "word"),
    [(0, "done"), (1, "bug"), (2, "usage"), (3, "options"), (4, "farm"), (5, "failed"), (6, "partial")],
)
def test_each_exit_status_has_its_word(code: int, word: str) -> None:
    assert Status.of(code).word == word


def test_a_signals_status_is_interrupted_and_an_unknown_one_a_bug() -> None:
    assert {Status.of(code).word for code in (129, 130, 143)} == {StatusWord.INTERRUPTED}
    assert Status.of(77).word is StatusWord.BUG


def test_an_outputs_row_keeps_the_key_of_its_own_datasets() -> None:
    (row,) = full_record().outputs
    assert (row.file, list(row.key.datasets)) == ("output_DY.coffea", ["DY"])


def test_a_datasets_row_counts_what_was_left_out_by_request_as_no_failure() -> None:
    skipped = Failure("DY", "f", "Events", -1, -1, FaultKind.BAD_FILE, "OSError", "", "", "", 1, skipped=True)
    row = DatasetRow.of(DatasetOutcome(DatasetPlan("DY", 1, 2, 20), failures=[FAILURE, skipped]))
    assert row.failures == 1


def test_no_secret_is_in_a_record(tmp_path: Path) -> None:
    options = {
        "uproot-options": OptionRow(value={"token": "hunter2", "timeout": 3}, origin="run.yaml, line 3"),
        "tokenpassword": OptionRow(value="hunter2", origin="--tokenpassword=hunter2"),
        "sched-url": {"value": "tls://me:hunter2@host:8786", "origin": "-O"},
    }
    path = tmp_path / "run.json"
    write_record(path, record(options=options, executor="dask@tls://me:hunter2@h", failures=(RangeRow.of(FAILURE),)))
    assert "hunter2" not in path.read_text()
    assert '"timeout": 3' in path.read_text()


class Colour(Enum):
    """An option's closed set."""

    RED = "red"


def test_option_values_of_any_kind_are_written() -> None:
    values = {
        "p": Path("/a b"),
        "t": (1, 2),
        "s": {"b", "a"},
        "i": float("inf"),
        "e": Colour.RED,
        "d": timedelta(hours=1),
    }
    row = record(options={"custom": {"value": values, "origin": "cfg.py"}}).options["custom"]
    assert row.value == {"p": "/a b", "t": [1, 2], "s": ["a", "b"], "i": "inf", "e": "red", "d": "1:00:00"}


def test_names_that_utf8_cannot_hold_do_not_lose_the_record(tmp_path: Path) -> None:
    write_record(tmp_path / "run.json", record(cfg="/home/\udcff/cfg.py", versions={"\udcff": "\ud800"}))
    read = read_record(tmp_path / "run.json").record
    assert read is not None
    assert read.cfg == "/home/\\udcff/cfg.py"


@pytest.mark.parametrize(
    "data",
    [b"", b"{", b"[]", b"null", b"{}", b"\xff\xfe", b"[" * 100_000, b'{"schema_version": 1}'],
    ids=["empty", "torn", "list", "null", "fields missing", "not utf-8", "deep", "foreign"],
)
def test_what_is_no_record_gives_a_reason(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "run.json").write_bytes(data)
    read = read_record(tmp_path / "run.json")
    assert read.record is None
    assert read.reason.startswith("run.json is not a record that can be used: ")


def test_every_torn_record_gives_a_reason(tmp_path: Path) -> None:
    data = full_record().model_dump_json().encode()
    for end in range(0, len(data) - 1, 37):
        (tmp_path / "run.json").write_bytes(data[:end])
        assert read_record(tmp_path / "run.json").record is None


def test_a_record_of_another_format_is_not_used(tmp_path: Path) -> None:
    text = full_record().model_dump_json().replace('"schema_version":1', '"schema_version":2')
    (tmp_path / "run.json").write_text(text)
    assert read_record(tmp_path / "run.json").reason.endswith("schema_version: Input should be 1")


def test_a_field_of_a_later_version_is_ignored(tmp_path: Path) -> None:
    data = json.loads(full_record().model_dump_json()) | {"later": 1}
    (tmp_path / "run.json").write_text(json.dumps(data))
    assert read_record(tmp_path / "run.json").record == full_record()


def test_a_missing_record_and_one_that_is_a_directory_give_a_reason(tmp_path: Path) -> None:
    assert read_record(tmp_path / "run.json") == (None, "there is no run.json")
    assert "cannot be read" in read_record(tmp_path).reason


def test_every_field_is_documented() -> None:
    schema = record_json_schema()
    parts = {"RunRecord": schema, **schema["$defs"]}
    fields = [(name, field, of) for name, part in parts.items() for field, of in part.get("properties", {}).items()]
    assert [f"{name}.{field}" for name, field, of in fields if not of.get("description")] == []
    markdown = record_markdown()
    assert [field for _, field, _ in fields if f"| `{field}` |" not in markdown] == []


def test_the_schema_names_its_version() -> None:
    schema = record_json_schema()
    assert schema["properties"]["schema_version"]["const"] == 1
    assert schema["$schema"].startswith("https://json-schema.org/")
