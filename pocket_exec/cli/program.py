"""Runs a command and turns whatever it ends with into a message and an exit status."""

from __future__ import annotations

import os
import sys
import traceback

import click

from pocket_exec.cli.closed_terminal import leave_closed_terminal
from pocket_exec.errors import Interrupted, PocketExecError

BUG = 1
USAGE = 2
_INTERRUPTED = (
    "interrupted; nothing is half-written, no job of a batch system is left, and the same command goes on with what "
    "there is"
)


def execute(command: click.Command, name: str) -> int:
    """Run ``command`` and return its exit status; the one message of an error goes to stderr."""
    try:
        status = command.main(prog_name=name, standalone_mode=False)
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except PocketExecError as error:
        leave_closed_terminal()
        click.echo(str(error), err=True)
        return error.status
    except (Interrupted, click.Abort, KeyboardInterrupt) as error:
        cause = error.__cause__ if isinstance(error, click.Abort) else error
        status = cause.status if isinstance(cause, Interrupted) else 130
        leave_closed_terminal()
        click.echo(_INTERRUPTED, err=True)
    except BrokenPipeError:
        # Whoever reads our output has had enough: head, less.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        status = 0
    except Exception:  # noqa: BLE001 - told as a bug, with its traceback
        traceback.print_exc()
        click.echo("\nThis is a bug in pocket-exec. Please report it, with the lines above.", err=True)
        return BUG
    return status if isinstance(status, int) else 0
