"""Calls the kernel for what the farm's own view of the machine takes: namespaces, mounts, a new root."""

from __future__ import annotations

import ctypes
import os
from pathlib import Path

NEW_MOUNTS = 0x00020000
NEW_HOSTNAME = 0x04000000
NEW_IPC = 0x08000000
NEW_PIDS = 0x20000000
NEW_NETWORK = 0x40000000

_READ_ONLY, _REMOUNT, _BIND, _RECURSIVE, _PRIVATE = 1, 32, 4096, 16384, 1 << 18
_DETACH = 2
_SIGNAL_AT_PARENTS_DEATH = 1

_libc = ctypes.CDLL(None, use_errno=True)


def _checked(result: int, what: str) -> None:
    if result:
        error = ctypes.get_errno()
        raise OSError(error, f"{what}: {os.strerror(error)}")


def _mount(source: str, target: Path, kind: str | None, flags: int, data: str | None = None) -> None:
    words = [word.encode() if word is not None else None for word in (source, f"{target}", kind)]
    _checked(_libc.mount(*words, ctypes.c_ulong(flags), data.encode() if data else None), f"mount {target}")


def unshare(flags: int) -> None:
    """Leave namespaces; mounts made from now on are seen nowhere else."""
    _checked(_libc.unshare(flags), "unshare")
    if flags & NEW_MOUNTS:
        _mount("none", Path("/"), None, _RECURSIVE | _PRIVATE)


def bind(source: Path, target: Path, *, read_only: bool = False, recursive: bool = False) -> None:
    """Show a file or a directory at another place, which is made if it is not there."""
    if source.is_dir():
        target.mkdir(parents=True, exist_ok=True)
    else:
        target.parent.mkdir(parents=True, exist_ok=True)
        if not target.exists():
            target.touch()
    _mount(f"{source}", target, None, _BIND | (_RECURSIVE if recursive else 0))
    if read_only:
        _mount("none", target, None, _BIND | _REMOUNT | _READ_ONLY)


def fresh(target: Path, kind: str = "tmpfs", options: str | None = None) -> None:
    """Mount an empty memory file system, or the kernel's own of that kind."""
    target.mkdir(parents=True, exist_ok=True)
    _mount(kind, target, kind, 0, options)


def enter_root(root: Path) -> None:
    """Make a mount point the root directory, and let go of the old one.

    After chroot the kernel would refuse a user namespace to an ordinary user, and with it Apptainer.
    """
    os.chdir(root)
    _checked(_libc.pivot_root(b".", b"."), "pivot_root")
    _checked(_libc.umount2(b".", _DETACH), "umount")
    os.chdir("/")


def set_hostname(name: str) -> None:
    """Set the host name of this UTS namespace."""
    _checked(_libc.sethostname(name.encode(), len(name.encode())), "sethostname")


def die_with_parent(signal: int) -> None:
    """Let the kernel send ``signal`` to this process when its parent has ended."""
    _checked(_libc.prctl(_SIGNAL_AT_PARENTS_DEATH, signal), "prctl")
