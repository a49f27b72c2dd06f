"""Sizes, durations and times of day: what a user writes, parsed once into typed values."""

from __future__ import annotations

import re
from datetime import time, timedelta
from decimal import Decimal, InvalidOperation
from typing import Any, Self

from pocket_exec.options.parsed import Parsed, shown

_DECIMAL = {"B": 1, "kB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12, "PB": 10**15}
_BINARY = {"KiB": 2**10, "MiB": 2**20, "GiB": 2**30, "TiB": 2**40, "PiB": 2**50}
_UNITS = {**_DECIMAL, **_BINARY}
_BY_LOWER = {unit.lower(): size for unit, size in _UNITS.items()}
_SMALLEST_BARE = 10**6
_NUMBER_AND_WORD = re.compile(r"(\d+(?:\.\d*)?|\.\d+)\s*([A-Za-z]*)", re.ASCII)


class Size(Parsed, int):
    """A number of bytes, whose text is the shortest exact one: ``2GB``, ``1.5GiB``.

    >>> Size.parse("2GiB") + 0, str(Size(7_500_000_000))
    (2147483648, '7.5GB')
    """

    json_type = ("string", "integer")
    pattern = r"^\s*[0-9.]+\s*([kKMGTPmgtp]?[iI]?[bB])?\s*$"
    examples = ("2GB", "2GiB", "500 MB")

    @classmethod
    def parse(cls, value: Any) -> Self:
        """Read ``2GB`` (10^9 bytes), ``2GiB`` (2^30), ``500 MB``, or bare bytes.

        Raises:
            ValueError: it is no size, or it is ambiguous: ``2G``, and a bare number too small to be bytes.
        """
        if isinstance(value, cls):
            return value
        text = _text(value)
        match = _NUMBER_AND_WORD.fullmatch(text) if text is not None else None
        if match is None:
            raise ValueError(f"{shown(value)} is not a size; write '2GB' or '2GiB'")
        number, unit = match.groups()
        if not unit:
            return cls(cls._bare(number))
        if unit.upper() in ("K", "M", "G", "T", "P"):
            letter = unit.upper() if unit.upper() != "K" else "k"
            raise ValueError(
                f"'{text}' can be 1000s or 1024s; write '{number}{letter}B' or '{number}{letter.upper()}iB'"
            )
        if unit.lower() not in _BY_LOWER:
            raise ValueError(f"{shown(value)} is not a size; write '2GB' or '2GiB'")
        return cls(_whole(Decimal(number) * _BY_LOWER[unit.lower()], f"{shown(value)} is not a whole number of bytes"))

    @staticmethod
    def _bare(number: str) -> int:
        size = Decimal(number)
        if size < _SMALLEST_BARE:
            unit = "GB" if size < 1000 else "MB"
            raise ValueError(f"{number} is {number} bytes; write '{number}{unit}'")
        return _whole(size, f"{number} is not a whole number of bytes")

    def __str__(self) -> str:
        """Return the shortest text that gives this very number again."""
        number = int(self)
        if number <= 0:
            return f"{number}B"
        texts = (
            (f"{mantissa}{unit}", "." in mantissa, -size)
            for unit, size in _UNITS.items()
            if size <= number and (mantissa := _mantissa(number, size))
        )
        return min(texts, key=lambda found: (len(found[0]), *found[1:]))[0]

    def __repr__(self) -> str:
        return f"Size({int(self)})"


def _mantissa(number: int, unit: int) -> str:
    """Return ``number / unit`` as an exact decimal, or nothing when it is longer than the bytes themselves."""
    whole, rest = divmod(number, unit)
    digits = ""
    while rest and len(digits) < 6:
        digit, rest = divmod(rest * 10, unit)
        digits += str(digit)
    if rest:
        return ""
    return f"{whole}.{digits}" if digits else str(whole)


_SECONDS_IN = {
    **dict.fromkeys(("s", "sec", "secs", "second", "seconds"), 1),
    **dict.fromkeys(("m", "min", "mins", "minute", "minutes"), 60),
    **dict.fromkeys(("h", "hr", "hrs", "hour", "hours"), 3600),
    **dict.fromkeys(("d", "day", "days"), 86400),
    **dict.fromkeys(("w", "week", "weeks"), 604800),
}
_CLOCK = re.compile(r"(?:(\d+)-)?(\d+):(\d{1,2}):(\d{1,2})", re.ASCII)
_DAYS = re.compile(r"(\d+)-(\d{1,2})(?::(\d{1,2}))?", re.ASCII)
_HOW_LONG = "write '1h30m', '01:30:00' or seconds"


class Duration(Parsed, int):
    """A number of seconds, whose text is ``HH:MM:SS`` as batch systems write it.

    >>> str(Duration.parse("1h30m")), str(Duration.parse("1-00:00:00"))
    ('01:30:00', '24:00:00')
    """

    json_type = ("string", "integer")
    pattern = r"^\s*[0-9][-0-9:.a-z ]*$"
    examples = ("3600", "1h30m", "12:00:00", "1-00:00:00")

    @classmethod
    def parse(cls, value: Any) -> Self:
        """Read seconds, ``1h30m``, ``90 min``, ``HH:MM:SS``, or Slurm's ``D-HH[:MM[:SS]]``.

        Two numbers with one colon are refused: ``12:00`` is minutes and seconds to Slurm and PBS, hours and minutes
        to LSF.

        Raises:
            ValueError: it is no duration, or an ambiguous one.
        """
        if isinstance(value, cls):
            return value
        if isinstance(value, Duration):
            return cls(int(value))
        if isinstance(value, timedelta):
            value = f"{value.total_seconds():f}"
        text = _text(value)
        if text is None:
            raise ValueError(f"{shown(value)} is not a duration; {_HOW_LONG}")
        if clock := _CLOCK.fullmatch(text) or _DAYS.fullmatch(text):
            return cls(_clock_seconds(clock, text))
        if ambiguous := re.fullmatch(r"(\d+):(\d{1,2})", text, re.ASCII):
            long, short = ambiguous.groups()
            raise ValueError(
                f"'{text}' can be hours and minutes or minutes and seconds; "
                f"write '{long}:{short}:00' or '{long}m{short}s'"
            )
        return cls(_whole(_unit_seconds(text), f"'{text}' is not a whole number of seconds"))

    def __str__(self) -> str:
        """Return ``HH:MM:SS``; a day or more stays in hours."""
        minutes, seconds = divmod(int(self), 60)
        hours, minutes = divmod(minutes, 60)
        return f"{hours:02}:{minutes:02}:{seconds:02}"

    def __repr__(self) -> str:
        return f"{type(self).__name__}({int(self)})"


class Seconds(Duration):
    """A duration that other programs take as a plain number (Dask's timeouts): its text is ``3600``."""

    def __str__(self) -> str:
        """Return the number of seconds."""
        return int.__repr__(self)


def _clock_seconds(match: re.Match[str], text: str) -> int:
    days, *clock = (int(part or 0) for part in match.groups())
    hours, minutes, seconds = (*clock, 0)[:3]
    if minutes >= 60 or seconds >= 60:
        raise ValueError(f"'{text}' has more than 59 minutes or seconds; {_HOW_LONG}")
    return ((days * 24 + hours) * 60 + minutes) * 60 + seconds


def _unit_seconds(text: str) -> Decimal:
    words = re.sub(r"\band\b|,", " ", text.lower())
    parts = _NUMBER_AND_WORD.findall(words)
    if not parts or _NUMBER_AND_WORD.sub("", words).strip():
        raise ValueError(f"'{text}' is not a duration; {_HOW_LONG}")
    if len(parts) == 1 and not parts[0][1]:
        return Decimal(parts[0][0])
    if any(word not in _SECONDS_IN for _, word in parts):
        raise ValueError(f"'{text}' is not a duration; {_HOW_LONG}")
    return sum((Decimal(number) * _SECONDS_IN[word] for number, word in parts), Decimal(0))


class TimeOfDay(Parsed, time):
    """A time of day on the clock of the machine that starts the run, such as ``22:30``."""

    pattern = r"^\s*([01]?[0-9]|2[0-3]):[0-5][0-9](:[0-5][0-9])?\s*$"
    examples = ("22:30", "06:00:00")

    @classmethod
    def parse(cls, value: Any) -> Self:
        """Read ``HH:MM`` or ``HH:MM:SS``.

        Raises:
            ValueError: there is no such time.
        """
        if isinstance(value, cls):
            return value
        if isinstance(value, time):
            return cls(value.hour, value.minute, value.second)
        if isinstance(value, str) and re.fullmatch(cls.pattern, value):
            hour, minute, second = (int(part) for part in f"{value.strip()}:0".split(":")[:3])
            return cls(hour, minute, second)
        raise ValueError(f"{shown(value)} is not a time of day; write '22:30'")


def _text(value: Any) -> str | None:
    """Return a number or text as text; None for what can be no quantity."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    return value.strip() if isinstance(value, str) else str(value)


def _whole(number: Decimal, otherwise: str) -> int:
    try:
        whole = int(number)
    except (InvalidOperation, OverflowError, ValueError) as error:
        raise ValueError(otherwise) from error
    if whole != number:
        raise ValueError(otherwise)
    return whole
