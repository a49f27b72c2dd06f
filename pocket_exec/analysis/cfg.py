"""Reads cfg.py: fileset, processor, and the few things that may stand beside them."""

from __future__ import annotations

import difflib
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

from pocket_exec.analysis.fileset import Fileset
from pocket_exec.analysis.fileset_forms import read_fileset
from pocket_exec.errors import CfgError
from pocket_exec.userfile import FailedImport, load_module


@dataclass(frozen=True)
class Analysis:
    """What the user wants to know, free of where and how it runs."""

    name: str
    fileset: Fileset
    processor: Any
    """An instance of coffea's ProcessorABC, or a callable that takes the events."""
    schema: type[Any]
    directory: Path
    """Where cfg.py lies (a script: the current directory): the modules in it travel to the workers."""
    cfg: Path | None = None
    executor: str | None = None
    run_options: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))


_WANTED = ("fileset", "processor")
_KNOWN = (*_WANTED, "cfg", "schema", "treename", "run_options", "executor")


def load_cfg(path: Path) -> Analysis:
    """Run the user's cfg.py and return what it defines.

    It defines ``fileset`` and ``processor``, or an object ``cfg`` with ``filesets`` and ``processor_instance``;
    ``schema`` (default: NanoAODSchema), ``treename``, ``run_options`` and ``executor`` are optional in both.

    Raises:
        CfgError: it is missing, does not run, or lacks one of them.
    """
    path = Path(path).absolute()
    if path.suffix != ".py":
        hint = " (a pickled configuration cannot be read; give the .py that makes it)" if path.is_file() else ""
        raise CfgError(f"--cfg {path}: not a Python file{hint}")
    # A private name: 'cfg' or 'dask' as a module's name would shadow what has that name already.
    name = f"_pocket_exec_cfg_{path.stem}_{hashlib.sha256(bytes(path)).hexdigest()[:8]}"
    try:
        module = load_module(path, name)
    except FailedImport as failed:
        raise CfgError(f"--cfg {failed}") from failed.__cause__
    import cloudpickle

    # Workers have the modules beside cfg.py, but not cfg.py itself under this name.
    cloudpickle.register_pickle_by_value(module)
    return _analysis(path, vars(module))


def _analysis(path: Path, names: dict[str, Any]) -> Analysis:
    cfg = names.get("cfg")
    fileset = names.get("fileset", getattr(cfg, "filesets", None))
    processor = names.get("processor", getattr(cfg, "processor_instance", None))
    missing = [name for name, value in zip(_WANTED, (fileset, processor), strict=True) if value is None]
    if missing:
        theirs = [name for name in names if not name.startswith("_") and name not in _KNOWN]
        hints = {name: difflib.get_close_matches(name, theirs, n=1, cutoff=0.8) for name in missing}
        told = [f"no '{name}'{f' (but {near[0]!r})' if near else ''}" for name, near in hints.items()]
        raise CfgError(f"--cfg {path} defines {' and '.join(told)}")

    def optional(name: str) -> Any:
        return names.get(name, getattr(cfg, name, None))

    run_options = optional("run_options") or {}
    if not isinstance(run_options, Mapping):
        raise CfgError(f"{path}: run_options is a {type(run_options).__name__}, not a dictionary")
    for name in ("executor", "treename"):
        if not isinstance(value := optional(name), str | None):
            raise CfgError(f"{path}: {name} is a {type(value).__name__}, not text")
    return analysis(
        fileset,
        processor,
        name=path.stem,
        directory=path.parent,
        treename=optional("treename"),
        schema=optional("schema"),
        cfg=path,
        executor=optional("executor"),
        run_options=run_options,
    )


def analysis(
    fileset: object,
    processor: Any,
    *,
    name: str,
    directory: Path,
    treename: str | None = None,
    schema: type[Any] | None = None,
    cfg: Path | None = None,
    executor: str | None = None,
    run_options: Mapping[str, Any] = MappingProxyType({}),
) -> Analysis:
    """Check what was given and return it as an Analysis.

    Raises:
        CfgError: the fileset, the processor or the schema is of no use.
    """
    where = f"{cfg}: " if cfg else ""
    datasets = read_fileset(fileset, treename, directory, where)
    checked = _checked_processor(processor, where)
    return Analysis(name, datasets, checked, _checked_schema(schema, where), directory, cfg, executor, run_options)


def _checked_processor(processor: Any, where: str) -> Any:
    from coffea.processor import ProcessorABC

    if isinstance(processor, type):
        raise CfgError(f"{where}processor is the class {processor.__name__}; write processor = {processor.__name__}()")
    if not isinstance(processor, ProcessorABC) and not callable(processor):
        raise CfgError(
            f"{where}processor is a {type(processor).__name__}; an instance of a class derived from "
            "coffea.processor.ProcessorABC was expected"
        )
    return processor


def _checked_schema(schema: Any, where: str) -> type[Any]:
    from coffea.nanoevents import BaseSchema, NanoAODSchema

    if schema is None:
        return NanoAODSchema  # type: ignore[no-any-return]  # coffea is not typed
    if not isinstance(schema, type) or not issubclass(schema, BaseSchema):
        raise CfgError(f"{where}schema is {schema!r}; a class derived from coffea.nanoevents.BaseSchema was expected")
    return schema
