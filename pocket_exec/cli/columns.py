"""Prints listings in columns: as wide as the terminal; what goes into a pipe is as wide as it needs to be."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Sequence
from contextlib import suppress

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
    piped = not console.is_terminal
    if piped:
        console = Terminal(highlight=False, width=_reader(in_a_pipe) if in_a_pipe == PROSE else in_a_pipe)
    table = Table(box=None, pad_edge=False, header_style="bold", show_edge=False)
    for number, heading in enumerate(headings):
        between = 0 < number < len(headings) - 1 and in_a_pipe == PROSE
        table.add_column(heading, overflow="fold", max_width=_BESIDE_PROSE if between else None)
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))
    if not piped:
        console.print(table)
        return
    with console.capture() as printed:
        console.print(table)
    # Blanks up to the width would be lines of their own in a narrower pager.
    for line in printed.get().splitlines():
        print(line.rstrip())


def _reader(otherwise: int) -> int:
    """Return the width of the terminal that a pager at the other end of the pipe shows it on, as far as that is known.

    Messages go to that terminal then: only the listing has been sent elsewhere.
    """
    with suppress(OSError, ValueError):
        return os.get_terminal_size(sys.stderr.fileno()).columns
    return otherwise
