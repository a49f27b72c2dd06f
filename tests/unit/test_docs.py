"""Hand-written documentation keeps up with the code."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from pocket_exec import errors

DOCS = Path(__file__).parent.parent.parent / "docs"


def _statuses() -> set[int]:
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type)]
    return {kind.status for kind in kinds if issubclass(kind, errors.PocketExecError)}


def test_the_page_of_exit_statuses_has_that_of_every_error() -> None:
    page = (DOCS / "exit_statuses.md").read_text()
    told = {int(number) for row in re.findall(r"^\| ([\d, ]+) \|", page, re.MULTILINE) for number in row.split(",")}
    assert _statuses() <= told
    assert {0, 2, 129, 130, 143} <= told


@pytest.mark.parametrize("page", sorted(path.name for path in DOCS.glob("*.md")))
def test_a_page_names_no_file_of_the_checkout_that_is_not_there(page: str) -> None:
    text = (DOCS / page).read_text()
    named = set(re.findall(r"\b(?:examples|benchmarks)/[\w./-]*\w", text))
    assert [name for name in named if not (DOCS.parent / name).exists()] == []
