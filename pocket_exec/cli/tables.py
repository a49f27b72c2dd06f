"""What is printed when a run is over: datasets, failures, files written, and one line that sums it up."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pocket_exec.cli.failures import failure_table
from pocket_exec.cli.figures import count, duration, from_here, percent, printable, size, speed
from pocket_exec.cli.fitted import Fitted, cell, headed
from pocket_exec.engine.outcome import DatasetOutcome, DatasetPlan

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.table import Table
    from rich.text import Text

_DATASETS = 30
_FILES = 10
_WIDE = 80
"""Columns from which on a terminal has room for chunks and worker time."""


@dataclass(frozen=True)
class WrittenFile:
    """A result on disk."""

    path: Path
    bytes: int
    partial: bool = False


def show_closing(
    console: Console,
    outcomes: Sequence[DatasetOutcome],
    wall_s: float,
    files: Sequence[WrittenFile],
    *,
    whole: bool = True,
    quiet: bool = False,
) -> None:
    """Print all of it on ``console``; if ``quiet`` the paths only, one a line."""
    from rich.text import Text

    if quiet:
        for file in files:
            console.out(_path(file, console.encoding), highlight=False)
        return
    for part in closing(outcomes, wall_s, files, whole=whole):
        console.print(part, soft_wrap=isinstance(part, Text))


def closing(
    outcomes: Sequence[DatasetOutcome], wall_s: float, files: Sequence[WrittenFile], *, whole: bool = True
) -> Iterator[RenderableType]:
    """Yield what closes a run: tables, and texts that must not be wrapped (paths are copied)."""
    from rich.text import Text

    failures = [failure for outcome in outcomes for failure in outcome.failures]
    for table in (dataset_table(outcomes) if outcomes else None, failure_table(failures) if failures else None):
        if table is not None:
            yield table
            yield Text()
    if files:
        yield from files_lines(files)
    yield result_line(outcomes, wall_s, whole=whole)


def dataset_table(outcomes: Sequence[DatasetOutcome]) -> RenderableType:
    """Return a row per dataset, or per incomplete one where there are many, and the sum of all."""
    shown = list(outcomes)
    if len(shown) > _DATASETS:
        shown = [outcome for outcome in outcomes if not outcome.whole][:_DATASETS]
    hidden = len(outcomes) - len(shown)
    complete = sum(not outcome.whole for outcome in outcomes) <= _DATASETS

    def build(width: int, encoding: str) -> Table:
        table = headed("dataset", wrapped=True)
        left_out = any(failure.skipped for outcome in outcomes for failure in outcome.failures)
        titles = ["events in", "processed", "", *(["chunks", "worker time"] if width >= _WIDE else []), "failed"]
        for title in titles + ["left out"] * left_out:
            table.add_column(title, justify="right", no_wrap=True)
        for outcome in shown:
            table.add_row(*_cells(outcome, table, encoding))
        if hidden:
            more = f"{'and ' if shown else ''}{hidden} {'more, ' if shown else ''}"
            table.add_row(f"{more}{'all complete' if complete else 'in run.json'}", style="dim")
        if len(outcomes) > 1:
            table.add_row(*_cells(summed(outcomes), table, encoding), style="bold")
        return table

    return Fitted(build)


def files_lines(files: Sequence[WrittenFile]) -> Iterator[Text]:
    """Yield the directory and a line per file written there, of many the first ones; partial ones come first."""
    from rich.text import Text

    yield Text("written to ", style="dim").append(printable(from_here(files[0].path.parent)), style="not dim")
    for file in sorted(files, key=lambda file: not file.partial)[:_FILES]:
        line = Text(f"  {size(file.bytes):>8}  {printable(file.path.name)}")
        yield line.append("  partial", style="yellow") if file.partial else line
    if len(files) > _FILES:
        total = size(sum(file.bytes for file in files))
        yield Text(f"  ... and {len(files) - _FILES} more, {total} in all; listed in run.json", style="dim")


def result_line(outcomes: Sequence[DatasetOutcome], wall_s: float, *, whole: bool = True) -> Text:
    """Return what came of it all, in one sentence; not ``whole``: something else than chunks is missing."""
    from rich.text import Text

    total = summed(outcomes)
    computed = total.events - total.events_resumed
    rate = f", {speed(computed / wall_s)} events/s" if wall_s > 0 and computed > 0 else ""
    resumed = f", {total.events_resumed:,} of them from an earlier run," if total.events_resumed else ""
    said = f"{count(total.events, 'event')} of {count(len(outcomes), 'dataset')}{resumed} in {duration(wall_s)}{rate}"
    said = "; ".join([said, *_missing(total)])
    if whole and outcomes and all(outcome.whole for outcome in outcomes):
        return Text(f"Done: {said}", style="bold green")
    return Text(f"{'Incomplete' if total.events else 'Nothing processed'}: {said}", style="bold yellow")


def _missing(total: DatasetOutcome) -> Iterator[str]:
    """Yield in words what is not in the result; events of files that could not be opened are not known."""
    failed = [failure for failure in total.failures if not failure.skipped]
    left_out = len(total.failures) - len(failed)
    unopened = sum(failure.entrystart < 0 for failure in failed)
    events = total.plan.events - total.events
    if events > 0 and (failed or not left_out):
        yield f"{count(events, 'event')} missing"
    if unopened:
        yield f"{count(unopened, 'file')} not read"
    if left_out:
        yield f"{count(left_out, 'unreadable part')} left out"


def summed(outcomes: Sequence[DatasetOutcome]) -> DatasetOutcome:
    """Return all datasets as one."""
    plans = [outcome.plan for outcome in outcomes]
    plan = DatasetPlan(
        "total",
        sum(plan.files for plan in plans),
        sum(plan.chunks for plan in plans),
        sum(plan.events for plan in plans),
    )
    return DatasetOutcome(
        plan,
        chunks=sum(outcome.chunks for outcome in outcomes),
        resumed=sum(outcome.resumed for outcome in outcomes),
        events=sum(outcome.events for outcome in outcomes),
        events_resumed=sum(outcome.events_resumed for outcome in outcomes),
        seconds=sum(outcome.seconds for outcome in outcomes),
        failures=[failure for outcome in outcomes for failure in outcome.failures],
        settled=all(outcome.settled for outcome in outcomes),
    )


def _cells(outcome: DatasetOutcome, table: Table, encoding: str) -> Iterator[Text]:
    """Yield the cells of a dataset's row for the columns that ``table`` has."""
    plan = outcome.plan
    left_out = sum(1 for failure in outcome.failures if failure.skipped)
    failed = len(outcome.failures) - left_out
    texts = {
        "dataset": (plan.dataset, ""),
        "events in": (f"{plan.events:,}", ""),
        "processed": (f"{outcome.events:,}", ""),
        "": _share(outcome),
        "chunks": (f"{outcome.chunks:,}/{plan.chunks:,}", ""),
        "worker time": (duration(outcome.seconds), ""),
        "failed": (f"{failed:,}", "red" if failed else "dim"),
        "left out": (f"{left_out:,}", "yellow" if left_out else "dim"),
    }
    for column in table.columns:
        text, style = texts[str(column.header)]
        yield cell(text, encoding, style)


def _share(outcome: DatasetOutcome) -> tuple[str, str]:
    """Return the processed part of a dataset and its style: 100 % only where nothing is missing.

    The events of a file that could not be opened are not known, and so not among those planned.
    """
    if outcome.failures and not outcome.events:
        return "0 %", "yellow"
    share = percent(outcome.events, outcome.plan.events)
    if outcome.events < outcome.plan.events:
        return share, "yellow"
    return (share, "") if outcome.whole else (f"< {share}", "yellow")


def _path(file: WrittenFile, encoding: str) -> str:
    return str(file.path).encode(encoding, "backslashreplace").decode(encoding)
