"""Runs the steps of a build: all output into one log, and a failure that names the step."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.farm_build.layout import FarmFailedError

# Not chroot: Apptainer wants its root to be a mount.
_IN_TREE = """
cd "$1"; shift
mount --bind . "$PWD"
cd "$PWD"
mount -t proc proc proc
mount --rbind /dev dev
pivot_root . .
umount -l .
cd /
exec "$@"
"""

_MISSING = re.compile(
    r"(?:Unable to locate package|Couldn't find these debs:|Package(?= \S+ has no installation candidate))"
    r"\s*'?([^\s']+)"
)


@dataclass
class Steps:
    """The log of a build, and the seconds that its steps took."""

    log: Path
    took: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Say what is being done, and note how long it took."""
        print(f"farm: {name}", file=sys.stderr, flush=True)
        with self.log.open("a") as log:
            log.write(f"== {name}\n")
        began = time.monotonic()
        yield
        self.took[name] = time.monotonic() - began

    def run(
        self,
        args: Sequence[str | Path],
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        shown: str | None = None,
    ) -> None:
        """Run a command of the machine; raise ``FarmFailedError`` when it fails, which names it as ``shown``."""
        words = [f"{word}" for word in args]
        shown = shown or " ".join(words)
        with self.log.open("a") as log:
            log.write(f"+ {shown}\n")
            log.flush()
            begins = log.tell()
            done = subprocess.run(
                words,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**os.environ, "LC_ALL": "C.UTF-8", **(env or {})},
                cwd=cwd,
                check=False,
            )
        if done.returncode:
            with self.log.open() as log:
                log.seek(begins)
                raise FarmFailedError(self._failure(shown, done.returncode, log.read()))

    def chroot(self, tree: Path, args: Sequence[str], env: Mapping[str, str] | None = None) -> None:
        """Run a command of the tree as root in it; its mounts vanish with it."""
        inside = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/root", "LC_ALL": "C.UTF-8", **(env or {})}
        inside["DEBIAN_FRONTEND"] = "noninteractive"
        words = ["env", "--ignore-environment", *(f"{name}={value}" for name, value in inside.items()), *args]
        unshare = ["unshare", "--mount", "--propagation", "private", "sh", "-euc", _IN_TREE, "sh"]
        self.run([*unshare, tree, *words], shown=" ".join(args))

    def _failure(self, shown: str, status: int, output: str) -> str:
        vanished = _MISSING.findall(output)
        tail = "\n".join(f"  {line}" for line in output.strip().splitlines()[-6:])
        if vanished:
            said = f"the archive has no package {', '.join(dict.fromkeys(vanished))} (any more)"
            advice = (
                "packages leave Debian sid for days while others are renewed, so try again; if it has a new name, "
                "mend PACKAGES in tests/farm_build/tree.py"
            )
        else:
            said = f"`{shown}` ended with status {status}"
            advice = (
                "try `make farm` again; if the archive does not answer, name another Debian mirror in "
                "POCKET_EXEC_FARM_MIRROR, or look at the proxies in the machine's apt configuration"
            )
        return f"{said}:\n{tail}\nThe whole log: {self.log}\nWhat to try: {advice}"
