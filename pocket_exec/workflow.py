"""One run, from the prepared request to the results in the output directory."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, NoReturn, Protocol

from pocket_exec.analysis.fileset import Fileset
from pocket_exec.computing import Computation
from pocket_exec.engine import cpu
from pocket_exec.engine.chunks import (
    Cut,
    Cuts,
    auto_cuts,
    far_below_a_basket,
    from_cache,
    in_each_dataset,
    needed,
    read_metadata,
    too_many,
    versions,
    work_items,
)
from pocket_exec.engine.executor import PocketExecutor, Report, nothing_succeeded, told
from pocket_exec.engine.identity import OtherContent
from pocket_exec.engine.metadata import FileInfo, ReadMetadata
from pocket_exec.engine.metadata_cache import Key, MetadataCache, default_path
from pocket_exec.engine.outcome import DatasetOutcome, DatasetPlan, Failure, Listener
from pocket_exec.engine.policy import Policy
from pocket_exec.engine.pool import Pool, SerialPool
from pocket_exec.engine.threads import ThreadPool, threads_for
from pocket_exec.errors import ProcessingError
from pocket_exec.executors.factory import policy as policy_of
from pocket_exec.executors.proxy import proxy_named
from pocket_exec.interrupts import interrupts_held
from pocket_exec.options.quantities import TimeOfDay
from pocket_exec.request import Prepared
from pocket_exec.runs.content import content_key, contexts
from pocket_exec.runs.course import Course, RunResult, begun
from pocket_exec.runs.decide import AlreadyDone, Decision, Refuse, decide, refusal, shortened
from pocket_exec.runs.differing import differing_globals
from pocket_exec.runs.directory import OutputDirectory
from pocket_exec.runs.failure_log import FailureLog
from pocket_exec.runs.key import ContentKey, differences
from pocket_exec.runs.ledger import FileLedger, kept_cuts
from pocket_exec.runs.outputs import Listeners, ResultWriter
from pocket_exec.runs.progress_log import ProgressLog
from pocket_exec.runs.record_file import read_record
from pocket_exec.runs.results import existing_results
from pocket_exec.runs.segment import LEDGER

if TYPE_CHECKING:
    from coffea.processor.executor import ExecutorBase

log = logging.getLogger(__name__)


class Viewer(Listener, Protocol):
    """A listener that is told, besides, what happens before the first chunk."""

    def stage(self, text: str, done: int | None = None, total: int | None = None) -> None:
        """Say what the run is busy with."""


def conduct(prepared: Prepared, out: OutputDirectory | None, viewer: Viewer | None, course: Course) -> RunResult:
    """Run ``prepared``, write its results into ``out`` and return them.

    Raises:
        OutputDirectoryError: the directory holds another result.
        FarmError, ExecutorError: the executor cannot be set up.
        ProcessingError: nothing succeeded.
    """
    if prepared.options.starting_time is not None:
        _wait_until(prepared.options.starting_time, viewer)
    try:
        with proxy_named(prepared.options, looked_at_later=prepared.submits_jobs):
            return _Run(prepared, out, viewer, course).conduct()
    finally:
        course.result.seconds = time.monotonic() - course.clock


class _Run:
    def __init__(self, prepared: Prepared, out: OutputDirectory | None, viewer: Viewer | None, course: Course) -> None:
        options = prepared.options
        self._prepared = prepared
        self._out = out
        self._viewer = viewer
        self._course = course
        self._policy: Policy = policy_of(options)
        kept = kept_cuts(out.path / LEDGER) if out is not None and not prepared.request.fresh else {}
        self._cut = Cut(options.chunksize, options.align_clusters, options.limit_chunks, kept)
        self._cuts: Cuts = {}
        self._versions: dict[Key, str] = {}
        self._cache = MetadataCache.load(default_path())
        self._fileset: Fileset = prepared.fileset
        self._units = list(prepared.units)
        self._stale: Sequence[str] = ()

    def conduct(self) -> RunResult:
        files = needed(self._fileset, self._cut)
        infos = from_cache(list(files), self._cache, self._cut)
        self._cache.save()
        missing = {key: file for key, file in files.items() if key not in infos}
        if not missing and self._prepared.engine_known and self._settled(infos):
            return self._course.result
        with self._executor() as executor:
            ours = isinstance(executor, PocketExecutor)
            if not ours:
                self._course.engine = type(executor).__name__
            unreadable: list[Failure] = []
            if missing:
                with _pool_for_metadata(executor, missing) as pool:
                    read, unreadable = self._metadata(missing, pool, len(files))
                infos.update(read)
            if (missing or not self._prepared.engine_known) and self._settled(infos):
                return self._course.result
            if note := far_below_a_basket(self._fileset, infos, self._cut):
                log.warning("%s", note)
            self._cuts = auto_cuts(self._fileset, infos, self._cut)
            self._versions = versions(infos)
            items = work_items(self._fileset, infos, self._cut)
            return self._process(executor, items, unreadable)

    @contextmanager
    def _executor(self) -> Iterator[ExecutorBase]:
        factory = self._prepared.make_factory(self._out.path if self._out else None)
        try:
            with factory as executor:
                yield executor
        finally:
            self._course.workers = factory.workers

    def _metadata(
        self, missing: Mapping[Key, Any], pool: Pool, files: int
    ) -> tuple[dict[Key, FileInfo], list[Failure]]:
        """Read the metadata of those of all ``files`` that are ``missing``.

        Raises:
            ProcessingError: more of them than ``max-failures`` cannot be read.
        """
        options = self._prepared.options
        read = ReadMetadata(options.format, options.xrootd_timeout, self._cut.by_clusters, options.uproot_options)
        # Those that are known already are files of this run, too.
        policy = replace(self._policy, max_failures=self._policy.allowed_failures(files))
        found: dict[Key, FileInfo] = {}

        def progress(done: int, total: int) -> None:
            if self._viewer is not None:
                self._viewer.stage("reading the metadata of files", done, total)

        progress(0, len(missing))
        try:
            read_now, failures = read_metadata(missing, read, pool, policy, progress, found)
        finally:
            self._cache.keep(found)
            self._cache.save()
        unreadable = in_each_dataset(failures, self._fileset, self._cut)
        if stopped := too_many(failures, policy, files):
            self._give_up(unreadable, stopped)
        return read_now, unreadable

    def _give_up(self, unreadable: Sequence[Failure], stopped: str) -> NoReturn:
        result = self._course.result
        result.datasets = _all_datasets(self._fileset, Report(), unreadable, settled=False)
        result.failures, result.stopped = unreadable, stopped
        failure_log = FailureLog()
        for failure in unreadable:
            failure_log.chunk_failed(failure)
        raise ProcessingError(f"{stopped}. First: {told(next(f for f in unreadable if not f.skipped))}")

    def _settled(self, infos: Mapping[Key, FileInfo]) -> bool:
        """Whether all results are there already; datasets whose results are, and are needed for no other, are left out.

        Raises:
            OutputDirectoryError: a result of other content would be overwritten.
        """
        if self._out is None:
            return False
        items = work_items(self._fileset, infos, self._cut)
        analysis, options = self._prepared.analysis, self._prepared.options
        key, caveat = content_key(analysis, self._fileset, items, versions(infos), options, self._course.engine)
        if caveat:
            log.warning("%s", caveat)
        self._course.key = key
        decision = self._decision(self._out, key)
        match decision:
            case AlreadyDone(files) if self._prepared.request.fresh:
                self._stale = files
                return False
            case AlreadyDone(files):
                self._course.result.already_done = files
                self._course.result.outputdir = self._out.path
                return True
            case Refuse():
                if not self._prepared.request.force:
                    raise refusal(self._out.path, decision)
                self._stale = decision.files
                for difference in shortened(decision.differences):
                    log.info("results are overwritten: %s", difference)
                return False
            case _:
                for reason in decision.reasons:
                    log.info("%s", reason)
                if not self._prepared.request.fresh:
                    self._leave_out(decision.done)
                return False

    def _decision(self, out: OutputDirectory, key: ContentKey) -> Decision:
        course = self._course
        previous = read_record(out.record_path)
        course.previous = previous.record
        if previous.record is None and out.record_path.exists():
            log.warning("%s", previous.reason)
        sizes = {row.file: row.bytes for row in course.previous.outputs} if course.previous else {}
        course.existing = existing_results(out.path, sizes)
        members = {unit.name: unit.datasets for unit in self._units}
        return decide(course.previous, course.existing, key, [unit.name for unit in self._units], members)

    def _leave_out(self, done: Sequence[str]) -> None:
        from pocket_exec.runs.names import result_name

        self._course.result.left_as_they_are = done
        left = [unit for unit in self._units if result_name(unit.name) not in done]
        used = {name for unit in left for name in unit.datasets}
        self._units = left
        self._fileset = tuple(dataset for dataset in self._fileset if dataset.name in used)

    def _process(self, executor: ExecutorBase, items: list[Any], unreadable: list[Failure]) -> RunResult:
        names = {dataset.name for dataset in self._fileset}
        unreadable = [failure for failure in unreadable if failure.dataset in names]
        if self._out is not None:
            begun(self._out, self._course)
        analysis, options = self._prepared.analysis, self._prepared.options
        writer = ResultWriter(self._out, self._units, analysis.processor, self._stale)
        computation = Computation(
            analysis=analysis,
            options=options,
            items=[item for item in items if item.dataset in names],
            policy=self._policy,
            failed_before=sum(1 for failure in unreadable if not failure.skipped),
            replicas={f.name: (f.name, *f.replicas) for d in self._fileset for f in d.files if f.replicas},
        )
        listener = _Seeded(Listeners(writer, FailureLog(), ProgressLog(), self._viewer), unreadable)
        report = computation.run(executor, listener, self._ledger(self._course.key))
        for sentence in differing_globals(analysis.processor, report.differing):
            log.warning("%s", sentence)
        self._course.cpus = self._cpus_of(report)
        if options.cpu_baseline is not None and (above := cpu.above(report.cpus, options.cpu_baseline)):
            log.warning("%s", above)
        return self._finished(report, writer, unreadable)

    def _finished(self, report: Report, writer: ResultWriter, unreadable: list[Failure]) -> RunResult:
        """Write what is not yet written, and say what came of it all.

        Raises:
            ProcessingError: nothing succeeded, or nothing could be written.
        """
        result = self._course.result
        result.datasets = _all_datasets(self._fileset, report, unreadable)
        result.failures = [failure for outcome in result.datasets for failure in outcome.failures]
        self._forget_replaced(result.failures)
        result.stopped, result.interrupt = report.stopped, report.interrupt
        sums = {name: wrapped["out"] for name, wrapped in report.unsettled.items() if wrapped is not None}
        total = report.total["out"] if report.total is not None else None
        if self._viewer is not None:
            self._viewer.stage("writing results")
        try:
            with interrupts_held():
                result.output = writer.finish(
                    result.datasets, sums, total, apart=report.apart, cut_short=bool(report.stopped)
                )
        except KeyboardInterrupt as interrupt:
            result.interrupt = interrupt
        result.saved, result.faults = writer.saved, writer.faults
        result.outputdir = self._out.path if self._out else None
        if total is None and result.interrupt is None:
            report.datasets = list(result.datasets)
            raise nothing_succeeded(report)
        if self._out is not None and result.faults and not (result.saved or writer.rescued):
            raise ProcessingError("\n".join(result.faults))
        return result

    def _cpus_of(self, report: Report) -> Mapping[str, str]:
        """Return what the hosts of this run have used, and those of the runs before whose blocks are in the sum."""
        before = self._course.previous.cpus if self._course.previous is not None else {}
        if not any(outcome.resumed for outcome in report.datasets):
            return report.cpus
        # A host may have another image by now.
        earlier = {
            host if report.cpus.get(host, what) == what else f"{host} before": what for host, what in before.items()
        }
        cpus = {**earlier, **report.cpus}
        if (mix := cpu.mix(cpus)) and not cpu.mix(report.cpus):
            log.warning("%s", mix)
        return cpus

    def _ledger(self, key: ContentKey | None) -> FileLedger | None:
        """Return the ledger of the output directory, emptied where everything is to be computed anew."""
        if self._out is None or key is None:
            return None
        # Written when the run began: one that was killed has left it, too.
        then = self._course.previous.key if self._course.previous is not None else None
        changes = shortened(differences(then, key)) if then is not None else ()
        shared = contexts(key, self._fileset)
        ledger = FileLedger(self._out.path / LEDGER, shared, changes, self._cuts, self._versions)
        if self._prepared.request.fresh:
            ledger.clear()
        return ledger

    def _forget_replaced(self, failures: Sequence[Failure]) -> None:
        """Let the next run read the metadata of files that are others than those known under the same stamp."""
        other = {(failure.file, failure.treename) for failure in failures if failure.error == OtherContent.__name__}
        self._cache.forget(other)
        self._cache.save()


def _pool_for_metadata(executor: ExecutorBase, files: Iterable[Key]) -> AbstractContextManager[Pool]:
    """Return the executor's own workers, or threads where it has none but this process, or does not tell."""
    pool = executor.pool if isinstance(executor, PocketExecutor) else None
    if pool is not None and not isinstance(pool, SerialPool):
        return nullcontext(pool)
    return ThreadPool(threads_for(name for name, _ in files))


