"""Keeps secrets out of what a run writes down: passwords, tokens and keys become ``***``."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

MASK = "***"

_CREDENTIAL_KEY = re.compile(
    r"passw|passphrase|token|secret|credential|authori[sz]ation|authz|cookie|bearer|signature|(?:keys?|pwd)$",
    re.IGNORECASE,
)
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
    """Return a command line's words with the value of each flag hidden that looks like a credential.

    >>> masked_command(["runner.py", "--token", "abc", "--api-key=abc", "-s", "4"])
    ['runner.py', '--token', '***', '--api-key=***', '-s', '4']
    """
    masked: list[str] = []
    hide = False
    for arg in args:
        flag, equals, _ = arg.partition("=")
        credential = arg.startswith("-") and _CREDENTIAL_KEY.search(flag) is not None
        if hide and not arg.startswith("-"):
            masked.append(MASK)
        elif credential and equals:
            masked.append(f"{flag}={MASK}")
        else:
            masked.append(masked_text(arg))
        hide = credential and not equals
    return masked
