"""Loads the user's own module with ``get_executor_factory``, in every shape that such modules have."""

from __future__ import annotations

import functools
import hashlib
import inspect
import logging
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pocket_exec.errors import ExecutorError, PocketExecError, did_you_mean
from pocket_exec.executors.factory import ExecutorFactory
from pocket_exec.options.mapping import OptionsMapping
from pocket_exec.options.model import GeneralOptions
from pocket_exec.userfile import FailedImport, load_module, users_traceback

log = logging.getLogger(__name__)

FUNCTION = "get_executor_factory"

_GONE = (
    (
        re.compile(r"pocket_coffea\.executors|executors_base|relative import"),
        "from pocket_exec.executors import ExecutorFactoryABC, IterativeExecutorFactory, FuturesExecutorFactory",
    ),
    (re.compile(r"ExecutorFactoryABD|ExecutorFactorABC"), "from pocket_exec.executors import ExecutorFactoryABC"),
    *(
        (re.compile(pattern.format(f"{old}_executor")), line.format(f"{old.title()}Executor"))
        for old in ("dask", "futures", "iterative")
        for pattern, line in (
            ("cannot import name '{}'", "from coffea.processor import {}"),
            (r"\b{}\b", "return coffea.processor.{}"),
        )
    ),
)
"""What modules written for PocketCoffea and coffea 0.7 use, and what to write instead."""


@dataclass(frozen=True)
class CustomModule:
    """A user's module: its function, and the model of its own options where it has one."""

    path: Path
    options_model: type[GeneralOptions] | None
    _function: Callable[..., Any]

    def factory(self, kind: str, run_options: OptionsMapping, outputdir: Path | None) -> ExecutorFactory:
        """Ask the module for its factory.

        Args:
            kind: the part of the executor string before ``@``, which is what published modules compare with.

        Raises:
            ExecutorError: it raises, or returns something else.
        """
        with told(f"{self.path}: {FUNCTION}('{kind}')", self.path):
            made = _call(self._function, kind, run_options, outputdir)
            if isinstance(made, type) and issubclass(made, ExecutorFactory):
                made = made(run_options, outputdir)
        if not isinstance(made, ExecutorFactory):
            raise ExecutorError(
                f"{self.path}: {FUNCTION}('{kind}') returned {made!r}; "
                "an instance of a class derived from pocket_exec.executors.ExecutorFactory was expected"
            )
        _keep_model(made, run_options)
        return steps_told(made, str(self.path), self.path)


def _keep_model(factory: ExecutorFactory, given: OptionsMapping) -> None:
    """Give a factory that copies ``run_options`` into a dictionary, or does not keep them, their model all the same."""
    theirs = getattr(factory, "run_options", {})
    if not isinstance(theirs, OptionsMapping):
        factory.run_options = given.copy()
        factory.run_options.update(theirs)


def load_custom(path: Path) -> CustomModule:
    """Import the user's module and find ``get_executor_factory`` and ``Options`` in it.

    Raises:
        ExecutorError: it does not import, or has no such function.
    """
    name = f"_pocket_exec_custom_{path.stem}_{hashlib.sha256(bytes(path.absolute())).hexdigest()[:8]}"
    try:
        module = load_module(path, name)
    except FailedImport as failed:
        hint = _instead(str(failed), failed.__cause__)
        raise ExecutorError(f"--executor-custom-setup {failed}{hint}") from failed.__cause__
    function = getattr(module, FUNCTION, None)
    if not callable(function):
        near = did_you_mean(FUNCTION, [name for name, value in vars(module).items() if inspect.isfunction(value)])
        near = near or "; write one, (name, run_options, outputdir), that returns your factory"
        raise ExecutorError(f"--executor-custom-setup {path} has no function '{FUNCTION}'{near}")
    model = getattr(module, "Options", None)
    if model is not None and not (isinstance(model, type) and issubclass(model, GeneralOptions)):
        raise ExecutorError(
            f"--executor-custom-setup {path}: Options is {model!r}; a class derived from a model of "
            "pocket_exec.options.model (DaskOptions, GeneralOptions) was expected"
        )
    return CustomModule(path.absolute(), model, function)


def steps_told(factory: ExecutorFactory, whose: str, path: Path) -> ExecutorFactory:
    """Let each step of ``factory``, written in the file at ``path``, fail with its own traceback as the message."""
    for name in ("setup", "get", "customize_args", "customized_args", "close"):
        if callable(step := getattr(factory, name, None)):
            setattr(factory, name, _step_told(step, f"{whose}: {type(factory).__name__}.{name}()", path))
    return factory


def _step_told(step: Callable[..., Any], what: str, path: Path) -> Callable[..., Any]:
    @functools.wraps(step)
    def called(*args: Any, **keywords: Any) -> Any:
        ended_by = sys.exception()
        try:
            with told(what, path):
                return step(*args, **keywords)
        except ExecutorError as error:
            if ended_by is None or step.__name__ != "close":
                raise
            # What ended the run is what the user must hear of; this comes on top.
            log.error("%s", error)  # noqa: TRY400

    return called


@contextmanager
def told(what: str, path: Path) -> Iterator[None]:
    """Turn what code of the user's raises into a message with its own traceback, and the line to write instead.

    Raises:
        ExecutorError: it raised anything but an error of this project.
    """
    ended_by = sys.exception()
    try:
        yield
    except PocketExecError:
        raise
    except (Exception, SystemExit) as error:
        if error.__context__ is ended_by:
            error.__context__ = None  # that has its own message
        text = users_traceback(error, path)
        raise ExecutorError(f"{what} failed:\n{text}{_instead(text, error)}") from error


def _instead(text: str, error: BaseException | None) -> str:
    if not isinstance(error, ImportError | AttributeError | NameError):
        return ""
    for pattern, line in _GONE:
        if pattern.search(text):
            return f"\nThat is not there any more. Write instead:\n    {line}"
    return ""


def _call(function: Callable[..., Any], kind: str, run_options: Any, outputdir: Path | None) -> Any:
    """Call with what the function takes: ``(name, run_options, outputdir)``, keywords, or no outputdir."""
    parameters = inspect.signature(function).parameters.values()
    names = {parameter.name for parameter in parameters}
    keywords = any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters)
    given = {"run_options": run_options, "outputdir": outputdir}
    if keywords or "run_options" in names:
        return function(kind, **{name: value for name, value in given.items() if keywords or name in names})
    positional = [p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    return function(*(kind, run_options, outputdir)[: max(1, len(positional))])
