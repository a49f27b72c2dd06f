"""Lists what the ledger of an output directory holds, and what of it is not sound."""

from __future__ import annotations

from pathlib import Path

from pocket_exec.cli.columns import print_columns
from pocket_exec.cli.figures import size
from pocket_exec.errors import OutputDirectoryError
from pocket_exec.runs.segment import SUFFIX, SegmentError, read_segment


def show_ledger(outputdir: Path) -> None:
    """Print a row for each block, and one for each file that cannot be trusted; no sum is unpacked.

    Raises:
        OutputDirectoryError: there is no ledger.
    """
    directory = outputdir / "ledger"
    if not directory.is_dir():
        raise OutputDirectoryError(f"{outputdir}: no ledger there; it is in the output directory of a run")
    rows: list[tuple[str, ...]] = []
    for path in sorted(directory.glob(f"*{SUFFIX}")):
        try:
            segment = read_segment(path)
        except SegmentError as error:
            rows.append((path.name, "", "", "", str(error)))
            continue
        for entry in segment.entries:
            try:
                segment.packed(entry.key)
                sound = "sound"
            except (SegmentError, OSError) as error:
                sound = str(error)
            rows.append((entry.what, f"{entry.chunks}", f"{entry.events:,}", size(entry.size), sound))
    print_columns(("block", "chunks", "events", "size", "state"), rows)
