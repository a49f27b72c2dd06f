"""The run command: load the analysis, run it under a display, say what came of it."""

from __future__ import annotations

import logging
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from pocket_exec.analysis.cfg import load_cfg
from pocket_exec.api import run_request
from pocket_exec.cli.chatter import quiet_libraries
from pocket_exec.cli.closed_terminal import leave_closed_terminal
from pocket_exec.cli.display import Display
from pocket_exec.cli.figures import from_here
from pocket_exec.cli.messages import messages
from pocket_exec.cli.tables import WrittenFile, show_closing
from pocket_exec.cli.terminal import Terminal
from pocket_exec.collector import collect_as_before
from pocket_exec.executors.registry import Registry
from pocket_exec.interrupts import interrupts_raised
from pocket_exec.request import Request, choose, prepare, resolved_options
from pocket_exec.runs.course import RunResult


@dataclass(frozen=True)
class Arguments:
    """The command line, parsed."""

    request: Request
    cfg: Path
    outputdir: Path | None
    loglevel: int
    quiet: bool
    show_options: str | None
    dry_run: bool


def run(arguments: Arguments) -> int:
    """Do what the command line says and return the exit status."""
    console = Terminal(stderr=True, highlight=False)
    if arguments.show_options is not None or arguments.dry_run:
        with messages(console, arguments.loglevel):
            return _only_show(arguments)
    with ExitStack() as stack:
        stack.enter_context(interrupts_raised())
        display = stack.enter_context(Display(console, quiet=arguments.quiet))
        stack.enter_context(_told(console, display, arguments))
        analysis = load_cfg(arguments.cfg)
        outputdir = arguments.outputdir
        if outputdir is None:
            outputdir = Path(tempfile.mkdtemp(prefix=f"pocket-exec-{analysis.name}-"))
            stack.callback(_remove_if_empty, outputdir)
        # What is imported by now stays to the end.
        collect_as_before()
        result = run_request(arguments.request, analysis, outputdir, display)
    _close(result, outputdir, arguments)
    return result.status


def _remove_if_empty(directory: Path) -> None:
    """Take away the directory of a test that could not begin."""
    with suppress(OSError):
        directory.rmdir()


@contextmanager
def _told(console: Terminal, display: Display, arguments: Arguments) -> Iterator[None]:
    """Show this project's log, and keep the libraries' chatter off the terminal."""
    level = logging.ERROR if arguments.quiet else arguments.loglevel
    # The logger of Python's warnings is heard by the log file only.
    with messages(console, level), quiet_libraries(logging.getLogger("py.warnings"), display.note):
        yield


def _only_show(arguments: Arguments) -> int:
    from pocket_exec.cli.listings import show_dry_run, show_resolved

    analysis = load_cfg(arguments.cfg)
    if arguments.show_options is not None:
        choice = choose(arguments.request, Registry.installed(), analysis.executor)
        cfg = analysis.cfg.name if analysis.cfg else ""
        show_resolved(resolved_options(arguments.request, choice, analysis.run_options, cfg), arguments.show_options)
    else:
        show_dry_run(prepare(arguments.request, analysis, Registry.installed()), arguments.outputdir)
    return 0


def _left_out(result: RunResult) -> list[str]:
    """Return the datasets that the user's own word has left nothing of."""
    return [
        outcome.plan.dataset for outcome in result.datasets if outcome.whole and outcome.failures and not outcome.chunks
    ]


def _close(result: RunResult, outputdir: Path, arguments: Arguments) -> None:
    leave_closed_terminal()
    console = Terminal(highlight=False)
    if result.already_done:
        if not arguments.quiet:
            console.print("All results are there already, made from the same content:", markup=False)
        for file in result.already_done:
            console.print(str(outputdir / file), markup=False, soft_wrap=True)
        return
    for dataset in _left_out(result):
        print(f"warning: {dataset} is in no result: skip-bad-files has left out all of its files", file=sys.stderr)
    files = [WrittenFile(saved.path, saved.bytes, saved.partial) for saved in result.saved]
    show_closing(console, result.datasets, result.seconds, files, whole=result.whole, quiet=arguments.quiet)
    for text in (result.stopped, *result.faults):
        if text:
            print(text, file=sys.stderr)
    if result.interrupt is not None:
        print(f"interrupted; run the same command again to complete {from_here(outputdir)}", file=sys.stderr)
    elif not result.whole:
        print(f"partial result: what is missing is listed in {from_here(outputdir / 'run.json')}", file=sys.stderr)
