"""Compute the key of what decides a result's content: the processor's code and state, and the files it depends on."""

from __future__ import annotations

import functools
import hashlib
import json
import uuid
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import BuiltinFunctionType, FunctionType, MethodType
from typing import Any

import cloudpickle

from pocket_exec.engine.canonical import CanonicalForm, NoCanonicalForm, type_name
from pocket_exec.engine.module_identity import identity_of_globals
from pocket_exec.engine.reachable_code import CodeForms, namespace_of_class
from pocket_exec.engine.reached_modules import ReachedModules
from pocket_exec.engine.value_forms import VALUE_HANDLERS
from pocket_exec.errors import CfgError

__all__ = ["NoCanonicalForm", "ProcessorKey", "canonical_digest", "depends_on_digest", "processor_key"]

FORM = {"canonical form": "1"}
"""Counts like a library's version; to be raised with each change of what the canonical form is."""


@dataclass(frozen=True)
class ProcessorKey:
    """What decides a processor's results, part by part, each as a digest."""

    code: str
    """The processor's class: what it is, where it is a library's; of the user's code, ``modules`` has the content."""
    state: Mapping[str, str]
    """Attribute of the processor to digest; of one without (a function), the whole under the empty name."""
    modules: Mapping[str, str]
    """User's module that is reached (``my_cuts.py``, ``pkg/cuts.py``) to the digest of what of it is reached."""
    libraries: Mapping[str, str]
    """Library that the code or state names, and Python, to its version."""
    caveat: str = ""
    """What the key could not see to the ground, in words; empty for most processors. It is no part of the digest."""


def canonical_digest(value: Any, roots: Sequence[Path] = ()) -> str:
    """Digest (sha256, hexadecimal) any value, with the user's code and the library versions that it reaches.

    Equal values give equal digests in any process, whatever the hash seed, the addresses, the working directory, and
    the directory of a checkout: text and paths that begin with one of the ``roots`` count relative to it.

    Raises:
        NoCanonicalForm: some part is an open file, a lock or the like; it names the part.
    """
    code = CodeForms()
    canon = CanonicalForm({**VALUE_HANDLERS, **code.handlers}, roots)
    canon.begin("self")
    try:
        form = canon.form(value)
        code.follow(canon)
    except RecursionError:
        raise NoCanonicalForm("self", f"{type_name(value)}, nested too deeply") from None
    return _digest(form, code.modules.digests(), {**code.modules.libraries, **FORM})


def processor_key(processor: Any, roots: Sequence[Path] = ()) -> ProcessorKey:
    """Compute the key of a processor: an instance, or any callable that coffea takes for one.

    ``roots`` are directories whose place does not count (that of cfg.py), beside the one that the processor's own
    module is imported from. What has no canonical form does not raise here: it counts by its pickle where it has one,
    and ``caveat`` says what that means. Not seen is what code finds by a computed name, and modules imported for an
    effect only.
    """
    code, caveats = CodeForms(), set[str]()
    answer = _answer(code.modules, caveats)
    canon = CanonicalForm({**VALUE_HANDLERS, **code.handlers}, _with_own_root(processor, roots), answer)
    canon.begin("self")
    own_code = canon.form(type(processor))
    state, parts = {}, _state(processor)
    if "" not in parts:
        canon.known(processor, b"self")
    for name, value in sorted(parts.items()):
        canon.begin(f"self.{name}".rstrip("."))
        try:
            state[name] = _digest(canon.form(value))
        except RecursionError:
            canon.begin(f"self.{name}".rstrip("."))
            state[name] = _digest(canon.without(value))
    code.follow(canon)
    modules, libraries = code.modules.digests(), {**code.modules.libraries, **FORM}
    return ProcessorKey(
        code=_digest(own_code),
        state=state,
        modules=modules,
        libraries=dict(sorted(libraries.items())),
        caveat="; ".join(sorted(caveats)),
    )


def reached_names(processor: Any) -> set[tuple[str, str]]:
    """Return the globals of the user's modules that a processor reaches, by the names of module and global."""
    code = CodeForms()
    canon = CanonicalForm({**VALUE_HANDLERS, **code.handlers}, [], _answer(code.modules, set()))
    canon.begin("self")
    for value in (type(processor), *_state(processor).values()):
        with suppress(RecursionError):
            canon.form(value)
    code.follow(canon)
    return code.modules.names()


def depends_on_digest(paths: Sequence[Path]) -> dict[str, str]:
    """Digest (sha256, hexadecimal) the content of each file; CfgError names all that cannot be read."""
    digests, faults = {}, []
    for path in paths:
        try:
            with path.open("rb") as file:
                digests[str(path)] = hashlib.file_digest(file, "sha256").hexdigest()
        except IsADirectoryError:
            faults.append(f"{path} is a directory; name the files in it")
        except OSError as error:
            faults.append(f"{path}: {error.strerror or error}")
    if faults:
        raise CfgError("\n".join(["depends-on names what cannot be read:", *(f"  {fault}" for fault in faults)]))
    return digests


def _state(processor: Any) -> dict[str, Any]:
    """Give what a processor holds, by attribute; all of it under the empty name if it is not a plain object."""
    if isinstance(processor, functools.partial):
        return {"func": processor.func, "args": processor.args, "keywords": processor.keywords}
    cls = type(processor)
    if any("__reduce__" in vars(base) or "__reduce_ex__" in vars(base) for base in cls.__mro__[:-1]) or isinstance(
        processor, type | FunctionType | MethodType | BuiltinFunctionType
    ):
        return {"": processor}
    try:
        state = processor.__getstate__()
    except Exception:  # noqa: BLE001 - the user's own code; the form of the whole meets the same error and answers it
        return {"": processor}
    if isinstance(state, tuple) and len(state) == 2 and isinstance(state[1], dict):  # (instance dict, slots)
        state = {**(state[0] or {}), **state[1]}
    if state is None:
        return {}
    if isinstance(state, dict) and all(isinstance(name, str) and name for name in state):
        return dict(state)
    return {"": processor}


def _with_own_root(processor: Any, roots: Sequence[Path]) -> list[Path]:
    while isinstance(processor, functools.partial):
        processor = processor.func
    processor = getattr(processor, "__func__", processor)
    namespace = getattr(processor, "__globals__", None)
    root = identity_of_globals(namespace_of_class(type(processor)) if namespace is None else namespace).root
    return list(dict.fromkeys([*(path.absolute() for path in roots), *([root] if root else [])]))


def _answer(modules: ReachedModules, caveats: set[str]) -> Callable[[str, Any], bytes]:
    """Make the answer for values without a canonical form, which notes a caveat for each."""

    def answer(path: str, value: Any) -> bytes:
        name = f"{path} ({type_name(value)})"
        try:
            pickle = cloudpickle.dumps(value)
        except Exception:  # noqa: BLE001 - whatever pickling raises, there is no pickle
            pickle = None
        if pickle is not None:
            caveats.add(f"{name} counts by its pickle, which may differ between two runs that are the same")
            return b"pickle" + hashlib.sha256(pickle).digest()
        label, colon, _ = path.partition(":")
        if colon:
            modules.whole_source_of(label)
            caveats.add(f"{name} counts by the source of {label} only")
            return b"global" + type_name(value).encode()
        caveats.add(f"{name} has no content that can be told: this key will match no other")
        return uuid.uuid4().bytes

    return answer


def _digest(form: bytes, *parts: Mapping[str, str]) -> str:
    return hashlib.sha256(form + json.dumps(parts, sort_keys=True).encode()).hexdigest()
