"""What the user asked for, untouched, and what it comes to: executor, options, fileset, factory."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pocket_exec.analysis.cfg import Analysis
from pocket_exec.analysis.fileset import Fileset
from pocket_exec.analysis.pickling import check_processor
from pocket_exec.analysis.protocols import check_protocols
from pocket_exec.analysis.selection import Selection, select
from pocket_exec.errors import ExecutorError, Fault, OptionsError
from pocket_exec.executors.registry import ExecutorName, Registry, parse
from pocket_exec.options.batch import BatchOptions
from pocket_exec.options.defaults import defaults_layers, defaults_of_model, known_sites, model_for, same_executor
from pocket_exec.options.files import check_files
from pocket_exec.options.kinds import GeneralOptions
from pocket_exec.options.resolve import Resolved, resolve
from pocket_exec.options.source import (
    Document,
    FlagValue,
    Layer,
    from_flags,
    from_keywords,
    from_mapping,
    read_layer,
    read_run_options,
)
from pocket_exec.runs.groups import sample_groups
from pocket_exec.runs.outputs import Unit, Wanted, units

if TYPE_CHECKING:
    from pocket_exec.executors.custom import CustomModule
    from pocket_exec.executors.factory import ExecutorFactory

log = logging.getLogger(__name__)

ITERATIVE = "iterative"


@dataclass(frozen=True)
class Request:
    """A run as it was asked for."""

    executor: str | None = None
    run_options: Sequence[Path | Mapping[str, Any]] = ()
    """Files (YAML or .py) and mappings, in the order in which they were given."""
    flags: Sequence[FlagValue] = ()
    keywords: Mapping[str, Any] = field(default_factory=dict)
    """Options of a call in Python, by their names there."""
    custom_setup: Path | None = None
    test: bool = False
    """One file of each dataset and, where nothing else is said, the iterative executor."""
    selection: Selection = field(default_factory=Selection)
    wanted: Wanted = Wanted.BOTH
    force: bool = False
    fresh: bool = False
    """Compute everything anew, whatever the ledger and earlier results hold."""


@dataclass(frozen=True)
class Prepared:
    """A request with everything decided and nothing acquired."""

    analysis: Analysis
    request: Request
    executor: ExecutorName
    resolved: Resolved[GeneralOptions]
    fileset: Fileset
    units: Sequence[Unit]
    make_factory: Callable[[Path | None], ExecutorFactory]
    engine_known: bool = True
    """Whether the executor is this project's for certain: a user's factory may give another one."""

    @property
    def options(self) -> GeneralOptions:
        """The resolved options."""
        return self.resolved.options

    @property
    def submits_jobs(self) -> bool:
        """Whether the workers are for certain jobs that this project submits, looked at before they are."""
        return self.engine_known and isinstance(self.options, BatchOptions)


@dataclass(frozen=True)
class Choice:
    """The executor of a request: its name, the model of its options, and where its factory comes from."""

    name: ExecutorName
    model: type[GeneralOptions]
    defaults: Sequence[Layer]
    known: Sequence[str]
    custom: CustomModule | None = None
    factory: type[ExecutorFactory] | None = None
    brought_by: str = ""
    """The distribution of a factory that is not this project's."""

    @property
    def own(self) -> bool:
        """Whether the factory is this project's."""
        return self.custom is None and not self.brought_by

    @property
    def here(self) -> bool:
        """Whether the workers are for certain processes of this machine and this Python environment."""
        return self.own and same_executor(self.name.text) in ("iterative", "futures", "dask@local")


def choose(request: Request, registry: Registry, in_cfg: str | None = None) -> Choice:
    """Find the executor: the flag, else iterative for a test, else that of cfg.py, else iterative.

    Raises:
        ExecutorError: there is none of this name, or the custom module cannot be used.
    """
    unsaid = ITERATIVE if request.test else in_cfg or ITERATIVE
    name = parse(unsaid if request.executor is None else request.executor)
    known = sorted({*registry.names(), *known_sites()})
    if request.custom_setup is not None:
        from pocket_exec.executors.custom import load_custom

        module = load_custom(request.custom_setup)
        base = _base_of_custom(name, known)
        model = module.options_model or model_for(base)
        return Choice(name, model, defaults_of_model(model, base), [*known, name.text], custom=module)
    entry, factory = registry.entry(name), registry.factory(name)
    if name.kind == "dask" and name.entry in ("dask@tcp", "dask@tls") and not name.place.partition("://")[2]:
        raise ExecutorError(f"'{name.text}' has no address; write {name.entry}://host:port")
    layers = list(defaults_layers(name.text))
    if factory.defaults is not None:
        layers.append(read_layer(factory.defaults))
    return Choice(
        name, factory.options_model, layers, known, factory=factory, brought_by="" if entry.ours else entry.source
    )


