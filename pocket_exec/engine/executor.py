"""This project's coffea executor: any pool of workers, one order of the sum, faults told apart."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from functools import partial as partial_of
from typing import Any

from coffea.processor import Runner, accumulate
from coffea.processor.executor import ExecutorBase

from pocket_exec.engine import cpu
from pocket_exec.engine.addition import merge
from pocket_exec.engine.batch import Part, RunBatch
from pocket_exec.engine.dispatch import Dispatch, Done
from pocket_exec.engine.fold import Block, Fold
from pocket_exec.engine.ledger import Ledger, Wanted
from pocket_exec.engine.outcome import DatasetOutcome, Failure, FaultKind, Listener
from pocket_exec.engine.plan import Plan, events_in, plan
from pocket_exec.engine.policy import HOPELESS, Policy
from pocket_exec.engine.pool import Pool, SerialPool
from pocket_exec.engine.raised import again
from pocket_exec.engine.reading import Reading, cheaply
from pocket_exec.engine.replicas import Replicas, replicated
from pocket_exec.engine.shelf import Shelf
from pocket_exec.engine.sums import DatasetSum, datasets_apart, failure, failure_of
from pocket_exec.errors import FarmError, PartialResult, ProcessingError
from pocket_exec.interrupts import interrupts_held, raise_if_interrupted

log = logging.getLogger(__name__)


@dataclass
class Report:
    """What the last call came to; shared by the copies of an executor that coffea makes."""

    datasets: list[DatasetOutcome] = field(default_factory=list)
    total: Any = None
    """The sum, as coffea wraps it: ``out`` and ``processed``; None where nothing succeeded."""
    unsettled: dict[str, Any] = field(default_factory=dict)
    """The sums so far of the datasets that the run did not come to the end of, wrapped likewise."""
    stopped: str = ""
    """Why the run ended before its last chunk; empty where it did not."""
    apart: str = ""
    """Which datasets are not in ``total``, because they do not add to the others; empty where all are."""
    interrupt: KeyboardInterrupt | None = None
    farm: FarmError | None = None
    """The farm's own error, where it ended the run."""
    cpus: dict[str, str] = field(default_factory=dict)
    """What numpy uses of the CPU of each host, and its C library, as ``cpu.used`` tells it."""
    differing: set[tuple[str, str]] = field(default_factory=set)
    """Globals of the user's modules, by module and name, that some worker has another value of."""
    cause: BaseException | None = None
    """What the first chunk that failed had raised; Runner's ``skipbadfiles`` goes by its type."""

    def begin(self, datasets: list[DatasetOutcome]) -> None:
        """Forget the call before this one."""
        self.datasets, self.total, self.stopped, self.interrupt = datasets, None, "", None
        self.unsettled, self.cpus, self.differing, self.farm, self.cause, self.apart = {}, {}, set(), None, None, ""

    @property
    def failures(self) -> list[Failure]:
        """All chunks without a result, in the order of the fileset."""
        return [failure for dataset in self.datasets for failure in dataset.failures]

    @property
    def whole(self) -> bool:
        """Whether nothing is missing but what the user asked to leave out."""
        return not (self.stopped or self.apart or self.interrupt) and all(dataset.whole for dataset in self.datasets)


@dataclass
class PocketExecutor(ExecutorBase):  # type: ignore[misc]  # coffea is not typed
    """A coffea executor whose result does not depend on where and in which order the chunks ran.

    It serves any ``coffea.processor.Runner``. Chunks that fail are left out of the sum and listed in ``report``; the
    Runner then raises ``PartialResult`` with the sum as its ``partial_output``, or ``ProcessingError`` where nothing
    succeeded.

    There is no field ``retries``: coffea would retry every error on the worker at once, the user's own bugs among them.
    """

    pool: Pool = field(default_factory=SerialPool)
    policy: Policy = field(default_factory=Policy)
    listener: Listener | None = None
    replicas: Replicas = field(default_factory=dict)
    report: Report = field(default_factory=Report)
    ledger: Ledger | None = None
    reading: Reading = field(default_factory=Reading)

    def __call__(
        self, items: Sequence[Any] | set[Any], function: Callable[[Any], Any], accumulator: Any
    ) -> tuple[Any, BaseException | int]:
        """Run ``function`` over ``items`` and return the sum with the error, or 0."""
        ordered = sorted(items, key=str) if isinstance(items, (set, frozenset)) else list(items)
        if not ordered:
            return accumulator, 0
        if isinstance(items, (set, frozenset)):
            return self._metadata(ordered, function, accumulator), 0
        with cheaply(_without_retries(function), self.reading) as cheap:
            _Run(self, plan(ordered)).process(replicated(cheap, self.replicas))
        report = self.report
        if report.total is None:
            # Runner drops the error of a sum that is None.
            raise report.interrupt or nothing_succeeded(report)
        total = report.total if accumulator is None else accumulate([report.total], accumulator)
        if report.interrupt is not None:
            return total, report.interrupt
        return total, 0 if report.whole else partial(report)

    def _metadata(self, items: list[Any], function: Callable[[Any], Any], accumulator: Any) -> Any:
        """Answer coffea's own call for file metadata, which ignores an error that is returned: so raise it."""
        for done in Dispatch(self.pool, self.policy, plan(items), self.replicas).results(RunBatch(function, add=False)):
            for settled in done.settled:
                trouble = settled.answer.trouble
                if trouble is not None and not self.policy.skip_bad_files:
                    file = items[settled.task].filename
                    # As coffea's own executors let it through, for the type that the caller catches.
                    error = again(trouble.raised) or ProcessingError(f"{trouble.error}: {trouble.message}")
                    error.add_note(f"while reading the metadata of {file}")
                    raise error
            accumulator = accumulate([part.block.value for part in done.parts], accumulator)
        return accumulator


