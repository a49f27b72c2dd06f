"""How chunks are read: what may be kept, and how much is read at once."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Reading:
    """Bounds of what a worker keeps; each of its threads has its own files and columns."""

    kept_files: int = 3
    """Open files with their trees; the tree of a NanoAOD file takes tens of megabytes."""
    run_bytes: int = 64_000_000
    """Uncompressed size of the columns that are read at once; a single chunk may be larger."""
    read_ahead: bool = True
    """Whether the next columns of a remote file are read while these are processed: half of ``run_bytes`` at most."""
