"""Checks the words that this program makes itself and that no batch system needs quoted: tags and workers' names."""

from __future__ import annotations

import re

_PLAIN_WORD = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")


def plain_word(what: str, text: str) -> str:
    """Return a worker's name or a run's tag.

    Raises:
        ValueError: it is no plain word.
    """
    if not _PLAIN_WORD.fullmatch(text):
        raise ValueError(f"{what} {text!r} is not a plain word")
    return text
