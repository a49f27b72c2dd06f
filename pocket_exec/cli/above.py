"""What others print while bars are shown goes above them, a whole line at a time."""

from __future__ import annotations

import io
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TextIO

if TYPE_CHECKING:
    from rich.console import Console


class AboveBars(io.TextIOBase):
    """Stands for ``sys.stdout`` or ``sys.stderr`` while ``console`` shows bars.

    Rich's own stand-in reads a flushed piece of a line as markup, and fails in the print of the user's processor
    where that is none; it also has no encoding.
    """

    def __init__(self, console: Console, file: TextIO) -> None:
        self._console = console
        self._file = file
        self._begun = ""

    @property
    def rich_proxied_file(self) -> TextIO:
        """The file itself, where rich looks for it."""
        return self._file

    @property
    def encoding(self) -> str:  # type: ignore[override]
        """The file's encoding."""
        return self._file.encoding

    @property
    def errors(self) -> str | None:  # type: ignore[override]
        """What the file does with characters that its encoding lacks."""
        return self._file.errors

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)

    def fileno(self) -> int:
        """Return the file's descriptor."""
        return self._file.fileno()

    def isatty(self) -> bool:
        """Return whether the file is a terminal."""
        return self._file.isatty()

    def writable(self) -> bool:
        """Return True."""
        return True

    def write(self, text: str) -> int:
        """Print the lines that are whole by now; the rest waits for its end."""
        lines, newline, self._begun = (self._begun + text).rpartition("\n")
        if newline:
            self._print(lines)
        return len(text)

    def finish(self) -> None:
        """Print what waits for its end."""
        begun, self._begun = self._begun, ""
        if begun:
            self._file.write(begun)
            self._file.flush()

    def _print(self, lines: str) -> None:
        from rich.text import Text

        try:
            self._console.print(Text.from_ansi(lines), soft_wrap=True)
        except (Exception, SystemExit):  # noqa: BLE001
            # Rich leaves the program on a broken pipe; a plain print raises what it always did.
            self._file.write(f"{lines}\n")


@contextmanager
def printed_above(console: Console) -> Iterator[None]:
    """Put what is printed on terminals above the bars of ``console``; files and pipes get theirs as ever."""
    before = sys.stdout, sys.stderr
    ours = [AboveBars(console, file) if _is_terminal(file) else file for file in before]
    sys.stdout, sys.stderr = ours
    try:
        yield
    finally:
        # Whoever has put something else there since keeps it.
        sys.stdout = before[0] if sys.stdout is ours[0] else sys.stdout
        sys.stderr = before[1] if sys.stderr is ours[1] else sys.stderr
        for file in ours:
            if isinstance(file, AboveBars):
                file.finish()


def _is_terminal(file: Any) -> bool:
    try:
        return bool(file.isatty())
    except (AttributeError, ValueError):
        return False
