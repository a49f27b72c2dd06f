"""How a batch system's commands are run: with the site's environment, a timeout, and their own words in each error."""

from __future__ import annotations

import os
import re
import shlex
import shutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pocket_exec.command import CommandError, Completed, Run, run
from pocket_exec.errors import FarmError

_MOST_LINES = 20


class CommandFailedError(CommandError):
    """A command that ended with a status other than 0."""


@dataclass(frozen=True)
class Commands:
    """Runs the commands of one batch system."""

    run: Run = run
    env: Mapping[str, str] = field(default_factory=dict)
    """Variables of the commands' environment, the site's."""
    unset: tuple[str, ...] = ()
    """Variables of the user's that would change what a command means."""
    submit_timeout_s: float = 180.0
    """Longer than the rest: files may be copied to another machine."""
    timeout_s: float = 60.0

    def __call__(
        self,
        args: Sequence[str],
        *,
        cwd: Path | None = None,
        timeout_s: float | None = None,
        unset: Iterable[str] = (),
    ) -> Completed:
        """Run a command; its status is the caller's to judge. Raises ``CommandError`` for a missing or hanging one."""
        env = {**dict.fromkeys(unset), **self.environment}
        return self.run(args, timeout_s=timeout_s or self.timeout_s, cwd=cwd, env=env)

    def output(self, args: Sequence[str]) -> str:
        """Run a command and return what it prints.

        Raises:
            CommandFailedError: with what it said, at any status other than 0.
            CommandError: it is missing, or hangs.
        """
        done = self(args)
        if done.returncode != 0:
            raise CommandFailedError(failure(done))
        return done.stdout

    def missing(self, names: Iterable[str]) -> list[str]:
        """Return the commands that are not on PATH."""
        path = self.env.get("PATH", os.environ.get("PATH"))
        return [name for name in names if shutil.which(name, path=path) is None]

    @property
    def environment(self) -> dict[str, str | None]:
        """What these commands need changed in the user's environment; None takes a variable away."""
        return {**dict.fromkeys(self.unset), **self.env}


def failure(done: Completed) -> str:
    """Say how a command ended, and what it printed: where it prints its errors differs.

    >>> print(failure(Completed(("sbatch", "job"), 1, "", "sbatch: error: no such partition")))
    `sbatch job` ended with status 1:
      sbatch: error: no such partition
    """
    how = f"status {done.returncode}" if done.returncode >= 0 else f"signal {-done.returncode}"
    said = words(done)
    return f"`{shlex.join(done.args)}` ended with {how}" + (f":\n{said}" if said else " and said nothing")


def with_hint(message: str, hints: Mapping[str, str]) -> str:
    """Add what to change to a command's refusal, where one of its words is known.

    >>> print(with_hint("error: invalid partition", {"invalid partition": "check queue"}))
    error: invalid partition
    (check queue)
    """
    hint = next((hint for said, hint in hints.items() if said.lower() in message.lower()), "")
    return f"{message}\n({hint})" if hint else message


def words(done: Completed) -> str:
    """Return the last lines that a command printed, indented."""
    text = done.stderr.strip() or done.stdout.strip()
    return "\n".join(f"  {line.rstrip()}" for line in text.splitlines()[-_MOST_LINES:])


def each_in_turn(
    commands: Iterable[Sequence[str]], act: Callable[[Sequence[str]], Completed], harmless: re.Pattern[str]
) -> None:
    """Run all commands, whatever becomes of the others; a failure whose every line is ``harmless`` is none.

    Raises:
        FarmError: what failed, all of it.
    """
    failures = []
    for args in commands:
        try:
            done = act(args)
        except CommandError as error:
            failures.append(str(error))
            continue
        said = words(done).splitlines()
        if done.returncode != 0 and not (said and all(harmless.search(line) for line in said)):
            failures.append(failure(done))
    if failures:
        raise FarmError("\n".join(failures))
