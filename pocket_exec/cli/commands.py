"""The commands and their flags; what they do is in the modules that they import when they run."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.shell_completion import CompletionItem

from pocket_exec.cli.messages import level

if TYPE_CHECKING:
    from pocket_exec.cli.run import Arguments

SHORT_FLAGS = {
    "limit_files": "limit-files",
    "limit_chunks": "limit-chunks",
    "scaleout": "scaleout",
    "chunksize": "chunksize",
    "queue": "queue",
}
"""Flags of their own that are run options too."""


class LogLevel(click.ParamType[int]):
    """A logging level by name or number."""

    name = "level"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Return the level's number."""
        if isinstance(value, int):
            return value
        try:
            return level(str(value))
        except ValueError as error:
            self.fail(str(error), param, ctx)


class FilePath(click.Path):
    """A path; an empty one, as a variable that is not set leaves it, is not the current directory."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Path:
        """Return the path."""
        if value == "":
            self.fail("it is empty; is a variable not set?", param, ctx)
        return Path(os.fsdecode(super().convert(value, param, ctx)))


class RunCommand(click.Command):
    """The run command, which completes the flags of the chosen executor too."""

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Return click's own completions and the executor's options."""
        found = super().shell_complete(ctx, incomplete)
        if incomplete.startswith("--"):
            known = {item.value for item in found}
            options = _option_flags(ctx.params.get("executor") or "iterative", incomplete)
            found += [item for item in options if item.value not in known]
        return found


def _option_flags(executor: str, incomplete: str) -> list[CompletionItem]:
    from pocket_exec.errors import PocketExecError
    from pocket_exec.options.defaults import model_for

    try:
        model = model_for(executor)
    except PocketExecError:
        return []
    flags = {f"--{key}": text for key, text in model.option_help().items()}
    return [CompletionItem(flag, help=text) for flag, text in flags.items() if flag.startswith(incomplete)]


