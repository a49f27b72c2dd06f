"""The flags that click does not know: options of the running executor, each as ``--name value``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from pocket_exec.errors import Fault, OptionsError

if TYPE_CHECKING:
    from pocket_exec.options.source import FlagValue

GONE = {
    "--resubmit-failed": "run again with the same -o: what is finished stays, what is partial is made anew",
    "--use-redirector": "write the redirector's address in the fileset, as the file or as one of its replicas",
    "--blocklist-sites": "leave the site's replicas out of the fileset",
}
"""Flags of PocketCoffea's runner, and what to do instead."""


def flag_values(words: Sequence[str], assignments: Sequence[str] = ()) -> list[FlagValue]:
    """Return what ``--name value``, ``--name=value`` and a bare ``--name`` say, and ``assignments`` of ``-O``.

    Raises:
        OptionsError: all words that are none of these, at once.
    """
    from pocket_exec.options.source import FlagValue, parse_assignment

    values: list[FlagValue] = []
    faults: list[Fault] = []
    left = list(words)
    while left:
        word = left.pop(0)
        name, equals, text = word.partition("=")
        if name in GONE:
            faults.append(Fault(name, f"not an option here; {GONE[name]}"))
            while left and not _is_flag(left[0]):
                del left[0]
            continue
        if not name.startswith("--") or len(name) < 3:
            faults.append(Fault(word, "unexpected; flags are written --name value, or --name=value"))
            continue
        value: str | None = text if equals else None
        if not equals and left and not _is_flag(left[0]):
            value = left.pop(0)
        values.append(FlagValue(name.removeprefix("--"), value, name))
    for text in assignments:
        try:
            values.append(parse_assignment(text))
        except OptionsError as error:
            faults += error.faults
    if faults:
        raise OptionsError(faults, "Bad command line")
    return values


def _is_flag(word: str) -> bool:
    """Whether a word begins a new flag: ``-5`` is a number."""
    return word.startswith("-") and not word[1:2].isdigit() and word != "-"
