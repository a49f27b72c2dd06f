"""Which result files a run makes, and the writer that makes each as soon as its datasets are done."""

from __future__ import annotations

import copy
import logging
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from pocket_exec.analysis.fileset import Fileset
from pocket_exec.engine.addition import merge
from pocket_exec.engine.chunk import describe
from pocket_exec.engine.fold import Fold
from pocket_exec.engine.outcome import DatasetOutcome, DatasetPlan, Failure, Listener
from pocket_exec.engine.unpickling import copied
from pocket_exec.errors import OutputDirectoryError, PocketExecError
from pocket_exec.runs.directory import OutputDirectory
from pocket_exec.runs.names import ALL, check_names, result_name
from pocket_exec.runs.results import SavedResult, rescue_result, save_result

log = logging.getLogger(__name__)


class Wanted(StrEnum):
    """Which result files are made."""

    BOTH = "both"
    ALL = "all"
    """One for all datasets (``--full``)."""
    SEPARATE = "separate"
    """One for each dataset or group (``--process-separately``)."""


@dataclass(frozen=True)
class Unit:
    """One result file: its name and the datasets in it, in the order of the fileset."""

    name: str
    datasets: tuple[str, ...]


def units(fileset: Fileset, wanted: Wanted, groups: Mapping[str, Sequence[str]] | None) -> list[Unit]:
    """Return the result files of a run; ``groups`` are those of ``group-samples``: name to ``metadata.sample`` values.

    Raises:
        OutputDirectoryError: two names collide.
    """
    separate = [] if wanted is Wanted.ALL else list(_separate(fileset, groups or {}))
    check_names([unit.name for unit in separate])
    everything = Unit(ALL, tuple(dataset.name for dataset in fileset))
    return separate if wanted is Wanted.SEPARATE else [*separate, everything]


def _separate(fileset: Fileset, groups: Mapping[str, Sequence[str]]) -> Iterable[Unit]:
    group_of = {sample: group for group, members in groups.items() for sample in members}
    samples = {dataset.name: str(dataset.metadata.get("sample", "")) for dataset in fileset}
    datasets_of: dict[str, list[str]] = {}
    for name, sample in samples.items():
        datasets_of.setdefault(group_of.get(sample, name), []).append(name)
    return [Unit(name, tuple(datasets)) for name, datasets in datasets_of.items()]


