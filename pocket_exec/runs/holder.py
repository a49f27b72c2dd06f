"""Who holds a lock: a process, as seen from this one."""

from __future__ import annotations

import getpass
import os
import secrets
import shlex
import socket
import sys
from datetime import UTC, datetime
from enum import Enum
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

from pocket_exec.runs.masking import masked_command


class Holder(BaseModel):
    """The process that holds a lock, as its lock file says."""

    model_config = ConfigDict(frozen=True)

    host: str
    pid: int = Field(gt=0)
    user: str
    started: str
    """When the run began, UTC."""
    command: str
    process_start: str
    """When the process began, in the kernel's clock ticks since boot; empty where that is not known (macOS)."""
    boot_id: str
    """Names one boot of one kernel; empty where that is not known."""
    pid_namespace: str
    """In which the pid counts: a container may have its own."""
    token: str
    """Drawn for this lock: two locks of one process differ."""

    def __str__(self) -> str:
        return f"process {self.pid} of {self.user} on {self.host}, started {self.started}: {self.command}"


class Life(Enum):
    """What is known about a lock's holder."""

    HERE = "this very process"
    ALIVE = "on this host"
    GONE = "ended without removing its lock"
    UNKNOWN = "cannot be seen from here"


def user_name() -> str:
    """Return the user's name, or the number where that has none, as in many containers."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return str(os.getuid())


def this_process(command: str | None = None) -> Holder:
    """Return what a lock of this process says; ``command`` defaults to its command line, without secrets."""
    return Holder(
        host=socket.gethostname(),
        pid=os.getpid(),
        user=user_name(),
        started=datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S UTC"),
        command=command if command is not None else shlex.join(masked_command(sys.argv)),
        process_start=_process(os.getpid())[1],
        boot_id=_read("/proc/sys/kernel/random/boot_id"),
        pid_namespace=_link("/proc/self/ns/pid"),
        token=secrets.token_hex(8),
    )


def life_of(holder: Holder, here: Holder) -> Life:
    """Return whether ``holder`` still runs, as far as process ``here`` can know."""
    same_kernel = holder.boot_id == here.boot_id and (holder.boot_id != "" or holder.host == here.host)
    if same_kernel and holder.pid_namespace == here.pid_namespace:
        if (holder.pid, holder.process_start) == (here.pid, here.process_start):
            return Life.HERE
        return Life.ALIVE if _runs(holder) else Life.GONE
    rebooted = holder.host == here.host and not same_kernel and "" not in (holder.boot_id, here.boot_id)
    # Every laptop and container may be called localhost; in a container the name says nothing about the kernel below.
    if rebooted and not here.host.startswith("localhost") and holder.pid_namespace == here.pid_namespace:
        return Life.GONE
    return Life.UNKNOWN


def _runs(holder: Holder) -> bool:
    try:
        os.kill(holder.pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        pass  # somebody else's: it is there
    state, start = _process(holder.pid)
    if state in ("Z", "X"):
        return False
    return start == "" or holder.process_start in ("", start)


def _process(pid: int) -> tuple[str, str]:
    """Return state and start of a process; empty where /proc does not show it. Fields 3 and 22 of proc_pid_stat(5)."""
    # The program's name, in parentheses, may hold spaces and parentheses itself.
    fields = _read(f"/proc/{pid}/stat").rpartition(")")[2].split()
    return (fields[0], fields[19]) if len(fields) > 19 else ("", "")


def _read(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""


def _link(path: str) -> str:
    try:
        return str(Path(path).readlink())
    except OSError:
        return ""
