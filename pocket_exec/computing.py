"""Computes the chunks of a run with coffea's Runner, on this project's engine or on another executor."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from pocket_exec.analysis.cfg import Analysis
from pocket_exec.engine.executor import PocketExecutor, Report
from pocket_exec.engine.identity import Checked
from pocket_exec.engine.ledger import Ledger
from pocket_exec.engine.outcome import Listener
from pocket_exec.engine.policy import Policy
from pocket_exec.errors import PocketExecError
from pocket_exec.foreign import process_with
from pocket_exec.options.model import GeneralOptions

if TYPE_CHECKING:
    from coffea.processor import Runner
    from coffea.processor.executor import ExecutorBase


@dataclass(frozen=True)
class Computation:
    """What is to be computed, whatever computes it."""

    analysis: Analysis
    options: GeneralOptions
    items: Sequence[Any]
    """coffea's WorkItems, in the order of the sum."""
    policy: Policy
    failed_before: int
    """Files that could not be opened: they count among the failures."""
    replicas: Mapping[str, Sequence[str]]
    """All addresses of a file, by its name in the fileset."""

    def run(self, executor: ExecutorBase, listener: Listener, ledger: Ledger | None) -> Report:
        """Compute all items on ``executor``, and report what came of them.

        Raises:
            PocketExecError, KeyboardInterrupt: before the first chunk; later it is in the report.
        """
        if not isinstance(executor, PocketExecutor):
            policy = replace(self.policy, failed_before=self.failed_before)
            return process_with(self._runner(executor), self.items, self._work(), self._arguments(), listener, policy)
        report = Report()
        ours = replace(
            executor,
            listener=listener,
            replicas=self.replicas,
            report=report,
            # A factory of the user's may have given its executor a policy of its own.
            policy=replace(executor.policy, failed_before=self.failed_before),
            ledger=ledger,
        )
        if self.items:
            try:
                self._runner(ours).run(self.items, self._work(), **self._arguments())
            except (PocketExecError, KeyboardInterrupt):
                # All of it is in the report; what is not is a fault that came before the first chunk.
                if not report.datasets:
                    raise
        return report

    def _work(self) -> Any:
        """Return the processor as Runner takes it.

        postprocess is ours to call, on copies: Runner would call it on the sum itself, and lose the sum if it raises.
        """
        from coffea.processor import ProcessorABC

        processor = self.analysis.processor
        work = processor.process if isinstance(processor, ProcessorABC) else processor
        return Checked(work) if self.options.format == "root" else work

    def _runner(self, executor: ExecutorBase) -> Runner:
        from coffea.processor import Runner

        return Runner(
            executor=executor,
            schema=self.analysis.schema,
            # A plain number: workers need not have the class of this project's that it is of.
            xrootdtimeout=int(self.options.xrootd_timeout),
            format=self.options.format,
            metadata_cache={},
        )

    def _arguments(self) -> dict[str, Any]:
        if self.options.format == "parquet":
            return {}
        return {"uproot_options": dict(self.options.uproot_options or {})}
