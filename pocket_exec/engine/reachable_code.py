"""The canonical forms of code: functions, classes and modules, down to the last global of the user's that they reach.

A function or class that its module knows by name is written as that name, and its content goes into the module's
account; so the value that uses it stays the same when its code changes, and the module can be named. What has no such
name (lambdas, closures, local classes) is written where it is used. Code of libraries is written as its name and counts
by version.

A module that is used as a whole (``import my_cuts``, not ``from my_cuts import select``) counts by its whole source,
that of the user's modules which it imports, and the values that are taken from it by name.
"""

from __future__ import annotations

import hashlib
import inspect
import sys
import types
from collections.abc import Mapping
from importlib.machinery import EXTENSION_SUFFIXES
from typing import Any, cast

from pocket_exec.engine.canonical import CanonicalForm, Handler
from pocket_exec.engine.code_form import function_form, names_reached
from pocket_exec.engine.module_identity import ModuleIdentity
from pocket_exec.engine.reached_modules import ReachedModule, ReachedModules, content_of

NOT_CONTENT_OF_A_CLASS = frozenset(
    (
        *(
            "__module__",
            "__qualname__",
            "__doc__",
            "__dict__",
            "__weakref__",
            "__firstlineno__",
            "__static_attributes__",
        ),
        *("__annotations__", "__annotate__", "__annotate_func__", "__annotations_cache__", "__classdictcell__"),
        *("__abstractmethods__", "_abc_impl", "__parameters__", "__orig_bases__", "__slotnames__"),
        *("__dataclass_fields__", "__dataclass_params__"),
    )
)
"""What Python derives from the rest of the class (a dataclass's fields are in its generated methods), or caches."""


class CodeForms:
    """Writes code, and collects in ``modules`` what it reaches."""

    def __init__(self) -> None:
        self.modules = ReachedModules()

    @property
    def handlers(self) -> dict[str, Handler]:
        """How functions, classes, modules and what is made of them are written."""
        return {
            "builtins.function": self._function,
            "builtins.type": self._class,
            "builtins.module": self._module,
            "builtins.method": _method,
            "builtins.builtin_function_or_method": self._builtin,
            "builtins.property": _property,
            "builtins.staticmethod": _wrapper(b"S", "__func__"),
            "builtins.classmethod": _wrapper(b"C", "__func__"),
            "functools.cached_property": _wrapper(b"P", "func"),
            "functools._lru_cache_wrapper": _wrapper(b"W", "__wrapped__"),
            "numba.core.dispatcher.Dispatcher": _compiled,
            "builtins.code": lambda canon, code: b"x" + function_form(code),
        }

    def follow(self, canon: CanonicalForm) -> None:
        """Write the content of all that was named so far, and of what that names in turn."""
        while self.modules.waiting:
            module, name = self.modules.waiting.pop()
            canon.begin(f"{module.identity.label}:{name}")
            module.entries[name] = hashlib.sha256(self._entry(canon, module, name)).digest()

    def _entry(self, canon: CanonicalForm, module: ReachedModule, name: str) -> bytes:
        value = module.namespace[name]
        own = getattr(value, "__qualname__", None) == name
        if own and isinstance(value, types.FunctionType) and value.__globals__ is module.namespace:
            return self._function_content(canon, value)
        if own and isinstance(value, type) and namespace_of_class(value) is module.namespace:
            return self._class_content(canon, value)
        return canon.form(value)

    def _reference(self, value: Any, namespace: Mapping[str, Any], identity: ModuleIdentity) -> bytes | None:
        """Name a function or class that its module knows by name; None if it does not."""
        name_within = value.__qualname__
        first, *rest = name_within.split(".")
        found = namespace.get(first)
        for name in rest:
            found = vars(found).get(name) if isinstance(found, type) else None
        if found is not value:
            return None
        self.modules.reach(namespace, [first])
        return b"@" + f"{identity.label}:{name_within}".encode()

    def _function(self, canon: CanonicalForm, function: Any) -> bytes:
        identity = self.modules.identity(function.__globals__)
        if identity.users:
            return self._reference(function, function.__globals__, identity) or self._function_content(canon, function)
        body = b"F" + f"{function.__globals__.get('__name__')}:{function.__code__.co_qualname}".encode()
        registry = getattr(function, "registry", None)
        if isinstance(registry, Mapping):  # of functools.singledispatch; its closure holds a cache
            return body + canon.unordered(registry.items())
        return body + (_captured(canon, function) if "<" in function.__code__.co_qualname else b"")

    def _function_content(self, canon: CanonicalForm, function: types.FunctionType) -> bytes:
        self.modules.reach_from(function, names_reached(function.__code__))
        return b"f" + function_form(function.__code__) + _captured(canon, function)

    def _module(self, canon: CanonicalForm, module: Any) -> bytes:
        identity = self.modules.identity(vars(module))
        if not identity.users:
            return b"M" + str(module.__name__).encode()
        self.modules.whole_source(identity)
        return b"M" + identity.label.encode()

    def _class(self, canon: CanonicalForm, cls: Any) -> bytes:
        namespace = namespace_of_class(cls)
        identity = self.modules.identity(namespace)
        if identity.file is not None and identity.file.suffix in EXTENSION_SUFFIXES:
            self.modules.whole_source(identity)
        elif identity.users:
            return self._reference(cls, namespace, identity) or self._class_content(canon, cls)
        return b"K" + f"{cls.__module__}:{cls.__qualname__}".encode()

    def _class_content(self, canon: CanonicalForm, cls: type) -> bytes:
        members = {name: cls.__dict__[name] for name in cls.__dict__.keys() - NOT_CONTENT_OF_A_CLASS}
        body = b"k" + canon.form(cls.__qualname__) + canon.form(type(cls)) + canon.form(cls.__bases__)
        body += canon.form(list(inspect.get_annotations(cls)))
        for name in sorted(members):
            if name.startswith("__pydantic_") or (hasattr(cls, "_member_map_") and _of_enum_itself(name)):
                continue
            body += canon.form(name) + self._member(canon, cls, name, members[name])
        return body

    def _member(self, canon: CanonicalForm, cls: type, name: str, value: Any) -> bytes:
        if getattr(value, "__qualname__", None) == f"{cls.__qualname__}.{name}":
            if isinstance(value, types.FunctionType) and self.modules.identity(value.__globals__).users:
                return b"#" + hashlib.sha256(self._function_content(canon, value)).digest()
            if isinstance(value, type):
                return b"#" + hashlib.sha256(self._class_content(canon, value)).digest()
        return canon.at(".", name, value)

    def _builtin(self, canon: CanonicalForm, function: Any) -> bytes:
        if isinstance(function.__self__, types.ModuleType) or function.__self__ is None:
            return b"F" + f"{function.__module__}:{function.__qualname__}".encode()
        return b"G" + canon.at(".", "__self__", function.__self__) + canon.form(function.__name__)


