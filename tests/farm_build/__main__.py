"""The command line of the farm: ``python -m tests.farm_build up``, ``down``, ``run``, ``status``."""

from __future__ import annotations

import os
import sys
from dataclasses import replace
from pathlib import Path

import click

from tests.farm_build import farm as farms
from tests.farm_build import lifecycle
from tests.farm_build.holder import USERS
from tests.farm_build.layout import FarmFailedError


@click.group()
def main() -> None:
    """Build, start, use and stop the batch farm of the tests."""


@main.command()
def up() -> None:
    """Build what is missing and start the farm."""
    _describe(lifecycle.up())


@main.command()
def down() -> None:
    """Stop the farm."""
    click.echo("the farm is stopped" if lifecycle.down() else "no farm of this checkout is running")


@main.command()
def status() -> None:
    """Say where things are; status 1 when no farm runs."""
    _describe(_running())


@main.command(context_settings={"ignore_unknown_options": True})
@click.option("--user", type=click.Choice(list(USERS)), default="physicist", show_default=True)
@click.option("--root", is_flag=True, help="As root in the client's view, for a look around.")
@click.option("--hostname", help="What the machine is called for the command: lxplus901.farm.test resolves as well.")
@click.option("--cd", "cwd", type=click.Path(path_type=Path), help="The directory to run in; the home directory else.")
@click.option("--env", "variables", multiple=True, metavar="NAME=VALUE")
@click.argument("command", nargs=-1, type=click.UNPROCESSED)
def run(
    user: str, root: bool, hostname: str | None, cwd: Path | None, variables: tuple[str, ...], command: tuple[str, ...]
) -> None:
    """Run COMMAND as an ordinary user in the farm; it takes this process's place."""
    farm = replace(_running(), user=user)
    words = farm.command(command or ("bash",), cwd=cwd, hostname=hostname, root=root)
    os.execvpe(words[0], words, farm.environment(dict(item.split("=", 1) for item in variables)))


def _running() -> farms.Farm:
    farm = farms.running()
    if farm is None:
        raise FarmFailedError("no farm of this checkout is running: `make farm` builds and starts it")
    return farm


def _describe(farm: farms.Farm) -> None:
    click.echo(f"farm held by process {farm.pid}; in it, and on this machine too where it is a directory:")
    click.echo(f"  shared    {farm.shared}\n  unshared  {farm.unshared}\n  logs      {farm.holding.state}/log")
    for purpose, path in farm.images.items():
        click.echo(f"  image     {path}  ({purpose})")
    run = f"{sys.executable} -m tests.farm_build run"
    click.echo(f"  run       {run} -- condor_q")
    click.echo(f"  a shell   {run} --user physicist1 --hostname lxplus901.farm.test")


if __name__ == "__main__":
    try:
        main()
    except FarmFailedError as error:
        click.echo(f"farm: {error}", err=True)
        sys.exit(error.status)
