"""Quotes words for a submit description, by HTCondor's own rules.

Source: HTCondor's manual, condor_submit, and trials with version 25.14. A value ends with its line and is not quoted;
``$(X)`` and ``$F(X)`` in it are macros, ``$$(X)`` one that is filled in when the job is matched, and ``$(DOLLAR)`` is a
dollar sign, which is read again with what follows it. A line that ends in a backslash goes on in the next.
"""

from __future__ import annotations

import re
from pathlib import Path

from pocket_exec.errors import Fault, OptionsError

_MACRO = re.compile(r"\$(?=\w*\()")
_NO_WAY_TO_SAY = re.compile(r"\$\$\w*\(|\$\(DOLLAR\)", re.IGNORECASE)


def plain_value(what: str, text: str | Path) -> str:
    """Return a path or word as the value of a line.

    Raises:
        OptionsError: a line cannot hold it.
    """
    value = str(text)
    if broken := _cannot_stand(value):
        raise OptionsError([Fault(what, f"{value!r} {broken}, which cannot be said to HTCondor; choose another name")])
    return _MACRO.sub("$(DOLLAR)", value)


def listed(what: str, paths: tuple[Path, ...]) -> str:
    """Return paths as a list of HTCondor's, between commas.

    Raises:
        OptionsError: a path holds a comma, or what no line can hold.
    """
    for path in paths:
        if "," in str(path):
            raise OptionsError([Fault(what, f"'{path}' holds a comma, which HTCondor takes for the end of a name")])
    return ", ".join(plain_value(what, path) for path in paths)


def classad_string(what: str, text: str) -> str:
    """Return a word as a ClassAd string, in its quotes.

    Raises:
        OptionsError: a line cannot hold it.
    """
    if "\\" in text:
        raise OptionsError(
            [Fault(what, f"{text!r} holds a backslash, which HTCondor's versions read in different ways")]
        )
    return '"' + plain_value(what, text).replace('"', '\\"') + '"'


def expression(what: str, text: str) -> str:
    """Return a line of the user's as it is.

    Raises:
        OptionsError: it is not one line.
    """
    if why := not_one_line(text):
        raise OptionsError([Fault(what, why)])
    return text


def not_one_line(text: str) -> str:
    """Return why a line of the user's would be more or less than one; nothing where it is one."""
    if re.search(r"[\n\r]", text):
        return f"{text!r} holds a line break; write it in one line"
    if text.rstrip().endswith("\\"):
        return f"{text!r} ends in a backslash, and HTCondor would take the next line for a part of it"
    return ""


def _cannot_stand(value: str) -> str:
    if re.search(r"[\n\r\0]", value):
        return "holds a line break"
    if value != value.strip():
        return "begins or ends with a space"
    if value.endswith("\\"):
        return "ends in a backslash"
    if macro := _NO_WAY_TO_SAY.search(value):
        return f"holds '{macro[0]}'"
    return ""
