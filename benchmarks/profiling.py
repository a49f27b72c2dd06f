"""Where the time of a call goes, in a few lines that fit under a table."""

from __future__ import annotations

import cProfile
import pstats
import sysconfig
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

LINES = 10
OWN_PACKAGES = "pocket_exec"


def profile(call: Callable[[], object]) -> str:
    """Run ``call`` once and return the functions with most time of their own, then this project's by all time below."""
    profiler = cProfile.Profile()
    # A command of click ends by SystemExit.
    with suppress(SystemExit):
        profiler.runcall(call)
    stats = pstats.Stats(profiler).stats  # type: ignore[attr-defined]  # typeshed does not have it
    whole = sum(own for _, _, own, _, _ in stats.values())
    rows = [
        (f"{_place(file, line)} {name}", own / whole, below / whole, calls)
        for (file, line, name), (calls, _, own, below, _) in stats.items()
    ]
    text = [f"{whole:.2f} s under cProfile; share of own time, share with all that it calls, calls"]
    text += _lines(sorted(rows, key=lambda row: -row[1])[:LINES])
    ours = [row for row in rows if row[0].startswith(OWN_PACKAGES)]
    return "\n".join([*text, *_lines(sorted(ours, key=lambda row: -row[2])[:LINES])])


def _lines(rows: list[tuple[str, float, float, int]]) -> list[str]:
    return [f"{own:5.1%} {below:6.1%} {calls:8d}  {place}" for place, own, below, calls in rows]


def _place(file: str, line: int) -> str:
    """Shorten the path to the package's own."""
    if file == "~":
        return "builtin"
    roots = [Path(sysconfig.get_paths()[name]) for name in ("purelib", "platlib", "stdlib")]
    path = Path(file)
    for root in [*roots, Path(__file__).parents[1]]:
        if path.is_relative_to(root):
            return f"{path.relative_to(root)}:{line}"
    return f"{path.name}:{line}"
