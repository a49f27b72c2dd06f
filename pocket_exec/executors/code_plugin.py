"""Makes the user's modules, and this project, importable on Dask workers, and takes them away again."""

from __future__ import annotations

import hashlib
import importlib
import io
import shutil
import sys
import tempfile
import uuid
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import cloudpickle
from distributed.diagnostics.plugin import WorkerPlugin

from pocket_exec.errors import FarmError
from pocket_exec.worker.archive import code_archive


class CodePlugin(WorkerPlugin):
    """Puts directories, or an unpacked archive, at the head of a worker's import path.

    It uses nothing but the standard library: it runs on workers that have never heard of this project. Runs of the same
    code share it. Code of another run, of a client that was killed as a rule, is no longer imported once this is there.
    """

    def __init__(self, paths: Sequence[str], data: bytes, digest: str) -> None:
        self.name = f"pocket-exec-code-{digest[:12]}-{uuid.uuid4().hex[:8]}"
        self.paths = list(paths)
        self.data = data
        self.digest = digest

    def setup(self, worker: Any) -> None:
        """Add the paths, with the archive's own among them."""
        codes: dict[str, dict[str, Any]] = vars(worker).setdefault("pocket_exec_code", {})
        code = codes.get(self.digest)
        if code is None:
            for other in codes.values():
                _forget(other)
            code = codes[self.digest] = {"users": 0, "unpacked": "", "paths": []}
            paths = list(self.paths)
            if self.data:
                code["unpacked"] = tempfile.mkdtemp(prefix="pocket-exec-code-", dir=worker.local_directory)
                with zipfile.ZipFile(io.BytesIO(self.data)) as content:
                    content.extractall(code["unpacked"])
                paths.append(code["unpacked"])
            code["paths"] = [path for path in paths if path not in sys.path]
            sys.path[:0] = code["paths"]
        code["users"] += 1

    def teardown(self, worker: Any) -> None:
        """Take the paths, the archive and what was imported from them away, after the last run that uses them."""
        codes = vars(worker).setdefault("pocket_exec_code", {})
        code = codes.get(self.digest)
        if code is None:
            return
        code["users"] -= 1
        if code["users"] == 0:
            del codes[self.digest]
            _forget(code)
            if code["unpacked"]:
                shutil.rmtree(code["unpacked"], ignore_errors=True)


def _forget(code: Mapping[str, Any]) -> None:
    """Take the paths of ``code`` from the import path, and what was imported from its archive from the modules."""
    for path in code["paths"]:
        if path in sys.path:
            sys.path.remove(path)
    for name, module in list(sys.modules.items()):
        if code["unpacked"] and str(getattr(module, "__file__", None) or "").startswith(code["unpacked"]):
            del sys.modules[name]
    importlib.invalidate_caches()


def claim(client: str, digest: str, dask_scheduler: Any) -> list[str]:
    """Take the workers for the code of ``client``; runs on the scheduler, where one claim comes after another.

    Returns the clients whose runs have other code; where there are any, nothing is taken.
    """
    codes: dict[str, str] = vars(dask_scheduler).setdefault("pocket_exec_codes", {})
    for gone in [other for other in codes if other not in dask_scheduler.clients]:
        del codes[gone]
    others = sorted(other for other, code in codes.items() if code != digest and other != client)
    if not others:
        codes[client] = digest
    return others


def claimed(plugin: CodePlugin, client: Any) -> CodePlugin:
    """Return ``plugin``, for which the workers are taken until its client has gone.

    Raises:
        FarmError: another client's run has other code on the same workers. Modules have one name for a whole process:
            one of the two runs would compute with the other's.
    """
    plugin.name = f"pocket-exec-code-{plugin.digest[:12]}-{client.id}"
    others = client.run_on_scheduler(claim, client.id, plugin.digest)
    if others:
        raise FarmError(
            f"another run with other code is using these workers ({', '.join(others)}); "
            "wait until it has ended, or take a scheduler of your own"
        )
    return plugin


def shared(directories: Sequence[Path]) -> CodePlugin | None:
    """Return the plugin for workers that see the same files as the client."""
    if not directories:
        return None
    paths = [str(path) for path in directories]
    return CodePlugin(paths, b"", hashlib.sha256("\0".join(paths).encode()).hexdigest())


def archive(directories: Sequence[Path]) -> CodePlugin:
    """Return the plugin that carries this project and the modules in ``directories``.

    Raises:
        ExecutorError: the modules are too large to be code.
    """
    # The plugin's own class goes by value: the worker has no module to find it in yet.
    cloudpickle.register_pickle_by_value(sys.modules[__name__])
    return CodePlugin([], *code_archive(directories))
