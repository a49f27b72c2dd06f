"""The command line: it alone prints, and it alone exits."""

from __future__ import annotations

import sys

from pocket_exec.collector import collect_seldom


def runner() -> None:
    """``runner.py``: run an analysis."""
    collect_seldom()
    from pocket_exec.cli.commands import run_command
    from pocket_exec.cli.program import execute

    sys.exit(execute(run_command, "runner.py"))


def main() -> None:
    """``pocket-exec``: run an analysis, list sites, explain options."""
    collect_seldom()
    from pocket_exec.cli.commands import program
    from pocket_exec.cli.program import execute

    sys.exit(execute(program, "pocket-exec"))
