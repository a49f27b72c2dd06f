"""The canonical forms of containers, enums, paths, loggers and numpy arrays."""

from __future__ import annotations

import hashlib
import sys
from typing import Any

from pocket_exec.engine.canonical import CanonicalForm, Handler, reduced, text_form


def _sequence(tag: bytes, exact: type) -> Handler:
    def write(canon: CanonicalForm, value: Any) -> bytes:
        cls: type = type(value)
        if cls is not exact:
            return reduced(canon, value)
        return tag + b"".join(canon.at("[", i, item) for i, item in enumerate(value))

    return write


def _dict(canon: CanonicalForm, value: Any) -> bytes:
    if type(value) is not dict:
        return reduced(canon, value)
    return b"D" + b"".join(canon.form(key) + canon.at("[", key, item) for key, item in value.items())


def _set(canon: CanonicalForm, value: Any) -> bytes:
    return canon.form(type(value)) + canon.attributes(getattr(value, "__dict__", {})) + canon.unordered(value)


def _enum_member(canon: CanonicalForm, value: Any) -> bytes:
    return canon.form(type(value)) + text_form(str(value.name)) + canon.at(".", "value", value.value)


def _path(canon: CanonicalForm, value: Any) -> bytes:
    return canon.form(type(value)) + canon.form(str(value))


def _array(canon: CanonicalForm, value: Any) -> bytes:
    numpy = sys.modules["numpy"]
    if type(value) not in (numpy.ndarray, numpy.memmap):
        return reduced(canon, value)
    head = b"a" + canon.form(value.dtype) + canon.form(value.shape)
    if value.dtype.hasobject or value.dtype.kind == "T":
        return head + canon.form(value.tolist())
    if value.dtype.names:  # field by field: the padding between fields is not content
        return head + b"".join(canon.at("[", name, value[name]) for name in value.dtype.names)
    if value.nbytes == 0:
        return head
    flat = numpy.ascontiguousarray(value).reshape(-1).view("u1")
    return head + hashlib.sha256(flat).digest()


def _numpy_scalar(canon: CanonicalForm, value: Any) -> bytes:
    return b"0" + canon.form(sys.modules["numpy"].asarray(value))


VALUE_HANDLERS: dict[str, Handler] = {
    "builtins.list": _sequence(b"[", list),
    "builtins.tuple": _sequence(b"(", tuple),
    "builtins.dict": _dict,
    "builtins.set": _set,
    "builtins.frozenset": _set,
    "builtins.mappingproxy": lambda canon, value: b"m" + canon.form(dict(value)),
    "builtins.dict_keys": lambda canon, value: b"k" + canon.form(list(value)),
    "builtins.dict_values": lambda canon, value: b"v" + canon.form(list(value)),
    "builtins.dict_items": lambda canon, value: b"t" + canon.form(list(value)),
    "enum.Enum": _enum_member,
    "pathlib.PurePath": _path,
    "logging.Logger": lambda canon, value: b"log",  # its name is often a module's private one, and decides nothing
    "numpy.ndarray": _array,
    "numpy.generic": _numpy_scalar,
}
