"""How workers read is the user's to say, and what the options say reaches them."""

from __future__ import annotations

from typing import Any

import pytest

import pocket_exec
from pocket_exec.engine.reading import Reading


def reading(**options: Any) -> Reading:
    with pocket_exec.open_executor("iterative", **options) as executor:
        found: Reading = executor.reading
    return found


def test_without_a_word_workers_read_as_an_executor_does_that_was_made_without_options() -> None:
    assert reading() == Reading()


@pytest.mark.parametrize("ahead", [True, False])
def test_what_the_options_say_reaches_the_executor(ahead: bool) -> None:
    expected = Reading(kept_files=7, run_bytes=5_000_000, read_ahead=ahead)
    assert reading(kept_files=7, read_block="5MB", read_ahead=ahead) == expected
