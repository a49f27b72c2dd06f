"""The git state of an analysis."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from pocket_exec.command import CommandError, CommandMissingError, CommandTimeoutError, Completed
from pocket_exec.runs.git import GitState, git_state

HEAD = "1234567890123456789012345678901234567890"


class Git:
    """A git that answers from what it is given."""

    def __init__(self, status: str = "", head: str | None = HEAD) -> None:
        self.status, self.head = status, head

    def __call__(
        self,
        args: Sequence[str],
        *,
        timeout_s: float,
        cwd: Path | None = None,
        env: Mapping[str, str | None] | None = None,
    ) -> Completed:
        assert args[:2] == ["git", "--no-optional-locks"]
        assert (cwd, timeout_s > 0) == (Path("/a b"), True)
        if self.head is None:
            return Completed(tuple(args), 128, "", "fatal: not a git repository")
        return Completed(tuple(args), 0, f"# branch.oid {self.head}\n# branch.head main\n{self.status}", "")


@pytest.mark.parametrize(
    ("status", "dirty"),
    [
        ("", False),
        ("1 .M N... 100644 100644 100644 0123456 0123456 my_cuts.py\n", True),
        ("2 R. N... 100644 100644 100644 0123456 0123456 R100 b.py\ta.py\n", True),
        ("? out/output_DY.coffea\n", False),
        ("? my_cuts.py\n", True),
        ('? "my \\"cuts\\".py"\n', True),
    ],
)
def test_an_analysis_is_dirty_by_tracked_changes_and_untracked_python(status: str, dirty: bool) -> None:
    assert git_state(Path("/a b"), Git(status)) == GitState(commit=HEAD, dirty=dirty)


def test_without_a_repository_there_is_no_state() -> None:
    assert git_state(Path("/a b"), Git(head=None)) is None


def test_without_a_commit_there_is_no_state() -> None:
    assert git_state(Path("/a b"), Git("? my_cuts.py\n", head="(initial)")) is None


@pytest.mark.parametrize("error", [CommandMissingError("git"), CommandTimeoutError("git"), CommandError("git")])
def test_a_git_that_does_not_answer_costs_the_state_only(error: CommandError) -> None:
    def run(*_: object, **__: object) -> Completed:
        raise error

    assert git_state(Path("/a b"), run) is None
