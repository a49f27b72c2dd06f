"""A rich console whose reader may go away: a closed pipe ends the printing, not the run."""

from __future__ import annotations

import os
from contextlib import suppress

from rich.console import Console


class Terminal(Console):
    """A console for the run and what closes it.

    Rich's own answer to a closed pipe is to leave the program, with ``/dev/null`` in the place of stdout even where it
    was stderr that broke: the run would end, and the paths of its results with it.
    """

    def on_broken_pipe(self) -> None:
        """Print nothing more to this file."""
        self.quiet = True
        with suppress(OSError, ValueError):
            # Or the interpreter would fail once more when it flushes the file at its end.
            null = os.open(os.devnull, os.O_WRONLY)
            os.dup2(null, self.file.fileno())
            os.close(null)
