"""A rich console whose reader may go away: a closed pipe or terminal ends the printing, not the run."""

from __future__ import annotations

from contextlib import suppress
from types import TracebackType

from rich.console import Console

from pocket_exec.cli.closed_terminal import leave_closed_terminal, silence


class Terminal(Console):
    """A console for the run and what closes it.

    Rich's own answer to a closed pipe is to leave the program, with ``/dev/null`` in the place of stdout even where it
    was stderr that broke: the run would end, and the paths of its results with it. To a closed terminal it has none.
    """

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Print what has been gathered, as far as there is anyone to read it."""
        try:
            super().__exit__(kind, error, traceback)
        except OSError:
            self.on_broken_pipe()

    def on_broken_pipe(self) -> None:
        """Print nothing more to this file."""
        self.quiet = True
        # Or the interpreter would fail once more when it flushes the file at its end.
        with suppress(OSError, ValueError):
            silence(self.file.fileno())
        leave_closed_terminal()