def namespace_of_class(cls: type) -> Mapping[str, Any]:
    """Give the globals of the module that ``cls`` was defined in.

    Its methods know them; the table of modules may hold another module of that name by now, or none: classes of
    extension modules name modules that cannot be imported, but their package can.
    """
    for name, member in vars(cls).items():
        own = isinstance(member, types.FunctionType) and member.__qualname__ == f"{cls.__qualname__}.{name}"
        if own and member.__globals__.get("__name__") == cls.__module__:
            return cast(Mapping[str, Any], member.__globals__)
    module = sys.modules.get(cls.__module__) or sys.modules.get(cls.__module__.partition(".")[0])
    return vars(module) if module else {}


def _of_enum_itself(name: str) -> bool:
    return name.startswith("_") and name != "_member_map_" and not (name.startswith("__") and name != "__new_member__")


def _captured(canon: CanonicalForm, function: types.FunctionType) -> bytes:
    """Write what a function has caught: defaults, closure, attributes."""
    body = canon.at(".", "__defaults__", function.__defaults__) + canon.attributes(function.__kwdefaults__ or {})
    for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
        body += canon.at(".", name, content_of(cell))
    return body + canon.attributes(function.__dict__)


def _method(canon: CanonicalForm, method: Any) -> bytes:
    return b"h" + canon.at(".", "__self__", method.__self__) + canon.form(method.__func__)


def _property(canon: CanonicalForm, value: Any) -> bytes:
    return b"p" + b"".join(canon.at(".", name, getattr(value, name)) for name in ("fget", "fset", "fdel"))


def _wrapper(tag: bytes, name: str) -> Handler:
    return lambda canon, value: tag + canon.at(".", name, getattr(value, name))


def _compiled(canon: CanonicalForm, value: Any) -> bytes:
    """Write a function compiled by numba: its pickle holds an id drawn at random."""
    return b"J" + canon.form(type(value)) + canon.form(value.py_func) + canon.attributes(value.targetoptions)
