"""Keeps secrets out of what a run writes down: passwords, tokens and keys become ``***``."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

MASK = "***"

_WORDS = "passw|passphrase|token|secret|credential|authori[sz]ation|authz|cookie|bearer|signature"
_CREDENTIAL_KEY = re.compile(rf"{_WORDS}|(?:keys?|pwd)$", re.IGNORECASE)
_KEY_IN_TABLE = re.compile(rf"(?:(?:{_WORDS})[\w.-]*|(?:keys?|pwd))['\"]?\s*:", re.IGNORECASE)
_FLAG = re.compile(r"--|-[A-Za-z]{1,2}$")
"""What follows a flag without being its value; a password may begin with a dash."""
_USERINFO = re.compile(r"(?<=://)[^/\s'\"]+@")
_NAMED = re.compile(r"(?i)((?:passw(?:or)?d|passphrase|token|secret|authz|signature|api[-_]?key)=)[^\s&'\",;]+")
_BEARER = re.compile(r"(?i)(bearer(?:\s+|%20))[\w.~+/=-]{8,}")
_JSON_WEB_TOKEN = re.compile(r"\beyJ[\w-]{8,}\.[\w-]+\.[\w-]*")


def masked_text(text: str) -> str:
    """Return ``text`` without the userinfo of its URLs, its bearer tokens and the values of ``password=...`` and such.

    >>> masked_text("https://me:pw@host/f.root?authz=abc")
    'https://***@host/f.root?authz=***'
    """
    text = _USERINFO.sub(f"{MASK}@", text)
    text = _BEARER.sub(rf"\1{MASK}", text)
    text = _NAMED.sub(rf"\1{MASK}", text)
    return _JSON_WEB_TOKEN.sub(MASK, text)


def masked_value(value: Any, key: str = "") -> Any:
    """Return an option's value with each value hidden whose key looks like a credential, at any depth.

    Tables, lists and tuples are copied; truth values and None stay as they are under any key.

    >>> masked_value({"timeout": 3, "s3": {"key": "AKIA", "anon": False}})
    {'timeout': 3, 's3': {'key': '***', 'anon': False}}
    """
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, Mapping):
        return {masked_text(str(k)): masked_value(v, str(k)) for k, v in value.items()}
    if _CREDENTIAL_KEY.search(key):
        return MASK
    if isinstance(value, (list, tuple)):
        return [masked_value(v) for v in value]
    return masked_text(value) if isinstance(value, str) else value


def masked_command(args: list[str]) -> list[str]:
    """Return a command line's words with the value hidden of each flag, and each ``-O``, that looks like a credential.

    >>> masked_command(["runner.py", "--token", "abc", "-O", "s3.key=abc", "--custom", "{pwd: abc}", "-s", "4"])
    ['runner.py', '--token', '***', '-O', 's3.key=***', '--custom', '***', '-s', '4']
    """
    masked: list[str] = []
    hide = False
    for arg in args:
        name, equals, value = arg.partition("=")
        # A path may have such a name in it, an option cannot have a path in its name.
        credential = "/" not in name and _CREDENTIAL_KEY.search(name) is not None
        if hide and not _FLAG.match(arg):
            masked.append(MASK)
        elif equals and (credential or _holds_credential(value)):
            masked.append(f"{name}={MASK}")
        else:
            masked.append(MASK if _holds_credential(arg) else masked_text(arg))
        hide = credential and not equals and arg.startswith("-")
    return masked


def _holds_credential(text: str) -> bool:
    return text.lstrip().startswith("{") and _KEY_IN_TABLE.search(text) is not None