def _executors(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    from pocket_exec.executors.registry import Registry

    return [name for name in Registry.installed().names() if name.startswith(incomplete)]


_FILE = FilePath()


def _run_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the flags of ``runner.py``; those of the seed document first, in its order."""
    for option in reversed(
        (
            click.option("--cfg", type=_FILE, help="The analysis: a Python file that defines fileset and processor."),
            click.option(
                "-ro",
                "--run-options",
                "--custom-run-options",
                "run_options",
                type=_FILE,
                multiple=True,
                help="Run options, YAML or .py; may be given several times, later ones win.",
            ),
            click.option("-o", "--outputdir", type=_FILE, help="Directory for results, run record and logs."),
            click.option("-t", "--test", is_flag=True, help="One file of each dataset, on the iterative executor."),
            click.option("-lf", "--limit-files", type=int, metavar="N", help="At most N files of each dataset."),
            click.option("-lc", "--limit-chunks", type=int, metavar="N", help="At most N chunks of each dataset."),
            click.option(
                "-e",
                "--executor",
                metavar="EXECUTOR",
                shell_complete=_executors,
                help="Where to run: iterative, futures, dask, dask@SITE; `pocket-exec sites` lists them. "
                "Without it: that of cfg.py, else iterative.",
            ),
            click.option("-s", "--scaleout", type=int, metavar="N", help="Number of workers."),
            click.option("-ll", "--loglevel", type=LogLevel(), default="info", help="Log level on the terminal."),
            click.option("-f", "--full", is_flag=True, help="Only one result, output_all.coffea, of all datasets."),
            click.option(
                "--executor-custom-setup", type=_FILE, help="A Python module with your own get_executor_factory."
            ),
            click.option("-ps", "--process-separately", is_flag=True, help="Only one result for each dataset."),
            click.option("-c", "--chunksize", metavar="EVENTS", help="Events in a chunk, or auto."),
            click.option("-q", "--queue", help="Batch queue, partition or job flavour."),
            click.option(
                "-O", "settings", multiple=True, metavar="KEY=VALUE", help="Any run option; KEY may be table.key."
            ),
            click.option("--filter-datasets", metavar="A,B", help="Only these datasets."),
            click.option("--filter-samples", metavar="A,B", help="Only datasets with this metadata.sample."),
            click.option("--filter-years", metavar="A,B", help="Only datasets with this metadata.year."),
            click.option("--skip-bad-files", is_flag=True, help="Leave out what cannot be read, and list it."),
            click.option(
                "--show-options",
                is_flag=False,
                flag_value="table",
                type=click.Choice(["table", "yaml"]),
                help="Print each option with its value and where that came from, and exit.",
            ),
            click.option("--dry-run", is_flag=True, help="Print what would run, and start nothing."),
            click.option("--force", is_flag=True, help="Overwrite finished results of another content."),
            click.option(
                "--resume/--fresh",
                default=True,
                help="Begin with what an earlier run has left in the ledger, or compute everything anew.",
            ),
            click.option("--retry-failed", is_flag=True, help="Compute what partial results miss, as --resume."),
            click.option("--quiet", is_flag=True, help="Print errors and the paths of results only."),
        )
    ):
        command = option(command)
    return command


def _split(text: str | None) -> tuple[str, ...]:
    return tuple(word.strip() for word in (text or "").split(",") if word.strip())


def _arguments(ctx: click.Context, params: dict[str, Any]) -> Arguments:
    from pocket_exec.analysis.selection import Selection
    from pocket_exec.cli.flags import flag_values
    from pocket_exec.cli.run import Arguments
    from pocket_exec.options.source import FlagValue
    from pocket_exec.request import Request
    from pocket_exec.runs.outputs import Wanted

    if params["full"] and params["process_separately"]:
        raise click.UsageError("--full and --process-separately exclude each other.")
    if params["retry_failed"] and not params["resume"]:
        raise click.UsageError("--retry-failed and --fresh exclude each other.")
    needs_output = not (params["test"] or params["show_options"] or params["dry_run"])
    missing = [flag for flag, name in (("--cfg", "cfg"), ("-o", "outputdir")) if params[name] is None]
    if not needs_output:
        missing = [flag for flag in missing if flag != "-o"]
    if missing:
        raise click.UsageError(f"Missing option{'s' * (len(missing) > 1)} {' and '.join(map(repr, missing))}.")
    flags = [
        FlagValue(key, str(params[name]), f"--{key}") for name, key in SHORT_FLAGS.items() if params[name] is not None
    ]
    flags += [FlagValue("skip-bad-files", None, "--skip-bad-files")] if params["skip_bad_files"] else []
    flags += flag_values(ctx.args, params["settings"])
    request = Request(
        executor=params["executor"],
        run_options=params["run_options"],
        flags=flags,
        custom_setup=params["executor_custom_setup"],
        test=params["test"],
        selection=Selection(
            _split(params["filter_datasets"]), _split(params["filter_samples"]), _split(params["filter_years"])
        ),
        wanted=Wanted.ALL if params["full"] else Wanted.SEPARATE if params["process_separately"] else Wanted.BOTH,
        force=params["force"],
        fresh=not params["resume"],
    )
    return Arguments(
        request,
        params["cfg"],
        params["outputdir"],
        params["loglevel"],
        params["quiet"],
        params["show_options"],
        params["dry_run"],
    )


def _version(ctx: click.Context, param: click.Parameter, value: bool) -> None:
    if value and not ctx.resilient_parsing:
        from importlib.metadata import version

        click.echo(f"pocket-exec {version('pocket-exec')}")
        ctx.exit()


_version_option = click.option(
    "--version", is_flag=True, is_eager=True, expose_value=False, callback=_version, help="Print the version and exit."
)
_EPILOG = (
    "Every option of the executor is a flag too, such as --mem-per-worker 4GB: see `pocket-exec options EXECUTOR`."
)
_PASS_ON = {"ignore_unknown_options": True, "allow_extra_args": True, "help_option_names": ["-h", "--help"]}


@click.command("run", cls=RunCommand, context_settings=_PASS_ON, epilog=_EPILOG)
@_run_options
@_version_option
@click.pass_context
def run_command(ctx: click.Context, /, **params: Any) -> int:
    """Run a coffea analysis, here or on a batch farm."""
    arguments = _arguments(ctx, params)
    from pocket_exec.cli.run import run

    return run(arguments)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@_version_option
def program() -> None:
    """Run a coffea analysis anywhere, from the laptop to a batch farm."""


program.add_command(run_command)


@program.command()
def sites() -> None:
    """List the executors, and where their workers are."""
    from pocket_exec.cli.site_list import show_sites

    show_sites()


@program.command()
@click.argument("executor", shell_complete=_executors)
@click.argument("only", nargs=-1, metavar="[OPTION]...")
@click.option("--json-schema", is_flag=True, help="Print a JSON schema of the run options, for editors.")
@click.option("--executor-custom-setup", type=_FILE, help="A Python module with your own get_executor_factory.")
def options(executor: str, only: tuple[str, ...], json_schema: bool, executor_custom_setup: Path | None) -> None:
    """Print the options of EXECUTOR: type, default, unit, meaning.

    With names of options, only these.
    """
    from pocket_exec.cli.listings import show_options_of

    show_options_of(executor, executor_custom_setup, json_schema, only)


@program.command()
@click.argument("outputdir", type=click.Path(path_type=Path))
def ledger(outputdir: Path) -> None:
    """List what OUTPUTDIR holds for a run to go on with."""
    from pocket_exec.cli.ledger_list import show_ledger

    show_ledger(outputdir)


@program.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    """Print what completes commands in SHELL.

    To be run by the shell as it starts: eval "$(pocket-exec completion bash)".
    """
    from click.shell_completion import get_completion_class

    kind = get_completion_class(shell)
    assert kind is not None
    for command, name in ((program, "pocket-exec"), (run_command, "runner.py")):
        variable = f"_{name.replace('-', '_').replace('.', '_')}_COMPLETE".upper()
        click.echo(kind(command, {}, name, variable).source())
