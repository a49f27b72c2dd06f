"""The table of ratios: on the terminal, and in Markdown for the documentation."""

from __future__ import annotations

import os
import platform
import re
import statistics
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import assert_never

from measure import Figure, Row
from rich.console import Console
from rich.table import Table

PACKAGES = (
    "pocket-exec",
    "coffea",
    "dask",
    "distributed",
    "dask-jobqueue",
    "uproot",
    "awkward",
    "hist",
    "numpy",
    "pydantic",
)
HEAD = ("what", "takes", "beside", "takes", "figure", "of the rounds", "goal", "")


def machine() -> str:
    """Return what was measured on, and with which versions."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    memory_gb = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9
    versions = ", ".join(f"{package} {version(package)}" for package in PACKAGES)
    return (
        f"{datetime.now(UTC):%Y-%m-%d}; {_processor()}, {cores} cores, {memory_gb:.0f} GB, {platform.system()}; "
        f"load before the first measurement {os.getloadavg()[0]:.1f}; Python {platform.python_version()}, {versions}."
    )


def show(rows: Sequence[Row]) -> None:
    """Print the table."""
    table = Table(*HEAD, box=None, pad_edge=False)
    for row in rows:
        style = {"miss": "bold red", "pass": "green"}.get(row.verdict, "")
        *cells, verdict = _cells(row)
        table.add_row(*cells, f"[{style}]{verdict}[/]" if style else verdict)
    Console(width=None if Console().is_terminal else 180).print(table)


def markdown(name: str, rows: Sequence[Row], misses: Sequence[str], machine: str) -> str:
    """Return the table of one measurement as a page's part, which ``parts`` finds again.

    The name ``machine`` is the line that ``machine()`` returned before the measurements, ``misses`` has what ``miss``
    returned for rows.
    """
    lines = [f"**{name}**", "", "| " + " | ".join(HEAD) + " |", "|---|--:|---|--:|--:|--:|--:|---|"]
    lines += ["| " + " | ".join(_cells(row)) + " |" for row in rows]
    counts = " or ".join(map(str, sorted({len(row.ours) for row in rows})))
    return "\n".join([*lines, "", *misses, f"Rounds: {counts}. {machine}", ""])


def miss(row: Row) -> str:
    """Return why a goal is missed and where the time goes, as a part of a page."""
    said = f"Missed: {row.what}, {_figure(row, row.value)}, goal {_goal(row)}. {row.reason}".rstrip()
    return f"{said}\n\n```\n{row.profile().rstrip()}\n```\n" if row.profile is not None else f"{said}\n"


def parts(text: str) -> dict[str, str]:
    """Return the parts of a page that ``markdown`` has written, by the names of their measurements."""
    _, *found = re.split(r"^(?=\*\*[a-z-]+\*\*$)", text, flags=re.MULTILINE)
    return {part.partition("\n")[0].strip("*"): part.strip() + "\n" for part in found}


def _cells(row: Row) -> tuple[str, ...]:
    low, high = row.values
    return (
        row.what,
        _amount(row.ours, row.unit),
        row.beside,
        _amount(row.theirs, row.unit),
        _figure(row, row.value),
        f"{_number(row, low)}-{_number(row, high)}" if len(row.ours) > 1 else "",
        _goal(row),
        row.verdict,
    )


def _number(row: Row, value: float) -> str:
    return f"{value:.3g}" if row.figure is Figure.AMOUNT or abs(value) >= 10 else f"{value:.2f}"


def _figure(row: Row, value: float) -> str:
    match row.figure:
        case Figure.RATIO:
            return _number(row, value)
        case Figure.SPEED_UP:
            return f"{_number(row, value)} x faster"
        case Figure.AMOUNT:
            return f"{_number(row, value)} {row.unit}".rstrip()
    assert_never(row.figure)


def _goal(row: Row) -> str:
    if row.goal is None:
        return ""
    unit = f" {row.unit}".rstrip() if row.figure is Figure.AMOUNT else ""
    return f"{'>=' if row.figure is Figure.SPEED_UP else '<='} {row.goal:g}{unit}"


def _amount(values: Sequence[float], unit: str) -> str:
    if not values:
        return ""
    median = statistics.median(values)
    return (f"{median:.0f} {unit}" if median >= 100 else f"{median:.3g} {unit}").strip()


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())
