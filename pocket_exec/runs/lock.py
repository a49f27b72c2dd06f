"""One run at a time in a directory: a lock file that says which."""

from __future__ import annotations

import errno
import fcntl
import logging
import os
import shlex
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import assert_never

from pydantic import ValidationError

from pocket_exec.errors import OutputDirectoryError
from pocket_exec.runs.atomic import storage_faults
from pocket_exec.runs.holder import Holder, Life, life_of, this_process

log = logging.getLogger(__name__)

_BEING_WRITTEN_S = 1.0
"""How long a lock file may be empty before it counts as torn: AFS and NFS show its text a moment after its name."""
_TRIES = 5


def check_lock(path: Path) -> None:
    """Raise OutputDirectoryError when another run holds the lock; change nothing."""
    with suppress(FileNotFoundError):
        text = _text(path)
        holder, here = _holder(text), this_process()
        if holder is None or life_of(holder, here) is not Life.GONE:
            raise OutputDirectoryError(_held(path, holder, here))


@contextmanager
def held_lock(path: Path, command: str | None = None) -> Iterator[Holder]:
    """Hold the lock file ``path`` for the time of the block; a lock whose process is gone is taken over.

    The file is created exclusively, which NFS, AFS and EOS keep to as well. Raises OutputDirectoryError when another
    run holds it, or when the directory cannot be written to. At the end only a file that is still this lock is removed.
    """
    me = this_process(command)
    _acquire(path, me)
    try:
        yield me
    finally:
        # A forked child that leaves the block must not take its parent's lock along.
        if os.getpid() == me.pid:
            _release(path, me)


def _acquire(path: Path, me: Holder) -> None:
    for _ in range(_TRIES):
        if _create(path, me):
            return
        with suppress(FileNotFoundError):
            text = _text(path)
            holder = _holder(text)
            if holder is None or life_of(holder, me) is not Life.GONE:
                raise OutputDirectoryError(_held(path, holder, me))
            if _remove_stale(path, text):
                log.warning("removed the lock of a run that ended without cleaning up: %s", holder)
    raise OutputDirectoryError(f"{path.parent} is in use: other runs that start there took {path.name} {_TRIES} times")


def _create(path: Path, me: Holder) -> bool:
    with storage_faults(path):
        try:
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
        except FileExistsError:
            return False
        try:
            with os.fdopen(descriptor, "w", encoding="utf-8", errors="backslashreplace") as stream:
                stream.write(me.model_dump_json(indent=1) + "\n")
        except BaseException:
            with suppress(OSError):
                path.unlink()
            raise
    return True


def _remove_stale(path: Path, text: str) -> bool:
    """Remove a lock file that still has this text; of several processes that try, one does.

    Only processes of the dead holder's host get here, so an advisory lock on the file itself is enough between them.
    """
    # NFS gives an exclusive lock only to who may write; another user's lock file may not be ours to write.
    mode = "r+" if os.access(path, os.W_OK) else "r"
    with (
        storage_faults(path),
        suppress(FileNotFoundError),
        path.open(mode, encoding="utf-8", errors="replace") as stream,
    ):
        if not _alone(stream.fileno()):
            time.sleep(0.05)
        elif os.path.samestat(os.fstat(stream.fileno()), path.stat()) and stream.read() == text:
            path.unlink()
            return True
    return False


def _alone(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        # Any other answer: a file system without such locks. What is left is a race of two starts in one moment.
        return error.errno not in (errno.EWOULDBLOCK, errno.EACCES)
    return True


def _release(path: Path, me: Holder) -> None:
    try:
        found = _holder(_text(path))
        if found is not None and found.token == me.token:
            path.unlink()
        else:
            log.warning("%s is no longer this run's lock and stays: %s", path, found or "it does not say whose it is")
    except FileNotFoundError:
        log.warning("%s was removed while this run went on", path)
    except (OSError, OutputDirectoryError) as error:
        log.warning("cannot remove %s, remove it by hand: %s", path, error)


def _text(path: Path) -> str:
    end = time.monotonic() + _BEING_WRITTEN_S
    while True:
        try:
            text = path.read_text(encoding="utf-8", errors="replace")
        except FileNotFoundError:
            raise
        except OSError as error:
            raise OutputDirectoryError(f"cannot read the lock {path}: {error.strerror or error}") from error
        if _holder(text) is not None or time.monotonic() > end:
            return text
        time.sleep(0.05)


def _holder(text: str) -> Holder | None:
    try:
        return Holder.model_validate_json(text)
    except ValidationError:
        return None


def _held(path: Path, holder: Holder | None, here: Holder) -> str:
    remove = f"remove {shlex.quote(str(path))} and start again"
    if holder is None:
        return f"{path.parent} has a lock that does not say whose it is; if no run is going on there, {remove}"
    life = life_of(holder, here)
    match life:
        case Life.HERE:
            advice = "wait for it, or use another directory"
        case Life.ALIVE:
            advice = f"wait for it, stop it (kill {holder.pid}), or use another directory (-o)"
        case Life.UNKNOWN | Life.GONE:
            look = shlex.join(["ssh", holder.host, "ps", "-fp", str(holder.pid)])
            advice = f"if that run is no longer there (see with: {look}), {remove}"
        case _:
            assert_never(life)
    return f"{path.parent} is in use by another run ({life.value}): {holder}; {advice}"
