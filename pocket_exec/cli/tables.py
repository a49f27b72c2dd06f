"""What is printed when a run is over: datasets, failures, files written, and one line that sums it up."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from pocket_exec.cli.figures import count, duration, percent, printable, size, speed
from pocket_exec.engine.outcome import DatasetOutcome, DatasetPlan, Failure

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
    from rich.table import Table
    from rich.text import Text

_DATASETS = 30
_FAILURES = 10
_FILES = 10
_MESSAGE = 300
"""Characters of an error that are shown; run.json has it whole."""
_WIDE = 80
"""Columns from which on a terminal has room for chunks and worker time."""


@dataclass(frozen=True)
class WrittenFile:
    """A result on disk."""

    path: Path
    bytes: int
    partial: bool = False


@dataclass
class FailureGroup:
    """Failures of one error, wherever it happened."""

    first: Failure
    count: int = 0
    datasets: set[str] = field(default_factory=set)
    files: set[str] = field(default_factory=set)
    hosts: set[str] = field(default_factory=set)
    attempts: int = 0
    """The most that one of its chunks had."""

    def add(self, failure: Failure) -> None:
        """Take in a failure of the same error."""
        self.count += 1
        self.datasets.add(failure.dataset)
        self.files.add(failure.file)
        self.hosts.add(failure.host)
        self.attempts = max(self.attempts, failure.attempts)


def grouped(failures: Iterable[Failure]) -> list[FailureGroup]:
    """Return the failures, those of the same error together; the commonest first, what was left out last."""
    groups: dict[tuple[object, ...], FailureGroup] = {}
    for failure in failures:
        # Storage errors name the file: that does not make them different.
        message = failure.message.replace(failure.file, "") if failure.file else failure.message
        groups.setdefault((failure.skipped, failure.kind, failure.error, message), FailureGroup(failure)).add(failure)
    return sorted(groups.values(), key=lambda group: (group.first.skipped, -group.count))


def show_closing(
    console: Console,
    outcomes: Sequence[DatasetOutcome],
    wall_s: float,
    files: Sequence[WrittenFile],
    *,
    quiet: bool = False,
) -> None:
    """Print all of it on ``console``; if ``quiet`` the paths only, one a line."""
    from rich.text import Text

    if quiet:
        for file in files:
            console.out(_path(file, console.encoding), highlight=False)
        return
    for part in closing(outcomes, wall_s, files):
        console.print(part, soft_wrap=isinstance(part, Text))


def closing(
    outcomes: Sequence[DatasetOutcome], wall_s: float, files: Sequence[WrittenFile]
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
    yield result_line(outcomes, wall_s)


def dataset_table(outcomes: Sequence[DatasetOutcome]) -> RenderableType:
    """Return a row per dataset, or per incomplete one where there are many, and the sum of all."""
    shown = list(outcomes)
    if len(shown) > _DATASETS:
        shown = [outcome for outcome in outcomes if not outcome.whole][:_DATASETS]
    hidden = len(outcomes) - len(shown)
    rest = all(outcome.whole for outcome in outcomes if outcome not in shown)

    def build(width: int, encoding: str) -> Table:
        table = _headed("dataset", wrapped=True)
        left_out = any(failure.skipped for outcome in outcomes for failure in outcome.failures)
        titles = ["events in", "processed", "", *(["chunks", "worker time"] if width >= _WIDE else []), "failed"]
        for title in titles + ["left out"] * left_out:
            table.add_column(title, justify="right", no_wrap=True)
        for outcome in shown:
            table.add_row(*_cells(outcome, table, encoding))
        if hidden:
            more = f"{'and ' if shown else ''}{hidden} {'more, ' if shown else ''}"
            table.add_row(f"{more}{'all complete' if rest else 'in run.json'}", style="dim")
        if len(outcomes) > 1:
            table.add_row(*_cells(summed(outcomes), table, encoding), style="bold")
        return table

    return _Fitted(build)


def failure_table(failures: Sequence[Failure]) -> RenderableType:
    """Return a row per error: how many chunks, what it was, and where it came first."""
    groups = grouped(failures)

    def build(_: int, encoding: str) -> Table:
        table = _headed("failed", wrapped=False)
        table.add_column("error, and where it came first", overflow="fold")
        for group in groups[:_FAILURES]:
            error = _cell(_error(group.first), encoding, "yellow" if group.first.skipped else "red")
            table.add_row(_cell(f"{group.count:,}", encoding), error.append(_cell("\n" + _where(group), encoding)))
        if len(groups) > _FAILURES:
            table.add_row("...", f"and {len(groups) - _FAILURES} more, all in run.json", style="dim")
        return table

    return _Fitted(build)


def files_lines(files: Sequence[WrittenFile]) -> Iterator[Text]:
    """Yield a line per file written, of many the first ones, partial ones before the others."""
    from rich.text import Text

    yield Text("written", style="dim")
    for file in sorted(files, key=lambda file: not file.partial)[:_FILES]:
        line = Text(f"  {size(file.bytes):>8}  {printable(str(file.path))}")
        yield line.append("  partial", style="yellow") if file.partial else line
    if len(files) > _FILES:
        total = size(sum(file.bytes for file in files))
        yield Text(f"  ... and {len(files) - _FILES} more, {total} in all; listed in run.json", style="dim")


def result_line(outcomes: Sequence[DatasetOutcome], wall_s: float) -> Text:
    """Return what came of it all, in one sentence."""
    from rich.text import Text

    total = summed(outcomes)
    rate = f", {speed(total.events / wall_s)} events/s" if wall_s > 0 and total.events else ""
    said = f"{count(total.events, 'event')} of {count(len(outcomes), 'dataset')} in {duration(wall_s)}{rate}"
    if outcomes and all(outcome.whole for outcome in outcomes):
        return Text(f"Done: {said}", style="bold green")
    missing = total.plan.events - total.events
    left = f"; {count(missing, 'event')} missing" if missing > 0 else ""
    return Text(f"{'Incomplete' if total.events else 'Nothing processed'}: {said}{left}", style="bold yellow")


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
        sum(outcome.chunks for outcome in outcomes),
        sum(outcome.events for outcome in outcomes),
        sum(outcome.seconds for outcome in outcomes),
        [failure for outcome in outcomes for failure in outcome.failures],
        all(outcome.settled for outcome in outcomes),
    )


class _Fitted:
    """A table that is made once the width and the encoding of the terminal are known."""

    def __init__(self, build: Callable[[int, str], Table]) -> None:
        self._build = build

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        yield self._build(options.max_width, options.encoding)


def _headed(first: str, *, wrapped: bool) -> Table:
    from rich.table import Table

    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="dim")
    table.add_column(first, overflow="fold", no_wrap=not wrapped, min_width=10 if wrapped else None)
    return table


def _cells(outcome: DatasetOutcome, table: Table, encoding: str) -> Iterator[Text]:
    """Yield the cells of a dataset's row for the columns that ``table`` has."""
    plan = outcome.plan
    left_out = sum(1 for failure in outcome.failures if failure.skipped)
    failed = len(outcome.failures) - left_out
    texts = {
        "dataset": (plan.dataset, ""),
        "events in": (f"{plan.events:,}", ""),
        "processed": (f"{outcome.events:,}", ""),
        "": (percent(outcome.events, plan.events), "" if outcome.events >= plan.events else "yellow"),
        "chunks": (f"{outcome.chunks:,}/{plan.chunks:,}", ""),
        "worker time": (duration(outcome.seconds), ""),
        "failed": (f"{failed:,}", "red" if failed else "dim"),
        "left out": (f"{left_out:,}", "yellow" if left_out else "dim"),
    }
    for column in table.columns:
        text, style = texts[str(column.header)]
        yield _cell(text, encoding, style)


def _error(failure: Failure) -> str:
    message = failure.message.strip()
    if len(message) > _MESSAGE:
        message = f"{message[:_MESSAGE]}..."
    return ": ".join(part for part in (failure.error, message) if part)


def _where(group: FailureGroup) -> str:
    first = group.first
    attempts = f"{'up to ' if group.count > 1 else ''}{count(group.attempts, 'attempt')}"
    host = f" on {first.host}{_others(group.hosts, 'host')}" if first.host else ""
    left_out = ", left out by skip-bad-files" if first.skipped else ""
    return (
        f"{first.kind}{left_out}; {attempts}{host}\n"
        f"{first.dataset}{_others(group.datasets, 'dataset')}, entries {first.entries}\n"
        f"{first.file}{_others(group.files, 'file')}"
    )


def _others(names: set[str], noun: str) -> str:
    return f" (and {count(len(names) - 1, f'more {noun}')})" if len(names) > 1 else ""


def _cell(text: str, encoding: str, style: str = "") -> Text:
    from rich.text import Text

    return Text("\n".join(printable(line, encoding) for line in text.split("\n")), style=style)


def _path(file: WrittenFile, encoding: str) -> str:
    return str(file.path).encode(encoding, "backslashreplace").decode(encoding)
