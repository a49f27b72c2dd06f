"""Lists what the ledger of an output directory holds, and what of it is not sound."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from pocket_exec.cli.columns import print_columns
from pocket_exec.cli.figures import size
from pocket_exec.errors import OutputDirectoryError
from pocket_exec.runs.record_file import read_record
from pocket_exec.runs.segment import LEDGER, SUFFIX, Reader, Segment, SegmentError, read_segment

_BLOCK = re.compile(r"(?P<dataset>.*?), (?:.*/)?(?P<file>[^/]*?)(?:, entries (?P<entries>\d+-\d+))?")
"""A block in the words of ``runs.ledger``."""


def show_ledger(outputdir: Path) -> None:
    """Print a row for each block, and one for each file that cannot be trusted; no sum is unpacked.

    The last line says how many of all chunks the last run came to, where it has left a record of that.

    Raises:
        OutputDirectoryError: there is no ledger.
    """
    directory = outputdir / LEDGER
    if not directory.is_dir():
        raise OutputDirectoryError(f"{outputdir}: no ledger there; it is in the output directory of a run")
    rows: list[tuple[str, ...]] = []
    unsound: list[tuple[str, ...]] = []
    for path in sorted(directory.glob(f"*{SUFFIX}")):
        try:
            segment = read_segment(path)
        except SegmentError as error:
            unsound.append((path.name, "", "", "", "", "", str(error)))
            continue
        rows += _rows(segment)
    rows.sort(key=_place)
    print_columns(("dataset", "file", "entries", "chunks", "events", "size", "state"), [*rows, *unsound])
    record = read_record(outputdir / "run.json").record
    if record is not None and (planned := sum(row.chunks for row in record.datasets)):
        done = sum(row.chunks_done for row in record.datasets)
        print(f"{done} of {planned} chunks were done when the last run ended")


def _rows(segment: Segment) -> Iterator[tuple[str, ...]]:
    with Reader() as reader:
        for entry in segment.entries:
            try:
                reader.packed(segment, entry.key)
                sound = "sound"
            except (SegmentError, OSError) as error:
                sound = str(error)
            yield *_block(entry.what), f"{entry.chunks}", f"{entry.events:,}", size(entry.size), sound


def _place(row: tuple[str, ...]) -> tuple[str, str, int]:
    dataset, file, entries = row[:3]
    return dataset, file, int(entries.partition("-")[0]) if entries[:1].isdigit() else -1


def _block(what: str) -> tuple[str, str, str]:
    """Return dataset, name of the file, and entries; empty where a block is of whole files."""
    found = _BLOCK.fullmatch(what)
    return (found["dataset"], found["file"], found["entries"] or "all") if found else (what, "", "")
