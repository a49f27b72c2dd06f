"""The picture of a run in progress: a row per dataset, as many and as wide as the terminal takes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pocket_exec.cli.figures import clock, compact, count, percent, printable, shorten, speed
from pocket_exec.cli.pace import Progress

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table

_MOST_ROWS = 20
_NAME, _BAR = 10, 12
"""Columns of the terminal that a dataset's name and a bar want at least."""
_GAP = 2
_PERCENT = ""
"""Title of the column that goes with the bar."""


@dataclass(frozen=True)
class Place:
    """The terminal that a picture is for."""

    width: int
    height: int
    encoding: str = "utf-8"


@dataclass(frozen=True)
class _Column:
    title: str
    cells: list[str]
    widest: int = 0
    """Characters that its cells may come to: a column that grows would make the picture jump."""

    @property
    def width(self) -> int:
        return max(len(self.title), self.widest, *map(len, self.cells))


def picture(rows: Sequence[Progress], total: Progress, now: float, elapsed_s: float, place: Place) -> RenderableType:
    """Return the table of the datasets that fit, a total where there are several, and a line about the rest."""
    from rich.console import Group
    from rich.text import Text

    shown = _visible(rows, min(_MOST_ROWS, max(1, place.height - 5)))
    lines = [*shown, total] if len(rows) > 1 else list(shown)
    elapsed = f"{clock(elapsed_s)} elapsed"
    if len(rows) > 1:
        done, running = sum(row.done for row in rows), sum(row.running for row in rows)
        hidden = running - sum(row.running for row in shown)
        more = f" ({hidden} not shown)" if hidden else ""
        waiting = len(rows) - done - running
        elapsed = f"{count(len(rows), 'dataset')}: {done} done, {running} running{more}, {waiting} waiting; {elapsed}"
    last = Text(shorten(elapsed, place.width - 1), style="dim", no_wrap=True)
    return Group(_table(lines, len(rows) > 1, now, place), last) if lines else last


def _visible(rows: Sequence[Progress], room: int) -> list[Progress]:
    if len(rows) <= room:
        return list(rows)
    return [row for row in rows if row.running][:room]


def _table(rows: Sequence[Progress], totalled: bool, now: float, place: Place) -> Table:
    from rich.table import Table
    from rich.text import Text

    names = [printable(row.name, place.encoding) for row in rows]
    longest = max(len("dataset"), *map(len, names))
    free = place.width - 1
    columns = _fitting(_columns(rows, now), free - min(longest, _NAME))
    free -= sum(column.width + _GAP for column in columns)
    barred = columns[0].title == _PERCENT and free - min(longest, 3 * _NAME) >= _BAR + _GAP
    name_width = min(longest, max(4, free - (_BAR + _GAP if barred else 0)))
    bar_width = min(40, free - name_width - _GAP)

    table = Table(box=None, padding=(0, _GAP, 0, 0), pad_edge=False, header_style="dim")
    table.add_column("dataset", no_wrap=True, width=name_width)
    if barred:
        table.add_column("", no_wrap=True, width=bar_width)
    for column in columns:
        table.add_column(column.title, justify="right", no_wrap=True, width=column.width)
    for index, row in enumerate(rows):
        style = "bold" if totalled and index == len(rows) - 1 else ""
        cells: list[RenderableType] = [Text(shorten(names[index], name_width), style=style)]
        if barred:
            cells.append(_bar(row, bar_width))
        cells += [Text(column.cells[index], style=_alarm(column, row) or style) for column in columns]
        table.add_row(*cells)
    return table


def _columns(rows: Sequence[Progress], now: float) -> list[_Column]:
    """Return the numbers of ``rows``, the one that a narrow terminal misses least first."""
    chunks = 2 * max(len(str(row.chunks_planned)) for row in rows) + 1
    return [
        _Column(_PERCENT, [percent(row.events, row.events_planned) for row in rows], 5),
        _Column("chunks", [f"{row.chunks}/{row.chunks_planned}" for row in rows], chunks),
        _Column("events", [f"{compact(row.events)}/{compact(row.events_planned)}" for row in rows], 11),
        _Column("events/s", ["-" if row.done else speed(row.per_second(now)) for row in rows]),
        _Column("left", ["done" if row.done else clock(row.seconds_left(now)) for row in rows], 7),
        _Column("failed", [str(row.failed) for row in rows]),
    ]


def _fitting(columns: list[_Column], room: int) -> list[_Column]:
    """Return the columns that ``room`` characters hold, the last ones first."""
    while len(columns) > 1 and sum(column.width + _GAP for column in columns) > room:
        columns = columns[1:]
    return columns


def _alarm(column: _Column, row: Progress) -> str:
    if column.title != "failed":
        return ""
    return "bold red" if row.failed else "dim"


def _bar(row: Progress, width: int) -> RenderableType:
    from rich.progress_bar import ProgressBar

    whole = max(1, row.events_planned)
    part = row.events if row.events_planned else 1
    return ProgressBar(total=whole, completed=part, width=width, complete_style="cyan", finished_style="green")