def _base_of_custom(name: ExecutorName, known: Sequence[str]) -> str:
    """Return the executor whose defaults a custom module starts from: the one of its string, else of its kind."""
    if name.text in known or name.url:
        return name.text
    if name.kind in known:
        return name.kind
    raise ExecutorError(f"'{name.text}': a custom executor is called iterative, futures, dask, or dask@ANYTHING")


def resolved_options(request: Request, choice: Choice, in_cfg: Mapping[str, Any] | None, cfg: str) -> Resolved[Any]:
    """Stack all layers of a request, and log what the user should know of them.

    Raises:
        OptionsError: all faults of all layers.
    """
    user: list[Document | Layer] = []
    faults: list[Fault] = []

    def read(reader: Callable[[], Document | Layer]) -> None:
        try:
            user.append(reader())
        except OptionsError as error:
            faults.extend(error.faults)

    if in_cfg:
        read(lambda: from_mapping(in_cfg, f"run_options in {cfg}"))
    for number, given in enumerate(request.run_options):
        if isinstance(given, Mapping):
            read(lambda given=given, number=number: from_mapping(given, f"run_options {number + 1}"))  # type: ignore[misc]
        else:
            read(lambda given=given: read_run_options(Path(given)))  # type: ignore[misc]
    if request.test:
        user.append(Layer("--test", {"limit-files": 1}, {"limit-files": "--test"}))
    read(lambda: from_flags(request.flags))
    if request.keywords:
        user.append(from_keywords(request.keywords, "the call"))
    if faults:
        raise OptionsError(faults)
    resolved = resolve(
        choice.name.text,
        choice.model,
        choice.defaults,
        user,
        known_executors=choice.known,
        custom_module=choice.custom is not None,
        lenient_flags=request.test and request.executor is None,
        choose=_batch_system_choice(choice),
    )
    for note in resolved.notes:
        log.warning("%s", note)
    return resolved


def _batch_system_choice(choice: Choice) -> Any:
    """Return what decides ``batch-system: auto``, for executors whose workers are jobs."""
    if choice.custom is not None or "batch-system" not in choice.model.option_fields():
        return None
    from pocket_exec.batch.find import auto_choice

    decide = auto_choice(choice.name.text)
    # Below them are those of another package's factory, which hold for any batch system.
    own = choice.defaults[len(defaults_layers(choice.name.text)) :]

    def decided(values: Mapping[str, Any]) -> Any:
        found = decide(values)
        if found is None:
            return None
        model = choice.model if issubclass(choice.model, found.model) else found.model
        return replace(found, model=model, defaults=[*found.defaults, *own])

    return decided


def prepare(request: Request, analysis: Analysis, registry: Registry) -> Prepared:
    """Decide everything that can be decided before something is acquired.

    Raises:
        OptionsError, ExecutorError, CfgError, OutputDirectoryError: what is wrong, all of it at once where it can be.
    """
    choice = choose(request, registry, analysis.executor)
    cfg = analysis.cfg.name if analysis.cfg else "the call"
    resolved = resolved_options(request, choice, analysis.run_options, cfg)
    options = resolved.options
    selection = replace(request.selection, limit_files=options.limit_files)
    fileset = select(analysis.fileset, selection)
    check_processor(analysis.processor)
    check_files(resolved, analysis.directory)
    if choice.here:
        check_protocols(fileset)
    return Prepared(
        analysis,
        request,
        choice.name,
        resolved,
        fileset,
        units(fileset, request.wanted, sample_groups(resolved, analysis.fileset, fileset)),
        lambda outputdir: make_factory(choice, resolved, outputdir).with_modules(
            analysis.directory, processor=analysis.processor
        ),
        engine_known=choice.own,
    )


def make_factory(choice: Choice, resolved: Resolved[Any], outputdir: Path | None) -> ExecutorFactory:
    """Make the factory of the chosen executor; nothing is acquired yet, save by a custom module that does so itself.

    Raises:
        ExecutorError: a custom module or another package's factory raises, or it returns something else.
    """
    from pocket_exec.options.mapping import OptionsMapping

    given = OptionsMapping(resolved.options, resolved.custom)
    if choice.custom is not None:
        return choice.custom.factory(choice.name.kind, given, outputdir)
    assert choice.factory is not None
    if not choice.brought_by:
        return choice.factory(given, outputdir)
    from pocket_exec.executors.custom import steps_told, told

    whose, path = f"executor '{choice.name.text}' of {choice.brought_by}", Path(inspect.getfile(choice.factory))
    with told(f"{whose}: {choice.factory.__name__}()", path):
        return steps_told(choice.factory(given, outputdir), whose, path)