class _Seeded(Listeners):
    """Adds the files that could not be opened to their datasets, before the datasets' chunks are counted."""

    def __init__(self, listener: Any, unreadable: Sequence[Failure]) -> None:
        super().__init__(listener)
        self._unreadable = unreadable

    def planned(self, plans: Sequence[DatasetPlan]) -> None:
        """Pass on, with the failures that are known already."""
        super().planned(plans)
        for failure in self._unreadable:
            self.chunk_failed(failure)

    def dataset_done(self, outcome: DatasetOutcome, total: Any) -> None:
        """Pass on, with the dataset's unreadable files among its failures."""
        outcome.failures += [f for f in self._unreadable if f.dataset == outcome.plan.dataset]
        super().dataset_done(outcome, total)


def _all_datasets(
    fileset: Fileset, report: Report, unreadable: Sequence[Failure], *, settled: bool = True
) -> list[DatasetOutcome]:
    """Return the outcomes in the order of the fileset, with those of which no file could be opened."""
    known = {outcome.plan.dataset: outcome for outcome in report.datasets}
    outcomes = []
    for dataset in fileset:
        failures = [failure for failure in unreadable if failure.dataset == dataset.name]
        outcome = known.get(dataset.name)
        if outcome is None:
            plan = DatasetPlan(dataset.name, len(dataset.files), 0, 0)
            outcome = DatasetOutcome(plan, failures=failures, settled=settled)
        elif not outcome.settled:
            outcome.failures += failures
        outcomes.append(outcome)
    return outcomes


def _wait_until(moment: TimeOfDay, viewer: Viewer | None) -> None:
    """Sleep until the next time that this machine's clock shows ``moment``."""
    now = datetime.now().astimezone()
    start = now.replace(hour=moment.hour, minute=moment.minute, second=moment.second, microsecond=0)
    if start <= now:
        start += timedelta(days=1)
    log.info("starting at %s (starting-time)", start.strftime("%Y-%m-%d %H:%M:%S"))
    if viewer is not None:
        viewer.stage(f"waiting until {start:%H:%M:%S}")
    time.sleep((start - now).total_seconds())
