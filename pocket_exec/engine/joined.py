"""Makes one answer of those of two neighbouring batches, on a worker: large results meet there, not at the client."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from pocket_exec.engine.batch import Batch, BatchDone, Sums
from pocket_exec.engine.chunk import Answer, unreadable
from pocket_exec.engine.remote import for_travel


@dataclass(frozen=True, slots=True)
class Join:
    """A function of two packed answers; the batches of the one come right before those of the other."""

    files: int
    """Files that the dataset has in all."""
    chunks: Mapping[int, int]
    """Chunks that each file of the batches has in all."""
    bytes_s: float = 0.0
    """As the batches have it."""

    @classmethod
    def of(cls, batches: Iterable[Batch]) -> Join:
        """Return what joins the answers of ``batches``, all of one dataset."""
        batches = list(batches)
        spans = [(batch.files, span) for batch in batches for span in batch.spans]
        return cls(spans[0][0], {span.file: span.chunks for _, span in spans}, batches[0].bytes_s)

    def __call__(self, left: Answer, right: Answer) -> Answer:
        """Return one answer; that of the two which has trouble, where one has. Neither is changed.

        Dask may run this a second time with the same answers, where a worker has died.
        """
        done: list[BatchDone] = []
        for answer in (left, right):
            if answer.trouble is not None:
                return answer
            try:
                done.append(answer.value.value())
            except Exception as error:  # noqa: BLE001 - unpickling imports the user's modules
                return unreadable(answer, error)
        return for_travel(
            Answer(
                self._done(*done),
                None,
                left.seconds + right.seconds,
                ", ".join(dict.fromkeys(f"{left.host}, {right.host}".split(", "))),
                warned=tuple(dict.fromkeys((*left.warned, *right.warned))),
                cpus={**left.cpus, **right.cpus},
            ),
            self.bytes_s,
        )

    def _done(self, left: BatchDone, right: BatchDone) -> BatchDone:
        sums, after = Sums(self.files), left.chunks
        for part in (*left.parts, *right.parts):
            # What was unpacked still shares its arrays with the answer, whoever owned them before.
            others = replace(part, block=replace(part.block, own=False))
            sums.put(others, self.chunks[part.file] if part.file is not None else 0)
        return BatchDone(
            parts=list(sums.parts()),
            seconds={**left.seconds, **_shifted(right.seconds, after)},
            failed={**left.failed, **_shifted(right.failed, after)},
            differing=left.differing | right.differing,
            left=(*left.left, *(place + after for place in right.left)),
        )


def _shifted(by_place: Mapping[int, Any], after: int) -> dict[int, Any]:
    return {place + after: value for place, value in by_place.items()}
