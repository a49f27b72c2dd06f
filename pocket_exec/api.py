"""The Python API: run an analysis, or open an executor for one's own coffea Runner."""

from __future__ import annotations

import functools
import logging
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pocket_exec.analysis.cfg import Analysis, analysis
from pocket_exec.engine.executor import told
from pocket_exec.engine.outcome import Failure
from pocket_exec.errors import PartialResult, PocketExecError
from pocket_exec.executors.proxy import proxy_named
from pocket_exec.executors.registry import Registry
from pocket_exec.options.batch import BatchOptions
from pocket_exec.options.files import check_files
from pocket_exec.request import Request, choose, make_factory, prepare, resolved_options
from pocket_exec.runs.course import Course, RunResult, recorded
from pocket_exec.runs.directory import OutputDirectory
from pocket_exec.runs.names import ALL, result_name
from pocket_exec.runs.outputs import Wanted
from pocket_exec.runs.results import load_result
from pocket_exec.workflow import Viewer, conduct

if TYPE_CHECKING:
    from coffea.processor.executor import ExecutorBase

log = logging.getLogger(__name__)

RunOptions = Path | str | Mapping[str, Any] | Sequence[Path | str | Mapping[str, Any]] | None


def run(  # noqa: PLR0913 - all by name, but the first two
    fileset: object,
    processor: Any,
    *,
    executor: str = "iterative",
    outputdir: Path | str | None = None,
    schema: type[Any] | None = None,
    treename: str | None = None,
    run_options: RunOptions = None,
    custom_setup: Path | str | None = None,
    results: Literal["both", "all", "separate"] = "both",
    force: bool = False,
    fresh: bool = False,
    viewer: Viewer | None = None,
    **options: Any,
) -> RunResult:
    """Run a processor over a fileset and return what came of it.

    Args:
        fileset: as coffea's Runner takes it, a preprocessed fileset, or JSON files; see the documentation of cfg.py.
        processor: an instance of coffea's ProcessorABC, or a callable that takes the events.
        executor: an executor string, such as ``dask@lxplus``; `pocket-exec sites` lists them.
        outputdir: where results, run record and logs go; None: nothing is written.
        schema: the NanoEvents schema; NanoAODSchema where it is None.
        treename: the tree to read in files for which the fileset names none; ``Events`` where it is None.
        run_options: mappings, or files in YAML or Python, later ones win.
        custom_setup: a module with a ``get_executor_factory`` of your own.
        results: which files are written: one per dataset, one for ``all``, or both.
        force: overwrite finished results of another content.
        fresh: compute everything anew, whatever an earlier run has left in ``outputdir``.
        viewer: is told of progress, on the calling thread.
        options: single options by name, ``mem_per_worker="4GB"``; they beat ``run_options``.

    It installs no signal handler, prints nothing, and can be called from any thread.

    Raises:
        PartialResult: some chunks failed; the sum of the others is its ``output``, and saved.
        ProcessingError: nothing succeeded.
        OptionsError, ExecutorError, CfgError, OutputDirectoryError: what was given cannot be used.
        FarmError: no workers.
        KeyboardInterrupt: as it came; what was there is saved in ``outputdir``.
    """
    work = analysis(fileset, processor, name="", directory=_home(processor), treename=treename, schema=schema)
    request = Request(
        executor=executor,
        run_options=_listed(run_options),
        keywords=options,
        custom_setup=Path(custom_setup) if custom_setup is not None else None,
        wanted=Wanted(results),
        force=force,
        fresh=fresh,
    )
    with _told_in_python():
        result = run_request(request, work, Path(outputdir) if outputdir is not None else None, viewer)
    if result.interrupt is not None:
        raise result.interrupt
    if not result.whole:
        raise partial_result(result)
    if result.left_as_they_are:
        # What was run is a part only; the whole is in the files.
        result.output = None
    if result_name(ALL) in result.already_done and result.outputdir is not None:
        result.output = load_result(result.outputdir / result_name(ALL))
    return result


