"""Writes a file whole or not at all."""

from __future__ import annotations

import errno
import os
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from pocket_exec.errors import OutputDirectoryError

_PREFIX, _SUFFIX = ".pocket-exec-", ".tmp"
_TEMPORARY = f"{_PREFIX}{'[0-9a-f]' * 16}{_SUFFIX}"

_FULL = {errno.ENOSPC: "no space left on the device", errno.EDQUOT: "the disk quota is used up"}
_STORAGE = {*_FULL, errno.EIO, errno.EFBIG, errno.EROFS, errno.ESTALE, errno.ENOTCONN, errno.ETIMEDOUT}
_NO_FSYNC = {errno.EINVAL, errno.ENOTSUP, errno.ENOSYS}


def atomic_write(path: Path, write: Callable[[BinaryIO], None]) -> None:
    """Give ``path`` the content that ``write`` puts into the stream it is called with.

    The content goes to a temporary name in the same directory, then to disk, then to its name. After a failure, an
    exception of ``write`` included, the old file is as it was and no temporary file is left. The file's mode follows
    the umask. Raises ``OutputDirectoryError`` when the storage fails (full, over quota, read-only, gone).
    """
    temporary = path.with_name(f"{_PREFIX}{secrets.token_hex(8)}{_SUFFIX}")
    try:
        with storage_faults(path, _STORAGE), _new_file(path, temporary) as stream:
            write(stream)
            with storage_faults(path):
                stream.flush()
                _sync(stream.fileno())
        with storage_faults(path):
            temporary.replace(path)
    except BaseException:
        with suppress(OSError):
            temporary.unlink()
        raise
    _sync_directory(path.parent)


def remove_leftovers(directory: Path) -> None:
    """Remove temporary files of a process that was killed while it wrote; only for who holds the directory's lock."""
    for leftover in directory.glob(_TEMPORARY):
        with suppress(OSError):
            leftover.unlink()


def free_bytes(directory: Path) -> int | None:
    """Return the bytes a user can still write to the file system of ``directory``; None where it does not say.

    Quotas (AFS, EOS, NFS) are not in this number.
    """
    try:
        found = os.statvfs(directory)
    except OSError:
        return None
    # Some FUSE file systems answer with nothing but zeros.
    return found.f_bavail * found.f_frsize if found.f_blocks else None


def size_text(size: int) -> str:
    """Return a number of bytes in the unit a reader expects.

    >>> size_text(2_500_000), size_text(12)
    ('2.5 MB', '12 bytes')
    """
    for unit, factor in (("TB", 10**12), ("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if size >= factor:
            return f"{size / factor:.1f} {unit}"
    return f"{size} bytes"


@contextmanager
def storage_faults(path: Path, numbers: set[int] | None = None) -> Iterator[None]:
    """Turn an OSError (of these error numbers) into the OutputDirectoryError that says what cannot be written."""
    try:
        yield
    except OSError as error:
        if numbers is not None and error.errno not in numbers:
            raise
        raise OutputDirectoryError(_sentence(path, error)) from error


def _sentence(path: Path, error: OSError) -> str:
    reason = _FULL.get(error.errno or 0)
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return f"cannot write {path}: {error.strerror}; choose an output directory that you may write to (-o)"
    if reason is None:
        return f"cannot write {path}: {error.strerror or error}"
    free = free_bytes(path.parent)
    left = "" if free is None else f" ({size_text(free)} free in {path.parent})"
    return f"cannot write {path}: {reason}{left}; make room, or use another output directory (-o)"


@contextmanager
def _new_file(path: Path, temporary: Path) -> Iterator[BinaryIO]:
    with storage_faults(path):
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
    stream = os.fdopen(descriptor, "wb")
    try:
        yield stream
    except BaseException:
        with suppress(OSError):
            stream.close()
        raise
    # AFS and NFS tell of a full quota only here.
    with storage_faults(path):
        stream.close()


def _sync(descriptor: int) -> None:
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in _NO_FSYNC:
            raise


def _sync_directory(directory: Path) -> None:
    # The file has its name already: a directory that cannot be opened or synced (AFS) is no fault.
    with suppress(OSError):
        descriptor = os.open(directory, os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
