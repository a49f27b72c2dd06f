"""Reads the end of what a job has printed into files on this machine."""

from __future__ import annotations

import os
from pathlib import Path

_MOST_BYTES = 16 * 1024


def tail(path: Path, most_bytes: int = _MOST_BYTES) -> str:
    """Return the end of a file, from the beginning of a line on where it is cut; "" where there is none to read."""
    try:
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            file.seek(max(0, size - most_bytes))
            text = file.read(most_bytes).decode("utf-8", "replace")
    except OSError:
        return ""
    return text if size <= most_bytes else text.partition("\n")[2] or text


def job_output(directory: Path, name: str) -> str:
    """Return the end of a worker's two streams, standard error last: that is where a failure is told."""
    return "".join(_whole_lines(tail(directory / f"{name}{suffix}")) for suffix in (".out", ".err"))


def _whole_lines(text: str) -> str:
    return f"{text}\n" if text and not text.endswith("\n") else text
