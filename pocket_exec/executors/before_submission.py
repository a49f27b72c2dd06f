"""Looks at all that can be wrong before jobs are submitted, and tells it at once."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from pocket_exec.batch.find import batch_system
from pocket_exec.batch.system import BatchSystem
from pocket_exec.command import CommandError, CommandMissingError, run
from pocket_exec.errors import ExecutorError, FarmError, Fault, OptionsError, PocketExecError
from pocket_exec.executors.host import directory_fault, host_fault, own_names
from pocket_exec.executors.proxy import WorkerProxy, on_workers, worker_proxy
from pocket_exec.executors.run_places import RunPlaces
from pocket_exec.executors.worker_jobs import WorkerJobs, runs_for_s
from pocket_exec.options.batch import BatchOptions
from pocket_exec.worker.image import Image, resolve_image

log = logging.getLogger(__name__)

_KLIST_TIMEOUT_S = 10.0


@dataclass
class Findings:
    """What was found, good and bad."""

    system: BatchSystem | None = None
    image: Image | None = None
    proxy: WorkerProxy | None = None
    here: list[PocketExecError] = field(default_factory=list)
    """What is not on this machine as the run needs it."""
    everywhere: list[PocketExecError] = field(default_factory=list)
    """What is wrong on any machine."""

    def look_at(self, jobs: WorkerJobs) -> None:
        """Add what is wrong with the texts that would be submitted."""
        with _noted(self.everywhere):
            _ = jobs.listed
        with _noted(self.everywhere):
            _ = jobs.archive
            with _noted(self.everywhere):
                _ = jobs.script
            if self.system is not None:
                with _noted(self.everywhere):
                    submission = jobs.example(1)
                    if faults := [*self.system.cannot(submission)]:
                        raise OptionsError(faults)
                    self.system.describe(submission)

    def settle(self, executor: str, *, lenient: bool) -> None:
        """Raise what was found, all of it in one message; ``lenient`` warns of what another machine may have.

        Raises:
            OptionsError, ExecutorError: the user can mend something of it.
            FarmError: it is the farm's.
        """
        if lenient:
            for error in self.here:
                log.warning("%s", error)
        found = [*self.everywhere, *([] if lenient else self.here)]
        faults = [fault for error in found if isinstance(error, OptionsError) for fault in error.faults]
        if faults and all(isinstance(error, OptionsError) for error in found):
            raise OptionsError(list(dict.fromkeys(faults)))
        if len(found) == 1:
            raise found[0]
        if found:
            others = [error for error in found if not isinstance(error, OptionsError)]
            lines = dict.fromkeys(str(each).replace("\n", "\n  ") for each in [*faults, *others])
            text = "\n  ".join([f"{executor} cannot start:", *lines])
            mendable = any(error.status == ExecutorError.status for error in found)
            raise ExecutorError(text) if mendable else FarmError(text)


def look(options: BatchOptions, places: RunPlaces, tag: str, *, lenient: bool) -> Findings:
    """Look at batch system, machine, directories, commands, ticket, image and proxy; nothing is made."""
    found = Findings()
    try:
        found.system = batch_system(options)
    except PocketExecError as error:
        found.everywhere.append(error)
    found.here += [ExecutorError(str(fault)) for fault in _machine_faults(options, places)]
    if found.system is not None and (missing := found.system.missing_commands()):
        found.here.append(
            CommandMissingError(
                f"batch-system {found.system.name}: {', '.join(missing)} not found in PATH; "
                "start the run where jobs are submitted, or choose another executor (`pocket-exec sites`)"
            )
        )
    if options.kerberos_ticket:
        with _noted(found.here):
            _check_ticket()
    with _noted(found.here):
        found.image = resolve_image(options, lenient=lenient)
    with _noted(found.here):
        source = worker_proxy(options, runs_for_s(options))
        ships = found.system is not None and found.system.ships_proxy
        found.proxy = on_workers(options, source, places.private, tag, ships=ships)
    return found


@contextmanager
def _noted(errors: list[PocketExecError]) -> Iterator[None]:
    """Add the error that the block raises to ``errors``, and go on."""
    try:
        yield
    except PocketExecError as error:
        errors.append(error)


def _machine_faults(options: BatchOptions, places: RunPlaces) -> Sequence[Fault]:
    host = host_fault(options.submit_host, own_names())
    directories = (directory_fault("log-directory", place, options.no_submit_from) for place in places.directories)
    return [fault for fault in (host, next(filter(None, directories), None)) if fault is not None]


def _check_ticket() -> None:
    """Ask Kerberos for a valid ticket.

    Raises:
        ExecutorError: there is none.
    """
    try:
        valid = run(["klist", "-s"], timeout_s=_KLIST_TIMEOUT_S).returncode == 0
    except CommandError as error:
        raise ExecutorError(f"kerberos-ticket: {error}") from error
    if not valid:
        raise ExecutorError("kerberos-ticket: there is no valid ticket; get one with `kinit`")
