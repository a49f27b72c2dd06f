"""Names of result files: a dataset's name to a file's name and back."""

from __future__ import annotations

import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterable
from typing import NamedTuple

from pocket_exec.errors import OutputDirectoryError

ALL = "all"
"""Name of the result that holds every dataset."""

NAME_MAX = 255
"""Longest file name in bytes: NAME_MAX of ext4, XFS, NFS, AFS, EOS and APFS."""

_PREFIX, _SUFFIX, _PARTIAL = "output_", ".coffea", ".partial"
_UNSEEN = {"Cc", "Cf", "Cs", "Zl", "Zp"}
"""Control and format characters, lone surrogates, line and paragraph separators."""
_ESCAPED = re.compile(r"(?:%[0-9A-F]{2})+")


class ResultName(NamedTuple):
    """What a result file's name says."""

    dataset: str
    partial: bool


def result_name(dataset: str, partial: bool = False) -> str:
    """Return the file name of a dataset's (or group's) result; no two arguments share one.

    What a file name cannot hold is written as its UTF-8 bytes in ``%XX``. So is a colon beside a colon, which fsspec,
    and with it ``coffea.util.load``, takes for a chain of file systems, and the dot of a ``.partial`` at the end.

    >>> result_name("DY")
    'output_DY.coffea'
    >>> result_name("/DY/Run2018-v1/NANOAOD", partial=True)
    'output_%2FDY%2FRun2018-v1%2FNANOAOD.partial.coffea'
    """
    text = "".join(_percent(c) if _unfit(dataset, i) else c for i, c in enumerate(dataset))
    if text.endswith(_PARTIAL):
        text = text.removesuffix(_PARTIAL) + _percent(".") + _PARTIAL[1:]
    return f"{_PREFIX}{text}{_PARTIAL if partial else ''}{_SUFFIX}"


def dataset_of(filename: str) -> ResultName | None:
    """Return what ``result_name`` was given for ``filename``; None for a file that it does not name.

    >>> dataset_of("output_%2FDY.partial.coffea")
    ResultName(dataset='/DY', partial=True)
    """
    if not (filename.startswith(_PREFIX) and filename.endswith(_SUFFIX)):
        return None
    text = filename.removeprefix(_PREFIX).removesuffix(_SUFFIX)
    partial = text.endswith(_PARTIAL)
    try:
        found = ResultName(_ESCAPED.sub(_plain, text.removesuffix(_PARTIAL)), partial)
    except UnicodeDecodeError:
        return None
    return found if result_name(*found) == filename else None


def check_names(names: Iterable[str]) -> None:
    """Refuse names of datasets and groups whose result files would collide or cannot exist.

    Names that a case-insensitive or normalising file system (a Mac's) takes for one are refused everywhere, so that an
    output directory can be copied. All faults at once, as ``OutputDirectoryError``.
    """
    names = list(names)
    faults = [f"  {name!r}: {fault}" for name in names if (fault := _fault(name))]
    alike = defaultdict(list)
    for name in names:
        alike[_folded(name)].append(name)
    faults += [
        f"  {' and '.join(map(repr, same))}: one file on some file systems" for same in alike.values() if same[1:]
    ]
    if faults:
        raise OutputDirectoryError("\n".join(["Rename these datasets or groups in the fileset:", *faults]))


def _fault(name: str) -> str:
    if not name:
        return "an empty name"
    if _folded(name) == ALL:
        return f"{result_name(ALL)} is the result of all datasets together"
    if _folded(name).endswith(_PARTIAL):
        return f"{_PARTIAL!r} at the end is the mark of a partial result"
    size = len(result_name(name, partial=True).encode())
    if size > NAME_MAX:
        return f"its file name would have {size} bytes, a file name holds {NAME_MAX}"
    return ""


def _folded(name: str) -> str:
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())


def _unfit(text: str, i: int) -> bool:
    char = text[i]
    if char == ":":
        return ":" in (text[i - 1 : i], text[i + 1 : i + 2])
    return char in "%/" or unicodedata.category(char) in _UNSEEN


def _percent(char: str) -> str:
    return "".join(f"%{byte:02X}" for byte in char.encode("utf-8", "surrogatepass"))


def _plain(match: re.Match[str]) -> str:
    return bytes.fromhex(match[0].replace("%", "")).decode("utf-8", "surrogatepass")
