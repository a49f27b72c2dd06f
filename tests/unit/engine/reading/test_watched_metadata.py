"""Metadata notice what a schema does with them."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from typing import Any

import pytest

from pocket_exec.engine.reading.watched import MISSING, WatchedMetadata

READS: dict[str, Callable[[Any], object]] = {
    "dict": dict,
    "list": list,
    "len": len,
    "unpacked": lambda metadata: {**metadata},
    "copy": lambda metadata: metadata.copy(),
    "copied": copy.copy,
    "deep copied": copy.deepcopy,
    "items": lambda metadata: metadata.items(),
    "equal": lambda metadata: metadata == {},
    "merged": lambda metadata: metadata | {},
    "merged from the right": lambda metadata: {} | metadata,
    "written": str,
    "json": json.dumps,
    "pop": lambda metadata: metadata.pop("year"),
    "loop": lambda metadata: [key for key in metadata],  # noqa: C416 - what a user's schema does
    "update of another": {}.update,
}


@pytest.mark.parametrize("name", READS)
def test_looking_at_the_whole_is_noticed(name: str) -> None:
    watched = WatchedMetadata({"year": 2018})
    READS[name](watched)
    assert watched.all_seen or "year" in watched.asked


def test_single_keys_are_noticed_with_what_they_gave() -> None:
    watched = WatchedMetadata({"year": 2018, "era": "B", "sample": "x"})
    assert (watched["year"], watched.get("era"), watched.get("none", 1), "sample" in watched) == (2018, "B", 1, True)
    assert watched.asked == {"year": 2018, "era": "B", "none": MISSING, "sample": "x"}
    assert not watched.all_seen


def test_what_is_written_is_noticed_and_reading_it_back_asks_nothing() -> None:
    watched = WatchedMetadata({"year": 2018})
    watched["version"] = "latest"
    watched.update(more=1)
    assert (watched["version"], watched.written, watched.asked) == ("latest", {"version": "latest", "more": 1}, {})
    assert not watched.all_seen
