"""Where options come from: YAML and Python files, cfg.py, flags; each becomes a layer with origins."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pocket_exec.errors import Fault, OptionsError, did_you_mean
from pocket_exec.options.layers import Document, Layer
from pocket_exec.options.yaml_text import parse_value, parse_yaml
from pocket_exec.userfile import users_traceback

__all__ = [
    "Document",
    "FlagValue",
    "Layer",
    "from_flags",
    "from_keywords",
    "from_mapping",
    "parse_assignment",
    "read_layer",
    "read_run_options",
    "yaml_document",
]

RUN_OPTIONS = "run_options"


@dataclass(frozen=True)
class FlagValue:
    """An option on the command line, as it was written."""

    key: str
    """Kebab-case; ``table.key`` for one entry of a table."""
    text: str | None
    """What was given; None for a flag alone, which is true."""
    flag: str
    """The flag, such as ``--mem-per-worker`` or ``-O``."""

    @property
    def origin(self) -> str:
        """The flag in the words of a message; ``-O`` with its key."""
        return f"{self.flag} {self.key}" if self.flag in ("-O", "--option") else self.flag


def parse_assignment(text: str, flag: str = "-O") -> FlagValue:
    """Split ``key=value`` at the first ``=``.

    Raises:
        OptionsError: there is no ``=``, or no key before it.
    """
    key, equals, value = text.partition("=")
    if not equals or not key.strip():
        raise OptionsError([Fault(f"{flag} {text}", f"write {flag} {text.strip('=').strip() or 'key'}=value")])
    return FlagValue(key.strip(), value, flag)


def from_flags(flags: Iterable[FlagValue], name: str = "command line") -> Layer:
    """Return the layer of the command line; values stay text until the option's type is known.

    A key's first dot leads into a table: ``htcondor-settings.MY.WantOS`` is ``MY.WantOS`` there.

    Raises:
        OptionsError: an ``-O`` has no value.
    """
    values: dict[str, Any] = {}
    origins: dict[str, str] = {}
    faults: list[Fault] = []
    for flag in flags:
        key, dot, entry = flag.key.partition(".")
        if flag.text is None and flag.flag == "-O":
            faults.append(Fault(f"-O {flag.key}", f"write -O {flag.key}=value"))
        elif dot:
            values[key] = {**_table_in(values.get(key)), entry: flag.text}
            origins[flag.key] = flag.origin
            origins.setdefault(key, flag.origin)
        else:
            below = values.get(key)
            values[key] = {**below, **_table_in(flag.text)} if isinstance(below, dict) else flag.text
            origins[key] = flag.origin
    if faults:
        raise OptionsError(faults)
    return Layer(name, values, origins, command_line=True)


def _table_in(given: Any) -> dict[str, Any]:
    """Return the table that a flag's text holds, or nothing: what is wrong with it is told where it is parsed."""
    if isinstance(given, str):
        with contextlib.suppress(ValueError):
            given = parse_value(given)
    return given if isinstance(given, dict) else {}


def from_keywords(keywords: Mapping[str, Any], origin: str) -> Layer:
    """Return the options of Python keyword arguments: ``mem_per_worker`` is ``mem-per-worker``."""
    values = {name.replace("_", "-"): value for name, value in keywords.items()}
    origins = {name.replace("_", "-"): f"{origin}, {name}=" for name in keywords}
    return Layer(origin, values, origins)


def from_mapping(mapping: Mapping[Any, Any], origin: str) -> Document:
    """Return the options of a Python dictionary, such as ``run_options`` of cfg.py.

    Raises:
        OptionsError: it is no dictionary, or a key is no text.
    """
    if not isinstance(mapping, Mapping):
        raise OptionsError([Fault(RUN_OPTIONS, f"is {type(mapping).__name__}, not a dictionary of options", origin)])
    faults = [Fault(repr(key), "a key is text", origin) for key in mapping if not isinstance(key, str)]
    if faults:
        raise OptionsError(faults)
    return Document(origin, dict(mapping))


def read_run_options(path: str | os.PathLike[str]) -> Document:
    """Read a file of run options: YAML, or a ``.py`` file that defines ``run_options``.

    Raises:
        OptionsError: it cannot be read or used; with its line.
    """
    name = os.fspath(path)
    if Path(name).suffix == ".py":
        return from_mapping(_python_options(Path(name)), f"{name}, {RUN_OPTIONS}")
    return yaml_document(_text_of(Path(name)), name)


def yaml_document(text: str, name: str) -> Document:
    """Return the options of a YAML text; ``name`` is the file in the messages."""
    parsed = parse_yaml(text, name)
    return Document(name, parsed.values, {path: f"{name}, line {line}" for path, line in parsed.lines.items()})


def read_layer(path: Path, name: str = "") -> Layer:
    """Read a YAML file of defaults, which has no sections.

    Raises:
        OptionsError: it cannot be read or is not YAML.
    """
    document = yaml_document(_text_of(path), name or str(path))
    return Layer(document.name, document.values, document.origins)


def _text_of(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise OptionsError([Fault(str(path), f"is not text in UTF-8: {error.reason}")]) from error
    except OSError as error:
        raise OptionsError([Fault(str(path), (error.strerror or str(error)).lower())]) from error


def _python_options(path: Path) -> Any:
    if not path.is_file():
        raise OptionsError([Fault(str(path), "is a directory" if path.is_dir() else "no such file or directory")])
    spec = importlib.util.spec_from_file_location(f"_pocket_exec_run_options_{path.stem}", path)
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules[spec.name] = importlib.util.module_from_spec(spec)
    try:
        with _importable(path.absolute().parent):
            spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:  # the user's file may raise anything
        raise OptionsError([Fault(str(path), f"failed:\n{users_traceback(error, path)}")]) from error
    if not hasattr(module, RUN_OPTIONS):
        names = [name for name in vars(module) if not name.startswith("__")]
        near = did_you_mean(RUN_OPTIONS, names) or "; write run_options = {...}"
        raise OptionsError([Fault(str(path), f"defines no '{RUN_OPTIONS}'{near}")])
    return getattr(module, RUN_OPTIONS)


@contextlib.contextmanager
def _importable(directory: Path) -> Iterator[None]:
    sys.path.insert(0, str(directory))
    try:
        yield
    finally:
        sys.path.remove(str(directory))
