"""Start-up: how long the command line takes to say something, beside the bare imports that it cannot do without."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from measure import Finished, Row, in_turns, process

GOAL = 3.0
ROUNDS = 15
BIN = Path(sys.executable).parent

BARE = 'python -c "import click, yaml, pydantic"'
COMMANDS = {"runner.py --help": ("runner.py", "--help"), "pocket-exec sites": ("pocket-exec", "sites")}


def rows(*, quick: bool) -> Iterator[Row]:
    """Yield a row for each command."""
    variants: dict[str, Callable[[], Finished]] = {
        BARE: partial(process, [sys.executable, "-c", "import click, yaml, pydantic"])
    }
    variants |= {name: partial(process, [BIN / command, *rest]) for name, (command, *rest) in COMMANDS.items()}
    for run in variants.values():
        run()  # for the disk cache, and the bytecode of an editable install
    taken = in_turns(variants, 5 if quick else ROUNDS)
    times = {name: [1000 * run.wall_s for run in runs] for name, runs in taken.items()}
    for name in COMMANDS:
        yield Row(name, times[name], BARE, times[BARE], "ms", GOAL)