def run_request(request: Request, work: Analysis, outputdir: Path | None, viewer: Viewer | None = None) -> RunResult:
    """Run a request, as the command line does: a partial or interrupted result is returned, not raised."""
    prepared = prepare(request, work, Registry.installed())
    course = Course(work, prepared.resolved)
    with ExitStack() as stack:
        out = stack.enter_context(recorded(outputdir, course)) if outputdir is not None else None
        return conduct(prepared, out, viewer, course)


@contextmanager
def open_executor(
    executor: str = "iterative",
    *,
    outputdir: Path | str | None = None,
    run_options: RunOptions = None,
    custom_setup: Path | str | None = None,
    module_dirs: Sequence[Path | str] = (".",),
    **options: Any,
) -> Iterator[ExecutorBase]:
    """Open an executor for a coffea Runner of one's own, and release it at the end of the block.

    Args:
        executor: an executor string, such as ``dask@lxplus``.
        outputdir: where a cluster's logs and reports go; nothing else runs there meanwhile.
        run_options: mappings, or files in YAML or Python, later ones win.
        custom_setup: a module with a ``get_executor_factory`` of your own.
        module_dirs: directories whose modules workers must be able to import.
        options: single options by name, ``scaleout=200``; they beat ``run_options``.

    Raises:
        OptionsError, ExecutorError, OutputDirectoryError: what was given cannot be used.
        FarmError: no workers.
    """
    request = Request(
        executor=executor,
        run_options=_listed(run_options),
        keywords=options,
        custom_setup=Path(custom_setup) if custom_setup is not None else None,
    )
    with ExitStack() as stack:
        with _told_in_python():
            choice = choose(request, Registry.installed())
            resolved = resolved_options(request, choice, None, "")
            check_files(resolved, Path.cwd())
            if outputdir is not None:
                stack.enter_context(OutputDirectory.open(Path(outputdir)))
            factory = make_factory(choice, resolved, Path(outputdir) if outputdir is not None else None)
            factory = factory.with_modules(*(Path(path).absolute() for path in module_dirs))
            jobs = choice.own and isinstance(resolved.options, BatchOptions)
            stack.enter_context(proxy_named(resolved.options, looked_at_later=jobs))
            opened = stack.enter_context(factory)
        yield opened


def partial_result(result: RunResult) -> PartialResult:
    """Return the error that says what is missing from a result."""
    failed: list[Failure] = [failure for failure in result.failures if not failure.skipped]
    missing = sum(dataset.plan.events - dataset.events for dataset in result.datasets)
    parts = [part for part in (result.stopped, *result.faults) if part]
    parts.append(f"{len(failed)} failed; {missing} events are not in the result")
    if failed:
        parts[-1] += f". First: {told(failed[0])}"
    return PartialResult("; ".join(parts), output=result.output, failures=failed)


def _home(processor: Any) -> Path:
    """Return the directory that the processor's module is imported from: workers must find it, and those beside it."""
    while isinstance(processor, functools.partial):
        processor = processor.func
    kind = processor if hasattr(processor, "__qualname__") else type(processor)
    name = str(kind.__module__)
    file = getattr(sys.modules.get(name), "__file__", None)
    if name == "__main__" or file is None or "site-packages" in file:
        return Path.cwd()
    levels = name.count(".") + (Path(file).name == "__init__.py")
    return Path(file).absolute().parents[levels]


def _listed(given: RunOptions) -> Sequence[Path | Mapping[str, Any]]:
    if given is None:
        return ()
    several = [given] if isinstance(given, (Path, str, Mapping)) else list(given)
    return [one if isinstance(one, Mapping) else Path(one) for one in several]


_IN_PYTHON = {"-o": "outputdir=", "--force": "force=True", "--executor-custom-setup": "custom_setup="}
"""Flags that messages of every door name, and the arguments that mean the same."""
_FLAG = re.compile(rf"(?<![\w/-])({'|'.join(_IN_PYTHON)})(?![\w/=-])")


@contextmanager
def _told_in_python() -> Iterator[None]:
    """Let the messages of what is raised name the arguments of a call in place of flags."""
    try:
        yield
    except PocketExecError as error:
        error.args = (_FLAG.sub(lambda flag: _IN_PYTHON[flag[0]], str(error)), *error.args[1:])
        raise
