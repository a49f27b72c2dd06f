"""Runs one Dask worker out of the code archive: preflight, Dask, and nothing left behind.

Until the preflight has passed it imports the standard library only.
"""

from __future__ import annotations

import os
import sys
import traceback
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import NoReturn

from pocket_exec.collector import collect_seldom
from pocket_exec.engine.transferred import JOB_DIRECTORY
from pocket_exec.worker import preflight
from pocket_exec.worker.endings import Endings
from pocket_exec.worker.preflight import WorkerFaultError
from pocket_exec.worker.settings import TLSFiles, WorkerSettings
from pocket_exec.worker.statuses import LOG_MARK, WorkerExit


def main(settings_file: str, name: str, archive: str) -> NoReturn:
    """Run the worker ``name`` to its end, and end this process with its status."""
    endings = Endings()
    endings.watch()
    collect_seldom()
    try:
        status = run_worker(Path(settings_file).absolute(), name, Path(archive).absolute(), endings)
    except SystemExit as end:
        status = int(end.code or 0)
    except BaseException as error:  # noqa: BLE001 - nothing above tells of it
        traceback.print_exc()
        say(name, f"could not be started: {type(error).__name__}: {error}")
        status = WorkerExit.NO_WORKER
    endings.end_now(status)


def run_worker(settings_file: Path, name: str, archive: Path, endings: Endings) -> int:
    """Run the worker to its end and return its exit status."""
    try:
        settings = read_settings(settings_file)
        prepare(settings, name, archive, endings)
        endings.worker_starts()
        from pocket_exec.worker.dask_worker import run, told_to_end

        endings.useless = told_to_end
        run(settings, name, str(endings.directory))
    except WorkerFaultError as fault:
        if endings.signalled is None:
            say(name, str(fault))
            return fault.status
    return 0 if endings.signalled is None else 128 + endings.signalled


def say(name: str, text: str) -> None:
    """Write a line for the user into the job's log."""
    sys.stderr.write(f"{LOG_MARK} {name}: {' '.join(text.split())}\n")


def read_settings(file: Path) -> WorkerSettings:
    """Read the settings; certificates that are named without a directory are beside them."""
    settings = WorkerSettings.from_json(file.read_text(encoding="utf-8"))
    if settings.tls is None:
        return settings
    ca, cert, key = (str(file.parent / name) for name in (settings.tls.ca, settings.tls.cert, settings.tls.key))
    return replace(settings, tls=TLSFiles(ca, cert, key))


def prepare(settings: WorkerSettings, name: str, archive: Path, endings: Endings) -> None:
    """Unpack the code and look at whether the worker can work; the rest of this process imports the unpacked code.

    Raises:
        WorkerFaultError: it cannot.
    """
    preflight.check_files(settings)
    endings.directory = preflight.private_directory(settings, name)
    code = Path(endings.directory) / "code"
    try:
        with zipfile.ZipFile(archive) as content:
            content.extractall(code)
    except OSError as error:
        raise WorkerFaultError(
            WorkerExit.DIRECTORY, f"the code cannot be unpacked in {endings.directory}: {error.strerror or error}"
        ) from error
    os.environ[JOB_DIRECTORY] = str(archive.parent)
    sys.path[:] = [str(code), *(path for path in sys.path if path != str(archive))]
    if not Path(os.environ.get("TMPDIR", "/")).is_dir():
        # HTCondor names a directory that its containers do not have.
        os.environ["TMPDIR"] = endings.directory
    # The nanny's child is a new Python.
    os.environ["PYTHONPATH"] = os.pathsep.join([str(code), *filter(None, [os.environ.get("PYTHONPATH")])])
    try:
        told = preflight.compare_versions(settings.versions)
        preflight.check_modules(settings.modules)
    except WorkerFaultError as fault:
        raise WorkerFaultError(fault.status, f"{fault}; {settings.fix}") from None
    if told:
        say(name, f"warning: {told}")
    preflight.check_interface(settings.interface)
    preflight.check_scheduler(settings.scheduler, settings.tls)
