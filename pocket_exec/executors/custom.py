"""Loads the user's own module with ``get_executor_factory``, in every shape that such modules have."""

from __future__ import annotations

import hashlib
import inspect
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pocket_exec.userfile import FailedImport, load_module, users_traceback
from pocket_exec.errors import ExecutorError, PocketExecError, did_you_mean
from pocket_exec.executors.factory import ExecutorFactory
from pocket_exec.options.model import GeneralOptions

FUNCTION = "get_executor_factory"

_GONE = (
    (
        re.compile(r"pocket_coffea\.executors|executors_base|relative import"),
        "from pocket_exec.executors import ExecutorFactoryABC, IterativeExecutorFactory, FuturesExecutorFactory",
    ),
    (re.compile(r"ExecutorFactoryABD|ExecutorFactorABC"), "from pocket_exec.executors import ExecutorFactoryABC"),
    (re.compile(r"\bdask_executor\b"), "return coffea.processor.DaskExecutor"),
    (re.compile(r"\bfutures_executor\b"), "return coffea.processor.FuturesExecutor"),
    (re.compile(r"\biterative_executor\b"), "return coffea.processor.IterativeExecutor"),
)
"""What modules written for PocketCoffea and coffea 0.7 use, and what to write instead."""


@dataclass(frozen=True)
class CustomModule:
    """A user's module: its function, and the model of its own options where it has one."""

    path: Path
    options_model: type[GeneralOptions] | None
    _function: Callable[..., Any]

    def factory(self, kind: str, run_options: Any, outputdir: Path | None) -> ExecutorFactory:
        """Ask the module for its factory.

        Args:
            kind: the part of the executor string before ``@``, which is what published modules compare with.

        Raises:
            ExecutorError: it raises, or returns something else.
        """
        try:
            made = _call(self._function, kind, run_options, outputdir)
            if isinstance(made, type) and issubclass(made, ExecutorFactory):
                made = made(run_options, outputdir)
        except PocketExecError:
            raise
        except Exception as error:  # the user's code may raise anything
            raise ExecutorError(explained(f"{self.path}: {FUNCTION}('{kind}') failed", error, self.path)) from error
        if not isinstance(made, ExecutorFactory):
            raise ExecutorError(
                f"{self.path}: {FUNCTION}('{kind}') returned {made!r}; "
                "an instance of a class derived from pocket_exec.executors.ExecutorFactory was expected"
            )
        return made


def load_custom(path: Path) -> CustomModule:
    """Import the user's module and find ``get_executor_factory`` and ``Options`` in it.

    Raises:
        ExecutorError: it does not import, or has no such function.
    """
    name = f"_pocket_exec_custom_{path.stem}_{hashlib.sha256(bytes(path.absolute())).hexdigest()[:8]}"
    try:
        module = load_module(path, name)
    except FailedImport as failed:
        raise ExecutorError(f"--executor-custom-setup {failed}{_instead(str(failed))}") from failed.__cause__
    function = getattr(module, FUNCTION, None)
    if not callable(function):
        raise ExecutorError(f"{path} has no function '{FUNCTION}'{did_you_mean(FUNCTION, vars(module))}")
    model = getattr(module, "Options", None)
    if model is not None and not (isinstance(model, type) and issubclass(model, GeneralOptions)):
        raise ExecutorError(
            f"{path}: Options is {model!r}; a class derived from a model of pocket_exec.options.model "
            "(DaskOptions, GeneralOptions) was expected"
        )
    return CustomModule(path.absolute(), model, function)


def explained(what: str, error: BaseException, path: Path) -> str:
    """Return the message for an error in the user's module: its own traceback, and the line to write instead."""
    text = users_traceback(error, path)
    return f"{what}:\n{text}{_instead(text)}"


def _instead(text: str) -> str:
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