class ResultWriter:
    """Listens to a run and writes each result once all its datasets are done; ``finish`` writes what is left."""

    def __init__(
        self, out: OutputDirectory | None, units: Sequence[Unit], processor: Any, stale: Sequence[str] = ()
    ) -> None:
        """Write into ``out``; a file of other content, named in ``stale``, goes when its successor is there."""
        self._out = out
        self._stale = frozenset(stale)
        self._units = list(units)
        self._processor = processor
        self._sums = {unit.name: Fold(len(unit.datasets), merge) for unit in units if unit.name != ALL}
        self._outcomes: dict[str, DatasetOutcome] = {}
        self._elsewhere: Path | None = None
        self.saved: list[SavedResult] = []
        self.rescued: list[Path] = []
        """Results in the temporary directory, for want of room in the output directory."""
        self.faults: list[str] = []
        """Why a result that has all its chunks is partial, or not saved, all the same."""

    def planned(self, plans: Sequence[DatasetPlan]) -> None:
        """Nothing to write yet."""

    def resumed(self, dataset: str, chunks: int, events: int) -> None:
        """Nothing to write yet."""

    def chunk_done(self, dataset: str, events: int, seconds: float) -> None:
        """Nothing to write yet."""

    def chunk_failed(self, failure: Failure) -> None:
        """Nothing to write yet."""

    def dataset_done(self, outcome: DatasetOutcome, total: Any) -> None:
        """Add the sum to the results that it is part of, and write those that it completes."""
        self._outcomes[outcome.plan.dataset] = outcome
        self._add(outcome.plan.dataset, total["out"] if total is not None else None)
        for unit in list(self._units):
            # 'all' is written last, from the sum that the caller gets too.
            if unit.name != ALL and all(name in self._outcomes for name in unit.datasets):
                self._write(unit)

    def finish(
        self,
        outcomes: Iterable[DatasetOutcome],
        sums: Mapping[str, Any],
        total: Any,
        *,
        apart: str = "",
        cut_short: bool = False,
    ) -> Any:
        """Write all results that are not written yet, partial where something is missing; return the output of all.

        Args:
            outcomes: of every dataset.
            sums: of the datasets that were not done, as far as they came.
            total: the sum of all, None where nothing succeeded.
            apart: which datasets are not in ``total``, and why.
            cut_short: whether something is missing from ``total`` that no outcome tells of.
        """
        for outcome in outcomes:
            self._outcomes.setdefault(outcome.plan.dataset, outcome)
        for name, part in sums.items():
            self._add(name, part)
        for unit in [unit for unit in self._units if unit.name != ALL]:
            self._write(unit)
        if apart and not self._units:
            # Nobody asks for a sum of all, which there is not.
            return None
        self.faults += [apart] if apart else []
        output, partial = (None, True) if total is None else self._postprocessed("all datasets", total)
        for unit in list(self._units):
            self._save(unit, output, partial or cut_short or bool(apart))
        return output

    def _add(self, dataset: str, part: Any) -> None:
        for unit in self._units:
            if unit.name in self._sums and dataset in unit.datasets:
                self._sums[unit.name].put(unit.datasets.index(dataset), part)

    def _write(self, unit: Unit) -> None:
        # Nothing else of a result stays once it is written: it may be large.
        tree = self._sums.pop(unit.name)
        total = tree.total()
        for block in tree.dropped:
            names = ", ".join(unit.datasets[block.start : block.stop])
            # Asking about a run imports this module, and must be answered without what reads events.
            from pocket_exec.engine.sums import not_addable

            self.faults.append(f"{unit.name}: {not_addable(block, names)}")
        if total is None:
            self._units.remove(unit)
            return
        output, partial = self._postprocessed(unit.name, total)
        self._save(unit, output, partial or bool(tree.dropped))

    def _save(self, unit: Unit, output: Any, partial: bool) -> None:
        self._units.remove(unit)
        if self._out is None or output is None:
            return
        whole = all(self._outcomes[name].whole for name in unit.datasets if name in self._outcomes)
        whole = whole and all(name in self._outcomes for name in unit.datasets)
        try:
            saved = save_result(self._out, unit.name, output, partial=partial or not whole, datasets=unit.datasets)
        except PocketExecError as error:
            # The other results are not lost with this one.
            fault = str(error)
            if isinstance(error, OutputDirectoryError):
                fault += self._rescued(unit, output, partial or not whole)
            self.faults.append(fault)
            log.error("%s", fault)  # noqa: TRY400 - the message says it all
            return
        if saved.partial and result_name(unit.name) in self._stale:
            (self._out.path / result_name(unit.name)).unlink(missing_ok=True)
        self.saved.append(saved)
        log.info("wrote %s", saved.path)

    def _rescued(self, unit: Unit, output: Any, partial: bool) -> str:
        """Save what has been computed where there may be room, and say where."""
        try:
            if self._elsewhere is None:
                self._elsewhere = Path(tempfile.mkdtemp(prefix="pocket-exec-rescued-"))
            path = rescue_result(self._elsewhere, unit.name, output, partial=partial)
        except (PocketExecError, OSError) as error:
            return f"; nor is there another place for it ({error})"
        self.rescued.append(path)
        return f"; until then it is kept as {path}"

    def _postprocessed(self, name: str, total: Any) -> tuple[Any, bool]:
        """Return the processor's postprocess of a copy of the sum; the sum itself, as partial, where it raises."""
        if not _has_postprocess(self._processor):
            return total, False
        try:
            output = copy.deepcopy(total)
            # As it travels to workers: some of what can be pickled cannot be copied.
            changed = copied(self._processor).postprocess(output)
        except Exception as error:  # noqa: BLE001 - the user's code may raise anything
            trouble = describe(error)
            self.faults.append(f"postprocess of {name} failed: {trouble.error}: {trouble.message}")
            text = "the sum of %s is saved as it was before postprocess, which failed:\n%s"
            log.error(text, name, trouble.traceback)  # noqa: TRY400 - the user's own traceback
            return total, True
        return (output if changed is None else changed), False


def _has_postprocess(processor: Any) -> bool:
    """Whether there is one to call; coffea's own does nothing."""
    from coffea.processor import ProcessorABC

    theirs = getattr(type(processor), "postprocess", None) or getattr(processor, "postprocess", None)
    return callable(theirs) and theirs is not ProcessorABC.postprocess


class Listeners:
    """Passes on to several listeners what one is told."""

    def __init__(self, *listeners: Listener | None) -> None:
        self._listeners = [listener for listener in listeners if listener is not None]

    def planned(self, plans: Sequence[DatasetPlan]) -> None:
        """Pass on."""
        for listener in self._listeners:
            listener.planned(plans)

    def resumed(self, dataset: str, chunks: int, events: int) -> None:
        """Pass on."""
        for listener in self._listeners:
            listener.resumed(dataset, chunks, events)

    def chunk_done(self, dataset: str, events: int, seconds: float) -> None:
        """Pass on."""
        for listener in self._listeners:
            listener.chunk_done(dataset, events, seconds)

    def chunk_failed(self, failure: Failure) -> None:
        """Pass on."""
        for listener in self._listeners:
            listener.chunk_failed(failure)

    def dataset_done(self, outcome: DatasetOutcome, total: Any) -> None:
        """Pass on."""
        for listener in self._listeners:
            listener.dataset_done(outcome, total)
