"""The git state of an analysis: which commit, and whether it is all that ran."""

from __future__ import annotations

import logging
from pathlib import Path

from pocket_exec.command import CommandError, Run, run
from pocket_exec.runs.part import Part

log = logging.getLogger(__name__)

_TIMEOUT_S = 20.0
"""A large work tree on AFS takes its time; a run does not wait longer for its record's sake."""

_COMMIT, _NO_COMMIT = "# branch.oid ", "(initial)"


class GitState(Part):
    """The commit that the analysis was at."""

    commit: str
    """Full name of the commit."""
    dirty: bool
    """Whether tracked files differ from the commit, or a Python file is not tracked."""


def git_state(directory: Path, run: Run = run) -> GitState | None:
    """Return the state of the repository that ``directory`` is in; None without repository, commit or git.

    One command tells all of it (``git-status(1)``, "Porcelain Format Version 2", git 2.11 and later).
    """
    told = _git(directory, run, "status", "--porcelain=v2", "--branch", "--untracked-files=all")
    lines = told.splitlines() if told is not None else []
    commit = next((line.removeprefix(_COMMIT) for line in lines if line.startswith(_COMMIT)), _NO_COMMIT)
    if commit == _NO_COMMIT:
        return None
    return GitState(commit=commit, dirty=any(_counts(line) for line in lines if not line.startswith("#")))


def _git(directory: Path, run: Run, *args: str) -> str | None:
    try:
        # The index is left alone: a run writes nothing to the user's repository.
        done = run(["git", "--no-optional-locks", *args], timeout_s=_TIMEOUT_S, cwd=directory)
    except CommandError as error:
        log.debug("no git state: %s", error)
        return None
    if done.returncode != 0:
        log.debug("no git state: %s", done.stderr.strip())
        return None
    return done.stdout


def _counts(line: str) -> bool:
    # A name with unusual characters is quoted.
    return not line.startswith("?") or line.rstrip('"').endswith(".py")
