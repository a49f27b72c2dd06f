"""Tables that are made once the width and the encoding of the terminal are known, and safe cells for them."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from pocket_exec.cli.figures import printable

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions, RenderResult
    from rich.table import Table
    from rich.text import Text


class Fitted:
    """A table that ``build`` makes for a width and an encoding."""

    def __init__(self, build: Callable[[int, str], Table]) -> None:
        self._build = build

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        yield self._build(options.max_width, options.encoding)


def headed(first: str, *, wrapped: bool) -> Table:
    """Return a table with its first column."""
    from rich.table import Table

    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="dim")
    table.add_column(first, overflow="fold", no_wrap=not wrapped, min_width=10 if wrapped else None)
    return table


def cell(text: str, encoding: str, style: str = "") -> Text:
    """Return a user's text, line by line, as ``encoding`` can show it."""
    from rich.text import Text

    return Text("\n".join(printable(line, encoding) for line in text.split("\n")), style=style)