def _without_retries(function: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Take away Runner's own retries where they are none: they never come to the end of an error that causes itself."""
    if isinstance(function, partial_of) and function.func is Runner.automatic_retries:
        retries, skip_bad_files, inner = function.args[:3]
        if not retries and not skip_bad_files:
            return inner  # type: ignore[no-any-return]  # coffea is not typed
    return function


class _Run:
    """One call of the executor."""

    def __init__(self, executor: PocketExecutor, plan: Plan) -> None:
        self._plan = plan
        self._policy = executor.policy
        self._pool = executor.pool
        self._replicas = executor.replicas
        self._listener = executor.listener
        self._ledger = executor.ledger
        shelf = Shelf()
        self._sums = [
            DatasetSum(node, plan, DatasetOutcome(summary), shelf, kept=executor.ledger is not None)
            for node, summary in zip(plan.datasets, plan.summaries(), strict=True)
        ]
        self._tree = Fold(len(self._sums), merge, shelf=shelf)
        self._told: set[int] = set()
        self._unwritten: set[int] = set()
        """Datasets that have grown since the ledger had all of them."""
        self._successes = 0
        self._failed = executor.policy.failed_before
        self._users_files: set[str] = set()
        self._report = executor.report
        self._report.begin([s.outcome for s in self._sums])

    def process(self, function: Callable[[Any], Any]) -> None:
        """Run all chunks, or until something ends the run; whatever does, the sums so far are in the report."""
        if self._listener is not None:
            self._listener.planned([s.outcome.plan for s in self._sums])
        try:
            told = self._report.cpus, self._report.differing
            dispatch = Dispatch(self._pool, self._policy, self._plan, self._replicas, self._known(), *told)
            with closing(dispatch.results(RunBatch(function))) as results:
                for done in results:
                    with interrupts_held():
                        self._take(done)
                    raise_if_interrupted()
                    self._report.stopped = self._hopeless()
                    if self._report.stopped:
                        log.error("stopping: %s", self._report.stopped)
                        break
        except KeyboardInterrupt as interrupt:
            self._report.interrupt = interrupt
        except FarmError as error:
            self._report.stopped, self._report.farm = str(error), error
        if mix := cpu.mix(self._report.cpus):
            log.warning("%s", mix)
        with interrupts_held():
            if self._ledger is not None:
                self._ledger.flush(self)
            self._report.total = self._total()

    def _known(self) -> set[int]:
        """Put what the ledger has into the sums and return the chunks that are in it."""
        known: set[int] = set()
        for dataset, part in self._ledger.known(self._plan) if self._ledger is not None else ():
            sums = self._sums[dataset]
            tasks = sums.tasks(part)
            known.update(tasks)
            events = sum(events_in(self._plan.items[task]) for task in tasks)
            sums.outcome.resumed += len(tasks)
            sums.outcome.events_resumed += events
            for failed in sums.add(part, {}):
                self._fail(sums, failed)
            if self._listener is not None:
                self._listener.resumed(sums.outcome.plan.dataset, len(tasks), events)
            if sums.settled:
                self._tell(dataset)
        self._successes = len(known)
        return known

    def finished_files(self, dataset: int, wanted: Wanted) -> Iterator[Part]:
        """Yield a dataset's, for the ledger."""
        return self._sums[dataset].finished_files(wanted)

    def open_blocks(self, dataset: int, wanted: Wanted) -> Iterator[Part]:
        """Yield a dataset's, for the ledger."""
        return self._sums[dataset].open_blocks(wanted)

    def merged(self, dataset: int, wanted: Wanted) -> Iterator[Part]:
        """Yield a dataset's, for the ledger."""
        return self._sums[dataset].merged(wanted)

    def written(self, dataset: int) -> None:
        """Let a dataset go that is done."""
        self._unwritten.discard(dataset)
        if dataset in self._told:
            self._sums[dataset].let_go()

    def _take(self, done: Done) -> None:
        sums = self._sums[done.dataset]
        failures: list[Failure] = []
        for task, seconds in done.seconds.items():
            self._successes += 1
            if self._listener is not None:
                item = self._plan.items[task]
                self._listener.chunk_done(getattr(item, "dataset", ""), events_in(item), seconds)
        parts = bool(done.parts)
        while done.parts:
            # One that has been added is let go: it may be large.
            failures += sums.add(done.parts.pop(0), done.seconds, done.host)
        for settled in done.settled:
            item = self._plan.items[settled.task]
            if settled.answer.trouble is not None:
                failures.append(failure_of(item, settled, self._policy))
                if self._report.cause is None and not failures[-1].skipped:
                    self._report.cause = again(settled.answer.trouble.raised)
            else:
                # Runner's own skipbadfiles answers None for a file that it left out.
                message = "left out by Runner's skipbadfiles"
                host = settled.answer.host
                failures.append(failure(item, FaultKind.BAD_FILE, "", message, host=host, skipped=True))
            failures += sums.give_up(settled.task)
        for failed in failures:
            self._fail(sums, failed)
        if self._ledger is not None and parts:
            self._unwritten.add(done.dataset)
            self._ledger.note(self, done.dataset)
        if sums.settled:
            self._tell(done.dataset)

    def _fail(self, sums: DatasetSum, failed: Failure) -> None:
        sums.outcome.failures.append(failed)
        self._failed += not failed.skipped
        if failed.kind in (FaultKind.USER, FaultKind.RESULT):
            self._users_files.add(failed.file)
        if self._listener is not None:
            self._listener.chunk_failed(failed)

    def _tell(self, dataset: int) -> None:
        sums = self._sums[dataset]
        if self._ledger is not None and sums.has_holes:
            self._ledger.flush(self)
        for failed in sums.close_holes():
            self._fail(sums, failed)
        total = sums.total()
        sums.outcome.settled = True
        self._tree.put_block(Block(0, dataset, total, 1, size=sums.size))
        self._told.add(dataset)
        if self._listener is not None:
            self._listener.dataset_done(sums.outcome, total)
        del total
        if dataset in self._unwritten:
            sums.put_aside()
        else:
            sums.let_go()

    def _hopeless(self) -> str:
        failed = self._failed
        allowed = self._policy.allowed_failures(len(self._plan.items))
        if not self._successes and len(self._users_files) >= HOPELESS:
            return f"chunks of {len(self._users_files)} files failed by an error in the processor, and none succeeded"
        if failed > allowed:
            return f"{failed} chunks failed, more than max-failures ({allowed})"
        return ""

    def _total(self) -> Any:
        for index, sums in enumerate(self._sums):
            if index not in self._told:
                total = self._report.unsettled[sums.outcome.plan.dataset] = sums.total()
                self._tree.put_block(Block(0, index, total, 1, size=sums.size))
        total = self._tree.total()
        self._report.apart = datasets_apart(self._tree.dropped, [s.outcome.plan.dataset for s in self._sums])
        return total


def partial(report: Report) -> PartialResult:
    """Return the error that says what is missing."""
    failed = [f for f in report.failures if not f.skipped]
    missing = sum(d.plan.events - d.events for d in report.datasets)
    message = f"{len(failed)} chunks failed; {missing} events are not in the result"
    if report.stopped or report.apart:
        message = f"{report.stopped or report.apart}; {missing} events are not in the result"
    if failed:
        message += f". First: {told(failed[0])}"
    error = PartialResult(message, failures=failed)
    error.__cause__ = report.cause
    return error


def nothing_succeeded(report: Report) -> Exception:
    """Return the error of a run without any result."""
    if report.farm is not None:
        return report.farm
    first = report.failures[0]
    message = f"no chunk succeeded ({len(report.failures)} failed). First: {told(first)}"
    error = ProcessingError(message)
    if first.traceback:
        # Python shows it below the error; on the command line the log has told it.
        error.add_note(first.traceback)
    error.__cause__ = report.cause
    return error


def told(failed: Failure) -> str:
    """Return one failure as one sentence."""
    return f"{failed.dataset}, {failed.file}, entries {failed.entries}: {failed.error}: {failed.message}"
