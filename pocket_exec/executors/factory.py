"""The contract of an executor factory, and its life: setup, get, customize_args, close."""

from __future__ import annotations

import functools
import os
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, ClassVar, Self

from pocket_exec.errors import ExecutorError
from pocket_exec.interrupts import interrupts_held
from pocket_exec.options.mapping import OptionsMapping
from pocket_exec.options.model import DaskOptions, GeneralOptions
from pocket_exec.runs.workers import WorkersRecord

if TYPE_CHECKING:
    from coffea.processor.executor import ExecutorBase


class ExecutorFactory(ABC):
    """Makes a coffea executor and releases what it stands on.

    Use it as a context manager: ``with factory as executor``. A subclass writes ``setup`` and ``close``, and changes
    ``get`` and ``customize_args`` where the executor is not this project's own.
    """

    name: ClassVar[str] = ""
    """The executor string, such as ``dask@lxplus``."""
    options_model: ClassVar[type[GeneralOptions]] = GeneralOptions
    """The options that it understands."""
    defaults: ClassVar[Path | None] = None
    """A YAML file with the defaults of a factory that comes from another package."""

    module_dirs: tuple[Path, ...] = ()
    """Directories whose modules the workers must be able to import; set before ``setup``."""
    processor: Any = None
    """What the workers are to unpickle, where that is known before they start."""

    x509_path: str | None = None
    """The grid proxy, under the name of PocketCoffea's factories."""
    handles_submission = False
    """Set by PocketCoffea's factories, and of no meaning here."""

    workers = WorkersRecord()
    """What the run's record says of the workers; set by ``setup`` where they are jobs of a batch system."""

    _set_up = False
    _closed = False

    def __init__(self, run_options: Any, outputdir: str | Path | None = None) -> None:
        self.run_options = OptionsMapping.of(run_options)
        # PocketCoffea's factories keep it themselves and do not hand it on.
        if outputdir is not None or "outputdir" not in vars(self):
            self.outputdir = Path(outputdir) if outputdir is not None else None

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """Note that ``setup`` has run, so that a constructor that calls it itself does not make it run twice."""
        super().__init_subclass__(**kwargs)
        if "setup" in vars(cls):
            cls.setup = _noted(cls.setup)  # type: ignore[method-assign]

    @abstractmethod
    def setup(self) -> None:
        """Acquire: start the cluster, copy the proxy, open files. Nothing is acquired before this."""

    def get(self) -> type[ExecutorBase] | ExecutorBase:
        """Return the class of the coffea executor (or an instance); by default this project's own."""
        from pocket_exec.engine.executor import PocketExecutor

        return PocketExecutor

    def customize_args(self, args: dict[str, Any]) -> dict[str, Any]:
        """Return the arguments that the executor class is called with."""
        return args

    def customized_args(self) -> dict[str, Any]:
        """Return arguments beside the usual ones: ``customize_args`` as PocketCoffea spells it."""
        return {}

    def setup_proxyfile(self) -> None:
        """Set ``x509_path`` to the grid proxy, which is checked and named to the workers by then."""
        self.x509_path = os.environ.get("X509_USER_PROXY")

    def set_env(self) -> None:  # noqa: B027 - there is nothing that a subclass must do
        """Do nothing: the environment that PocketCoffea's factories set here is set by then."""

    def dry_run(self) -> str:
        """Return what ``setup`` would submit to a batch system, whole; nothing is acquired, and it may be empty."""
        return ""

    @abstractmethod
    def close(self) -> None:
        """Release what was acquired; called once, also after a ``setup`` that failed half-way."""

    def __enter__(self) -> ExecutorBase:
        """Set up and return the executor; what fails here is released here."""
        try:
            if not self._set_up:
                self.setup()
            return _executor(self)
        except BaseException:
            self._close_once()
            raise

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Release, whatever happened."""
        self._close_once()

    def _close_once(self) -> None:
        if not self._closed:
            self._closed = True
            with interrupts_held():
                self.close()

    @property
    def options(self) -> Any:
        """The frozen model of the run options, for code that knows which model it is."""
        return self.run_options.model

    def with_modules(self, *directories: Path, processor: Any = None) -> Self:
        """Name the directories whose modules workers must find, and what is to run there; returns the factory."""
        self.module_dirs = directories
        self.processor = processor
        return self


ExecutorFactoryABC = ExecutorFactory


def _noted(setup: Any) -> Any:
    @functools.wraps(setup)
    def wrapped(self: ExecutorFactory) -> None:
        self._set_up = True
        setup(self)

    return wrapped


def _executor(factory: ExecutorFactory) -> ExecutorBase:
    """Make the executor that ``factory`` describes.

    Raises:
        ExecutorError: ``get`` or ``customize_args`` does not return what the contract says.
    """
    from coffea.processor.executor import ExecutorBase

    from pocket_exec.engine.executor import PocketExecutor

    kind: Any = factory.get()
    where = f"{type(factory).__name__}.get()"
    if isinstance(kind, ExecutorBase):
        return kind
    if not isinstance(kind, type) or not issubclass(kind, ExecutorBase):
        raise ExecutorError(
            f"{where} returned {kind!r}; a class of coffea's executors was expected, such as "
            "coffea.processor.DaskExecutor, or pocket_exec.engine.executor.PocketExecutor"
        )
    options = factory.run_options.model
    args: dict[str, Any] = {"policy": policy(options), "reading": reading(options)}
    if not issubclass(kind, PocketExecutor):
        known = {field.name for field in fields(kind)}  # type: ignore[arg-type]  # coffea is not typed
        theirs = {"retries": options.retries, "treereduction": options.tree_reduction, "status": False}
        args = {name: value for name, value in theirs.items() if name in known}
    if type(factory).customized_args is not ExecutorFactory.customized_args:
        args = {**args, **_dictionary(factory.customized_args(), f"{type(factory).__name__}.customized_args()")}
    else:
        args = _dictionary(factory.customize_args(args), f"{type(factory).__name__}.customize_args()")
    try:
        return kind(**args)
    except TypeError as error:
        raise ExecutorError(
            f"{type(factory).__name__}: {kind.__name__} does not take these arguments: {error}"
        ) from error


def _dictionary(returned: Any, what: str) -> dict[str, Any]:
    if not isinstance(returned, Mapping):
        raise ExecutorError(f"{what} returned {returned!r}; a dictionary was expected")
    return dict(returned)


def policy(options: GeneralOptions) -> Any:
    """Return how faults are met, from the options."""
    from pocket_exec.engine.policy import LONE_DEATHS, Policy

    deaths = options.allowed_failures + 1 if isinstance(options, DaskOptions) else LONE_DEATHS
    return Policy(
        retries=options.retries,
        max_failures=options.max_failures,
        skip_bad_files=options.skip_bad_files,
        lone_deaths=min(deaths, LONE_DEATHS),
    )


def reading(options: GeneralOptions) -> Any:
    """Return how workers read, from the options."""
    from pocket_exec.engine.reading import Reading

    return Reading(kept_files=options.kept_files, run_bytes=int(options.read_block), read_ahead=options.read_ahead)
