"""Packs this project and the user's modules into one file, which is also a program that Python can run."""

from __future__ import annotations

import hashlib
import io
import zipfile
from collections.abc import Iterator, Sequence
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path

from pocket_exec.errors import ExecutorError

LARGEST_ARCHIVE = 50 * 10**6
"""Bytes of modules beside cfg.py that are sent to workers; more is data rather than code."""

_PACKAGE = Path(__file__).resolve().parent.parent
_MODULE_SUFFIXES = (".py", *EXTENSION_SUFFIXES)
_ENVIRONMENT_MARKS = ("pyvenv.cfg", "conda-meta")


def code_archive(directories: Sequence[Path]) -> tuple[bytes, str]:
    """Return a zip file and its digest: this project, and the modules in ``directories``.

    The same contents are the same bytes, wherever and whenever they lie. ``python <zip> <settings> <name>`` starts a
    worker (``worker.doorkeeper``).

    Raises:
        ExecutorError: the modules are too large to be code, or a file cannot be read.
    """
    users = {
        path.relative_to(directory).as_posix(): path
        for directory in reversed(directories)
        for path in modules_in(directory)
    }
    _check_size(users)
    project = {path.relative_to(_PACKAGE.parent).as_posix(): path for path in _PACKAGE.rglob("*.py")}
    # The directory of cfg.py may be the one that this project is imported from.
    content = {**users, **project, "__main__.py": _PACKAGE / "worker" / "doorkeeper.py"}
    data = _zipped(content)
    return data, hashlib.sha256(data).hexdigest()


def modules_in(directory: Path) -> Iterator[Path]:
    """Yield the files of the modules and packages that ``import`` finds in ``directory``.

    Compiled modules are among them. A package comes with its data. A directory without ``__init__.py`` is a package as
    well (PEP 420) where it holds modules or packages itself; only these are taken of it, as it may be any directory.
    """
    for path in sorted(directory.iterdir()):
        if path.name.endswith(_MODULE_SUFFIXES) and path.is_file():
            yield path
        elif (path / "__init__.py").is_file():
            yield from (part for part in sorted(path.rglob("*")) if part.is_file() and "__pycache__" not in part.parts)
        elif _may_be_package(path):
            yield from modules_in(path)


def _may_be_package(path: Path) -> bool:
    if not path.name.isidentifier() or path.is_symlink() or not path.is_dir():
        return False
    try:
        inside = list(path.iterdir())
    except PermissionError:
        return False
    if any(part.name in _ENVIRONMENT_MARKS for part in inside):
        return False
    return any(part.name.endswith(_MODULE_SUFFIXES) or (part / "__init__.py").is_file() for part in inside)


def _check_size(users: dict[str, Path]) -> None:
    sizes = {name: path.stat().st_size for name, path in users.items()}
    total = sum(sizes.values())
    if total > LARGEST_ARCHIVE:
        largest = sorted(sizes, key=lambda name: sizes[name], reverse=True)[:3]
        named = ", ".join(f"{name} ({sizes[name] / 1e6:.0f} MB)" for name in largest)
        raise ExecutorError(
            f"the modules beside cfg.py are {total / 1e6:.0f} MB, more than the {LARGEST_ARCHIVE / 1e6:.0f} MB that "
            f"are sent to workers; the largest: {named}; keep data and output in other directories"
        )


def _zipped(content: dict[str, Path]) -> bytes:
    """Return a zip whose bytes depend on names and contents only."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, path in sorted(content.items()):
            entry = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))
            entry.compress_type = zipfile.ZIP_DEFLATED
            try:
                archive.writestr(entry, path.read_bytes())
            except OSError as error:
                raise ExecutorError(f"{path}: {error.strerror}; workers need it") from error
    return buffer.getvalue()
