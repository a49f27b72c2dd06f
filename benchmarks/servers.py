"""A real HTTP and a real XRootD server on this machine, far away: each request waits before it reaches them.

The programs are the machine's own where it has them, else the distribution's packages, unpacked beside the
measurements' files: nothing is installed.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from data import CACHE
from measure import NotHereError

PACKAGES = ("nginx-light", "xrootd-server", "xrootd-server-plugins")
DELAY_S = 0.02
READY_WITHIN_S = 30.0
NOBODY = 65534
PROXY = Path(__file__).absolute().parent / "scripts" / "far_away.py"

NGINX = """\
daemon off;
master_process off;
error_log stderr;
pid {own}/pid;
events {{}}
http {{
    access_log off;
    client_body_temp_path {own};
    proxy_temp_path {own};
    fastcgi_temp_path {own};
    uwsgi_temp_path {own};
    scgi_temp_path {own};
    keepalive_requests 1000000;
    server {{
        listen 127.0.0.1:{port};
        root {root};
    }}
}}
"""
XROOTD = """\
xrd.port {port}
xrd.network nodnr
all.adminpath {own}
all.pidpath {own}
oss.localroot {root}
all.export / r/o
"""


@contextmanager
def http(files: Sequence[Path]) -> Iterator[str]:
    """Serve ``files`` with nginx and give the address that stands before a file's name, at ``DELAY_S`` per request."""
    with _served("nginx", NGINX, files, ["-e", "stderr", "-c"]) as port:
        yield f"http://127.0.0.1:{port}/"


@contextmanager
def xrootd(files: Sequence[Path]) -> Iterator[str]:
    """Serve ``files`` with XRootD and give the address that stands before a file's name, at ``DELAY_S`` per request."""
    with _served("xrootd", XROOTD, files, ["-c"]) as port:
        yield f"root://127.0.0.1:{port}//"


@contextmanager
def _served(name: str, configuration: str, files: Sequence[Path], words: list[str]) -> Iterator[int]:
    program, environment = _program(name)
    with ExitStack() as stack:
        own = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-")))
        root, port, far = own / "files", _free_port(), _free_port()
        root.mkdir()
        for file in files:
            shutil.copy(file, root)
        (own / "configuration").write_text(configuration.format(own=own, root=root, port=port))
        log = stack.enter_context((own / "log").open("w+"))
        user: list[str] = []
        if os.geteuid() == 0:
            # XRootD does not run as root.
            user = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"]
            for path in (own, *own.rglob("*")):
                os.chown(path, NOBODY, NOBODY)
        environment = {"HOME": f"{own}", **environment}
        _started(stack, [*user, program, *words, own / "configuration"], port, environment, log)
        _started(stack, [sys.executable, PROXY, f"{far}", f"{port}", f"{DELAY_S}"], far, {}, log)
        yield far


def _started(stack: ExitStack, words: list[str | Path], port: int, env: Mapping[str, str], log: object) -> None:
    """Start a process and wait until it answers at ``port``."""
    process = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env={**os.environ, **env})  # type: ignore[call-overload]  # it is a file
    stack.callback(_ended, process)
    deadline = time.monotonic() + READY_WITHIN_S
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            if process.poll() is None and time.monotonic() < deadline:
                time.sleep(0.05)
                continue
            told = Path(log.name).read_text()[-2000:]  # type: ignore[attr-defined]
            raise RuntimeError(f"{words[0]} does not answer:\n{told}") from None
        return


def _ended(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(timeout=10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _program(name: str) -> tuple[Path, dict[str, str]]:
    """Return a program and the variables that it needs."""
    path = os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/sbin"])
    if own := shutil.which(name, path=path):
        return Path(own), {}
    tree = _unpacked()
    program = next(place / name for place in (tree / "usr/bin", tree / "usr/sbin") if (place / name).exists())
    libraries = sorted({f"{library.parent}" for library in (tree / "usr/lib").rglob("*.so*")})
    return program, {"LD_LIBRARY_PATH": os.pathsep.join(libraries)}


def _unpacked() -> Path:
    """Return a directory with the packages' files, and with those of packages that they need and the machine lacks."""
    tree = CACHE / "servers"
    if tree.exists():
        return tree
    if not shutil.which("apt-get") or os.geteuid():
        raise NotHereError("nginx and xrootd are not installed, and only root can ask apt for them")
    CACHE.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=CACHE) as made:
        archives, unfinished = Path(made) / "archives", Path(made) / "tree"
        (archives / "partial").mkdir(parents=True)
        unfinished.mkdir()
        options = ["--yes", "--download-only", "--no-install-recommends", "-o", f"Dir::Cache::archives={archives}"]
        options += ["-o", "APT::Sandbox::User=root"]
        try:
            subprocess.run(["apt-get", "install", *options, *PACKAGES], check=True, capture_output=True, text=True)
        except subprocess.CalledProcessError as error:
            raise NotHereError(f"apt has no {', '.join(PACKAGES)}: {error.stderr.strip()}") from error
        for package in archives.glob("*.deb"):
            subprocess.run(["dpkg-deb", "-x", package, unfinished], check=True)
        unfinished.rename(tree)
    return tree


def _free_port() -> int:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        return int(listening.getsockname()[1])
