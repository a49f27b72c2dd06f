"""Whether a directory's finished results stay, are refused to be overwritten, or are to be made."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pocket_exec.errors import OutputDirectoryError
from pocket_exec.runs.key import SKIP_BAD_FILES, ContentKey, differences
from pocket_exec.runs.names import ALL, result_name
from pocket_exec.runs.record import OutputRow, RunRecord, StatusWord
from pocket_exec.runs.results import ExistingResult

_SHOWN = 12


@dataclass(frozen=True)
class Run:
    """There is something to compute."""

    reasons: tuple[str, ...]
    """In words, what an earlier run has left that does not do; empty in a fresh directory."""
    done: tuple[str, ...]
    """Files of wanted results that are finished and match: they may stay as they are."""


@dataclass(frozen=True)
class AlreadyDone:
    """Each wanted result is there, made from the same content."""

    files: tuple[str, ...]


@dataclass(frozen=True)
class Refuse:
    """A finished result would be overwritten by another one; ``--force`` does it."""

    differences: tuple[str, ...]
    files: tuple[str, ...]
    """What would be overwritten."""


Decision = Run | AlreadyDone | Refuse


def decide(
    previous: RunRecord | None,
    existing: Sequence[ExistingResult],
    key: ContentKey,
    wanted: Sequence[str],
    members: Mapping[str, Sequence[str]] | None = None,
) -> Decision:
    """Return what to do about the ``wanted`` results (datasets, groups, ``all``) in a directory.

    ``previous`` and ``existing``: what is in the directory. ``members``: the datasets of each group; ``all`` holds
    every dataset of ``key``. A result is judged by the datasets it holds, so one more dataset leaves the results of the
    others valid.
    """
    rows = {row.file: row for row in previous.outputs} if previous else {}
    there = {result.file: result for result in existing}
    done: list[str] = []
    refused: list[str] = []
    changes: list[str] = []
    reasons: list[str] = []
    killed = previous is not None and previous.status.word is StatusWord.RUNNING
    if killed:
        reasons.append("the last run was killed")
    for name in wanted:
        held = _members(name, key, members or {})
        file, partial = result_name(name), result_name(name, partial=True)
        row = rows.get(file)
        if killed and file in there and (row is None or not _same(there[file], row)):
            # It came too late for the record; the ledger has what it was made of.
            reasons.append(f"{file} was written by the run that was killed")
        elif file in there:
            changed = _changes(there[file], row, key.of(held), previous)
            (refused if changed else done).append(file)
            changes += changed
        elif partial in there:
            reasons += _partial_reasons(rows.get(partial), partial, key.of(held))
        elif file in rows:
            reasons.append(f"{file} is no longer there")
        elif there or rows:
            reasons.append(f"{file} is not there yet")
    if refused:
        return Refuse(_once(changes), tuple(refused))
    if len(done) == len(wanted):
        return AlreadyDone(tuple(done))
    if previous and previous.interrupted:
        reasons.insert(0, f"the last run was interrupted ({previous.interrupted})")
    return Run(_once(reasons), tuple(done))


def refusal(directory: Path, refuse: Refuse) -> OutputDirectoryError:
    """Return the error that tells a user what would be overwritten, why, and what to do."""
    lines = [f"{directory} holds finished results of another content, which are not overwritten:"]
    lines += [f"  {file}" for file in shortened(refuse.files)]
    lines += ["What differs:", *(f"  {text}" for text in shortened(refuse.differences))]
    lines += ["Use another output directory (-o), or --force to overwrite them."]
    return OutputDirectoryError("\n".join(lines))


def kept_rows(
    previous: RunRecord | None, existing: Sequence[ExistingResult], written: Iterable[OutputRow]
) -> tuple[OutputRow, ...]:
    """Return the rows of earlier runs' results that are still as they were, for the new record to carry on.

    ``existing``: what was there before the run. ``written``: what the run has saved; a whole result has taken its
    partial file away, a partial one has left the whole one.
    """
    gone = {file for row in written for file in (row.file, result_name(row.name, partial=True))}
    there = {result.file: result for result in existing}
    rows = previous.outputs if previous else ()
    return tuple(row for row in rows if row.file not in gone and row.file in there and _same(there[row.file], row))


def _members(name: str, key: ContentKey, members: Mapping[str, Sequence[str]]) -> Sequence[str]:
    return tuple(key.datasets) if name == ALL else members.get(name, (name,))


def _changes(
    there: ExistingResult, row: OutputRow | None, now: ContentKey, previous: RunRecord | None
) -> tuple[str, ...]:
    if previous is None:
        return (f"{there.file}: no readable run.json says how it was made",)
    if row is None:
        return (f"{there.file}: run.json does not say how it was made",)
    if not _same(there, row):
        return (f"{there.file}: it was changed after the run that run.json tells of",)
    return _differences(row, now)


def _differences(row: OutputRow, now: ContentKey) -> tuple[str, ...]:
    return differences(row.key, now if SKIP_BAD_FILES in row.key.options else now.of_readable())


def _same(there: ExistingResult, row: OutputRow) -> bool:
    return (there.bytes, there.sha256) == (row.bytes, row.sha256)


def _partial_reasons(row: OutputRow | None, file: str, now: ContentKey) -> Iterable[str]:
    changed = _differences(row, now) if row else ("no run.json says how it was made",)
    return [f"{file} is partial", *(f"{file}: {text}" for text in changed)]


def _once(texts: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(texts))


def shortened(texts: Sequence[str]) -> Sequence[str]:
    """Return the first dozen, and how many more there are."""
    more = len(texts) - _SHOWN
    return texts if more <= 1 else [*texts[:_SHOWN], f"and {more} more"]
