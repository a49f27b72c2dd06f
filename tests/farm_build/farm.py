"""The running farm: its places, its queues, and how a command is run in it as one of its ordinary users."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.farm_build.holder import USERS, Holding
from tests.farm_build.layout import HOLDER, READY, FarmFailedError, state

CVMFS = Path("/cvmfs/unpacked.cern.ch")


@dataclass(frozen=True)
class Farm:
    """A farm that runs: the process that holds it, and its places, whose paths are the same inside and outside."""

    pid: int
    holding: Holding
    user: str = "physicist"

    @property
    def shared(self) -> Path:
        """Seen by clients, by jobs and in their images; homes are in it."""
        return self.holding.shared

    @property
    def unshared(self) -> Path:
        """Seen by clients and by the schedd on their machine; not by jobs."""
        return self.holding.unshared

    @property
    def home(self) -> Path:
        """The user's home directory."""
        return self.shared / "home" / self.user

    @property
    def uid(self) -> int:
        """The user's number, which this machine need not know."""
        return USERS[self.user]

    @property
    def image(self) -> str:
        """The image that fits, as its path is inside."""
        return self.images["fits"]

    @property
    def images(self) -> dict[str, str]:
        """The image that fits, as ``fits``, and those that do not, named by what is wrong with them."""
        return {purpose: f"{CVMFS / name}" for purpose, name in self.holding.images.items()}

    @property
    def python(self) -> Path:
        """The client's Python: that of the virtual environment which started the farm."""
        return Path(self.holding.venv) / "bin" / "python"

    def environment(self, extra: Mapping[str, str] | None = None) -> dict[str, str]:
        """Return what a login of the user has, the client's virtual environment active."""
        paths = [f"{self.python.parent}", "/usr/local/bin", "/usr/bin", "/bin", "/usr/sbin", "/sbin"]
        environment = {
            "HOME": f"{self.home}",
            "USER": self.user,
            "LOGNAME": self.user,
            "SHELL": "/bin/bash",
            "LANG": "C.UTF-8",
            "PATH": os.pathsep.join(paths),
            "VIRTUAL_ENV": self.holding.venv,
            "XDG_RUNTIME_DIR": f"/run/user/{self.uid}",
        }
        kept = {
            name: os.environ[name] for name in ("POCKET_EXEC_TEST_SESSION", "COLUMNS", "TERM") if name in os.environ
        }
        return {**environment, **kept, **(extra or {})}

    def command(
        self, args: Sequence[str | Path], *, cwd: Path | None = None, hostname: str | None = None, root: bool = False
    ) -> list[str]:
        """Return the words that run ``args`` in the farm: each of them becomes the next by exec, the pid stays."""
        words = [shutil.which("nsenter") or "nsenter", f"--target={self.pid}", "--mount", "--net", "--uts", "--ipc"]
        if hostname:
            words += ["unshare", "--uts", "sh", "-c", 'hostname "$1" && shift && exec "$@"', "sh", hostname]
        if not root:
            words += ["setpriv", f"--reuid={self.uid}", f"--regid={self.uid}", "--init-groups", "--inh-caps=-all"]
        return [*words, "env", f"--chdir={cwd or self.home}", *(f"{word}" for word in args)]

    def popen(
        self,
        args: Sequence[str | Path],
        *,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        hostname: str | None = None,
        root: bool = False,
        **options: Any,
    ) -> subprocess.Popen[str]:
        """Start a command as the user, in the home directory; its pid is the command's own, to be signalled."""
        words = self.command(args, cwd=cwd, hostname=hostname, root=root)
        options.setdefault("text", True)
        options.setdefault("stdin", subprocess.DEVNULL)
        return subprocess.Popen(words, env=self.environment(env), **options)

    def run(
        self, args: Sequence[str | Path], *, timeout_s: float = 60, check: bool = True, **options: Any
    ) -> subprocess.CompletedProcess[str]:
        """Run a command to its end and return its status and output; a failure raises with its stderr."""
        options = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **options}
        with self.popen(args, **options) as process:
            try:
                out, err = process.communicate(timeout=timeout_s)
            except BaseException:
                process.kill()
                raise
        if check and process.returncode:
            raise FarmFailedError(f"{args[0]} ended with status {process.returncode}: {err or out}")
        return subprocess.CompletedProcess(list(args), process.returncode, out, err)

    def condor_jobs(self) -> list[str]:
        """Return the user's jobs in HTCondor's queue, of every state, spooled ones included."""
        return self.run(["condor_q", self.user, "-af:j", "JobStatus", "HoldReason"]).stdout.splitlines()

    def slurm_jobs(self) -> list[str]:
        """Return the user's jobs in Slurm's queue."""
        return self.run(["squeue", "-h", "-r", "-u", self.user, "-o", "%i %T %r"]).stdout.splitlines()

    def processes(self) -> list[int]:
        """Return the user's processes in this farm: jobs and clients."""
        network = os.stat(f"/proc/{self.pid}/ns/net").st_ino
        return [pid for pid in in_network(network) if _owner(pid) == self.uid]

    def clean(self) -> None:
        """Remove the user's jobs from both queues and end the user's processes."""
        self.run(["condor_rm", self.user], check=False)
        self.run(["condor_rm", "-forcex", self.user], check=False)
        self.run(["scancel", f"--user={self.user}"], check=False)
        for pid in self.processes():
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


def running() -> Farm | None:
    """Return this checkout's farm if it runs and is ready."""
    found = held()
    if found is None or not (state() / READY).exists():
        return None
    pid, said = found
    try:
        return Farm(pid, Holding(**said))
    except TypeError as error:
        raise FarmFailedError("the farm that runs was started by another version: `make farm-down` first") from error


def held() -> tuple[int, dict[str, Any]] | None:
    """Return the process that holds the farm, ready or not, and what it was told.

    Numbers of processes are used again: the process is looked at.
    """
    try:
        said = json.loads((state() / HOLDER).read_text())
        pid = int(said.pop("pid"))
        command = Path(f"/proc/{pid}/cmdline").read_text()
    except (OSError, ValueError, KeyError):
        return None
    return (pid, said) if "tests.farm_build.holder" in command and f"{state()}" in command else None


def in_network(network: int) -> Iterator[int]:
    """Yield the living processes of a network namespace."""
    for entry in Path("/proc").iterdir():
        with suppress(OSError):
            if entry.name.isdigit() and (entry / "ns/net").stat().st_ino == network:
                yield int(entry.name)


def _owner(pid: int) -> int | None:
    with suppress(OSError):
        return Path(f"/proc/{pid}").stat().st_uid
    return None
