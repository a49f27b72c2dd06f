"""Numbers and names as text: counts, rates, times, sizes, and words of the user's that any terminal can show."""

from __future__ import annotations

import os.path
from pathlib import Path

_MINUTE_S, _HOUR_S, _DAY_S = 60, 3600, 86400
_FOREVER_S = 100 * _DAY_S


def compact(number: float) -> str:
    """Return ``number`` in at most five characters, three digits of them significant.

    >>> [compact(n) for n in (0, 7, 9999, 12_345, 1_234_567, 250_000_000, 7.5e9)]
    ['0', '7', '9999', '12.3k', '1.23M', '250M', '7.50G']
    """
    if number < 10_000:
        return f"{number:.0f}"
    # 999.5 would be rounded to four digits.
    power = next((power for power in (1, 2, 3) if number / 1000**power < 999.5), 4)
    number /= 1000**power
    places = 2 if number < 9.995 else 1 if number < 99.95 else 0
    return f"{number:.{places}f}{'kMGT'[power - 1]}"


def speed(per_second: float | None) -> str:
    """Return a rate as ``compact`` does, with a digit after the point where it is small; ``-`` where none is known.

    >>> [speed(r) for r in (None, 0.25, 12.34, 512.0, 120_000.0)]
    ['-', '0.2', '12.3', '512', '120k']
    """
    if per_second is None:
        return "-"
    return f"{per_second:.1f}" if per_second < 99.95 else compact(per_second)


def percent(part: int, whole: int) -> str:
    """Return a percentage that says 100 only when nothing is missing.

    >>> [percent(a, b) for a, b in ((0, 5), (999, 1000), (1000, 1000), (0, 0))]
    ['0 %', '99 %', '100 %', '100 %']
    """
    return f"{100 * part // whole if whole else 100} %"


def clock(seconds: float | None) -> str:
    """Return a time as on a clock, for columns; ``-`` where it is not known.

    >>> [clock(s) for s in (None, 0.2, 35, 133, 3723, 200_000, 1e12)]
    ['-', '0:00', '0:35', '2:13', '1:02:03', '2d07h', '>99d']
    """
    if seconds is None:
        return "-"
    if seconds >= _FOREVER_S:
        return ">99d"
    whole = round(seconds)
    if whole >= _DAY_S:
        return f"{whole // _DAY_S}d{whole % _DAY_S // _HOUR_S:02}h"
    minutes = f"{whole % _HOUR_S // _MINUTE_S}:{whole % _MINUTE_S:02}"
    return minutes if whole < _HOUR_S else f"{whole // _HOUR_S}:{minutes:0>5}"


def duration(seconds: float) -> str:
    """Return a time in words, for sentences.

    >>> [duration(s) for s in (0.42, 35, 133, 3723, 200_000)]
    ['0.4 s', '35 s', '2 min 13 s', '1 h 02 min', '2 d 07 h']
    """
    whole = round(seconds)
    if seconds < 9.95:
        return f"{seconds:.1f} s".replace(".0 s", " s")
    if whole < _MINUTE_S:
        return f"{whole} s"
    if whole < _HOUR_S:
        return f"{whole // _MINUTE_S} min {whole % _MINUTE_S:02} s"
    if whole < _DAY_S:
        return f"{whole // _HOUR_S} h {whole % _HOUR_S // _MINUTE_S:02} min"
    return f"{whole // _DAY_S} d {whole % _DAY_S // _HOUR_S:02} h"


def size(number: int) -> str:
    """Return a number of bytes in powers of 1000.

    >>> [size(n) for n in (0, 999, 12_300, 2_500_000_000)]
    ['0 B', '999 B', '12.3 kB', '2.50 GB']
    """
    if number < 1000:
        return f"{number} B"
    text = compact(number) if number >= 10_000 else f"{number / 1000:.2f}k"
    return f"{text[:-1]} {text[-1]}B"


def count(number: int, noun: str) -> str:
    """Return a number with its noun.

    >>> count(1, "chunk"), count(12_000, "chunk"), count(0, "failure")
    ('1 chunk', '12,000 chunks', 'no failures')
    """
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s" if number else f"no {noun}s"


def from_here(path: Path) -> str:
    """Return a path from the current directory where that is shorter, as one who has given ``-o out`` thinks of it."""
    return min(str(path), os.path.relpath(path), key=len)


def printable(text: str, encoding: str = "utf-8") -> str:
    r"""Return ``text`` on one line, of characters that ``encoding`` has and that move no cursor.

    >>> printable("a\x1b[31mb\nc"), printable("Zµµ", "ascii")
    ('a?[31mb c', 'Z??')
    """
    line = " ".join(text.splitlines())
    safe = line if line.isprintable() else "".join(c if c.isprintable() else "?" for c in line)
    try:
        return safe.encode(encoding, errors="replace").decode(encoding)
    except LookupError:
        return safe.encode("ascii", errors="replace").decode("ascii")


def shorten(text: str, width: int) -> str:
    """Return ``text`` in at most ``width`` characters: names of samples differ at their ends, so the middle goes.

    >>> shorten("DYJetsToLL_M-50_2018", 12), shorten("short", 12)
    ('DYJets..2018', 'short')
    """
    if len(text) <= width:
        return text
    if width <= 4:
        return text[:width]
    tail = (width - 2) * 2 // 5
    return f"{text[: width - 2 - tail]}..{text[-tail:]}"
