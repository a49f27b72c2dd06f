"""The failures of a run as a table: one row per error, however many chunks it cost."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from pocket_exec.cli.figures import count
from pocket_exec.cli.fitted import Fitted, cell, headed
from pocket_exec.engine.outcome import Failure
from pocket_exec.runs.failure_log import same_error

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table

_FAILURES = 10
_MESSAGE = 300
"""Characters of an error that are shown; run.json has it whole."""


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
        groups.setdefault(same_error(failure), FailureGroup(failure)).add(failure)
    return sorted(groups.values(), key=lambda group: (group.first.skipped, -group.count))


def failure_table(failures: Sequence[Failure]) -> RenderableType:
    """Return a row per error: how many chunks, what it was, and where it came first."""
    groups = grouped(failures)

    def build(_: int, encoding: str) -> Table:
        table = headed("failed", wrapped=False)
        table.add_column("error, and where it came first", overflow="fold")
        for group in groups[:_FAILURES]:
            error = cell(_error(group.first), encoding, "yellow" if group.first.skipped else "red")
            table.add_row(cell(f"{group.count:,}", encoding), error.append(cell("\n" + _where(group), encoding)))
        if len(groups) > _FAILURES:
            table.add_row("...", f"and {len(groups) - _FAILURES} more, all in run.json", style="dim")
        return table

    return Fitted(build)


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
