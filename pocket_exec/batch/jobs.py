"""The jobs of one run: submitted and cancelled in groups, and known to the guardian before anyone else."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import replace

from pocket_exec.batch.calls import called
from pocket_exec.batch.group import Batcher
from pocket_exec.batch.guardian import Guardian
from pocket_exec.batch.jobs_file import JobsFile
from pocket_exec.batch.system import BatchSystem, Submission, SubmitError
from pocket_exec.command import CommandMissingError
from pocket_exec.errors import FarmError, OptionsError, PocketExecError

log = logging.getLogger(__name__)

CANCEL_BY_TAG_S = 20.0
LATE_S = 120.0
"""How long after a submission whose answer was lost its jobs may still come: a busy controller takes it late."""


class Jobs:
    """What is in the queue for a run; lives on the cluster's event loop, and calls the batch system in threads.

    ``submitted`` gets ids by name, ``refused`` the names and the fault of a submission that failed, ``retire`` lets
    workers hand over what they hold before their jobs are cancelled.
    """

    def __init__(
        self,
        system: BatchSystem,
        guardian: Guardian,
        file: JobsFile,
        *,
        most_per_submission: int | None,
        submitted: Callable[[Mapping[str, str]], None],
        refused: Callable[[Sequence[str], PocketExecError], None],
        retire: Callable[[Sequence[str]], Awaitable[None]],
    ) -> None:
        self.system = system
        self.submission: Submission | None = None
        """What is submitted, without names; set before the first job is asked for."""
        self._guardian = guardian
        self._file = file
        self._submitted = submitted
        self._refused = refused
        self._retire = retire
        self._submissions = Batcher(self._submit, most_per_submission)
        self._cancellations = Batcher(self._cancel)
        self._books = threading.Lock()
        """Of what is in memory: the event loop takes it, so nothing that can stall is done under it."""
        self._writing = threading.Lock()
        """Of guardian and disk: who holds it writes what the books say by then, so that the last word is the newest."""
        self._ids: dict[str, str] = {}
        self._given_up: set[str] = set()
        self._finishing: dict[str, asyncio.Task[None]] = {}
        self._submitting = False
        self._unclear = False
        """A submission or a cancellation failed, so that there may be jobs of ours whose ids are not known."""
        self._answer_lost = -LATE_S
        """When the answer of a submission was lost last (``time.monotonic``)."""
        self._ending = False
        self._over = False

    def add(self, name: str) -> None:
        """Submit a job, together with the others that are asked for now."""
        self._submissions.put(name)

    def drop(self, name: str) -> None:
        """Cancel a job, together with the others that are dropped now; one that is being submitted, afterwards."""
        if not self._submissions.withdraw(name):
            self._given_up.add(name)
            if name in self._ids and name not in self._finishing:
                self._cancellations.put(name)

    def finish(self, names: Sequence[str]) -> asyncio.Task[None]:
        """Begin to bring home what jobs that have ended have left, and to take them off the books.

        Until that is done they are not cancelled: what they have left would go with them.
        """
        task = asyncio.create_task(self._finish(names))
        self._finishing.update(dict.fromkeys(names, task))
        return task

    async def _finish(self, names: Sequence[str]) -> None:
        with self._books:
            ids = {name: self._ids[name] for name in names if name in self._ids}
        try:
            await called(self.system.finish, list(ids.values()))
        except Exception as error:  # noqa: BLE001 - a batch system may be anybody's
            self._unclear = True
            log.debug("what %d jobs have left is not brought home: %s", len(ids), error)
        finally:
            for name in names:
                self._finishing.pop(name, None)
            self._given_up.difference_update(names)
        with self._books:
            for name in ids:
                self._ids.pop(name, None)

    async def last_output(self, names: Collection[str], timeout_s: float) -> None:
        """Bring home what the jobs of workers leave that have been told to end; a fault of that is none of the run."""
        with self._books:
            ids = [self._ids[name] for name in names if name in self._ids]
        try:
            await asyncio.wait_for(called(self.system.last_output, ids, timeout_s), 2 * timeout_s)
        except Exception as error:  # noqa: BLE001 - a batch system may be anybody's
            log.debug("what %d jobs have left is not brought home: %s", len(ids), error)

    async def check_guardian(self) -> None:
        """See to it that the guardian lives."""
        try:
            await called(self._guardian.check)
        except FarmError as error:
            log.warning("%s", error)

    async def end(self, timeout_s: float) -> bool:
        """Cancel everything, and return whether it is certain that nothing is left, and nothing comes later.

        If not, it stays with the guardian. A submission that is under way is waited for.
        """
        self._ending = True
        certain = await self._submissions.settled(timeout_s)
        await self._finished(timeout_s)
        for name in list(self._ids):
            if name not in self._given_up:
                self.drop(name)
        certain = await self._cancellations.settled(timeout_s) and certain
        submission = self.submission
        if submission is None:
            return True
        late = time.monotonic() < self._answer_lost + LATE_S
        if self._more_may_be_there or not certain:
            certain = await called(self._cancel_by_tag, submission.tag) and certain and not late
        self._over = True
        if certain:
            await called(self._close_books)
        else:
            # What is cancelled by now is not the guardian's any more.
            await called(self._write, submission.tag)
        return certain

    async def _finished(self, timeout_s: float) -> None:
        """Wait for what is brought home, and give up what takes too long."""
        if tasks := set(self._finishing.values()):
            _, left = await asyncio.wait(tasks, timeout=timeout_s)
            for task in left:
                task.cancel()
            await asyncio.gather(*left, return_exceptions=True)

    @property
    def _more_may_be_there(self) -> bool:
        """Whether there may be jobs whose ids are not known, by what the batch system remembers, too."""
        return self._unclear or self.system.unclear

    async def _submit(self, group: Sequence[str]) -> None:
        assert self.submission is not None
        # Dask asks in no order; ids and names side by side are easier to read.
        names = sorted(group, key=lambda name: (len(name), name))
        try:
            ids = await called(self._submit_now, replace(self.submission, names=tuple(names)))
        except PocketExecError as error:
            self._refused(names, error)
        except Exception as error:  # noqa: BLE001 - a batch system may be anybody's
            self._refused(names, FarmError(f"{self.system.name} cannot submit: {type(error).__name__}: {error}"))
        else:
            self._submitted(dict(zip(names, ids, strict=True)))
            for name in self._given_up.intersection(names):
                self._cancellations.put(name)

    def _submit_now(self, submission: Submission) -> tuple[str, ...]:
        """Let guardian and disk know of the run before its jobs are there, and of the jobs as soon as they are."""
        self._submitting = True
        self._write(submission.tag)
        try:
            ids = self._ids_of(submission)
            with self._books:
                self._ids.update(zip(submission.names, ids, strict=True))
        except (SubmitError, CommandMissingError, OptionsError):
            raise
        except Exception:
            # A command that hung may have submitted something; of the others it is promised that nothing is left.
            self._unclear, self._answer_lost = True, time.monotonic()
            raise
        finally:
            self._submitting = False
            self._write(submission.tag)
        return ids

    def _ids_of(self, submission: Submission) -> tuple[str, ...]:
        ids = self.system.submit(submission)
        if len(ids) != len(submission.names):
            self.system.cancel(ids)
            raise SubmitError(f"{self.system.name}: {len(submission.names)} jobs wanted, {len(ids)} submitted")
        if self._over:
            self.system.cancel(ids)
        return ids

    async def _cancel(self, names: Sequence[str]) -> None:
        if not self._ending:
            await self._retire(names)
        with self._books:
            ids = {name: self._ids[name] for name in names if name in self._ids}
        if not ids:
            return
        try:
            await called(self.system.cancel, list(ids.values()))
        except Exception as error:  # noqa: BLE001 - a batch system may be anybody's
            self._unclear = True
            log.warning("%d jobs could not be cancelled: %s", len(ids), error)
            return
        finally:
            self._given_up.difference_update(names)
        with self._books:
            for name in ids:
                self._ids.pop(name, None)
        if self.submission is not None and not self._ending:
            await called(self._write, self.submission.tag)

    def _cancel_by_tag(self, tag: str) -> bool:
        try:
            self.system.cancel_all(tag, CANCEL_BY_TAG_S)
        except Exception as error:  # noqa: BLE001 - a batch system may be anybody's
            log.warning("jobs that may be left could not be cancelled: %s", error)
            return False
        return True

    def _write(self, tag: str) -> None:
        with self._writing:
            with self._books:
                ids = dict(self._ids)
            by_tag = self.system.cancel_all_commands(tag)
            by_id = self.system.cancel_commands(list(ids.values())) if ids else []
            left = self.system.left_commands(tag)
            more_may_come = self._submitting or self._more_may_be_there
            # The ids are not all of it then.
            ways = [by_id, by_tag] if ids and not more_may_come else [by_tag]
            environment = self.system.environment
            self._guardian.protect(*ways, left=left, environment=environment, submitting=more_may_come)
            self._file.write(
                system=self.system.name, tag=tag, jobs=ids, commands=[*by_id, *by_tag], environment=environment
            )

    def _close_books(self) -> None:
        self._file.remove()
        self._guardian.protect()
