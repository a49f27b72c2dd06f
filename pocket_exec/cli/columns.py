"""Prints listings in columns: as wide as the terminal; what goes into a pipe is as wide as it needs to be."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rich.table import Table
from rich.text import Text

from pocket_exec.cli.terminal import Terminal

LINES, PROSE = 240, 120
"""Characters of a line in a pipe: each row on one line, for ``grep``; or folded, to be read."""
_BESIDE_PROSE = 20
"""The most characters that a column between the first and the last takes from the prose in the last."""


def print_columns(headings: Sequence[str], rows: Iterable[Sequence[str]], in_a_pipe: int = LINES) -> None:
    """Print a table of texts, as they are; ``in_a_pipe`` is its width in characters where there is no terminal."""
    console = Terminal(highlight=False)
    if not console.is_terminal:
        console = Terminal(highlight=False, width=in_a_pipe)
    table = Table(box=None, pad_edge=False, header_style="bold", show_edge=False)
    for number, heading in enumerate(headings):
        between = 0 < number < len(headings) - 1 and in_a_pipe == PROSE
        table.add_column(heading, overflow="fold", max_width=_BESIDE_PROSE if between else None)
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))
    console.print(table)
