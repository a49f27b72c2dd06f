"""Remembers how jobs ended, so that no history is read twice for one job, nor for ever for one that is not in it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from pocket_exec.batch.system import JobStatus

_MOST_LOOKS = 3


class Ends:
    """How jobs ended, by id."""

    def __init__(self) -> None:
        self.known: dict[str, JobStatus] = {}
        self._looks: dict[str, int] = {}

    def to_look_up(self, ids: Iterable[str]) -> list[str]:
        """Return those whose end is not known and that have not been looked up in vain too often; count this look."""
        wanted = [job for job in ids if job not in self.known and self._looks.get(job, 0) < _MOST_LOOKS]
        for job in wanted:
            self._looks[job] = self._looks.get(job, 0) + 1
        return wanted

    def learn(self, found: Mapping[str, JobStatus]) -> None:
        """Keep what was found of jobs that are over."""
        self.known.update({job: status for job, status in found.items() if status.state.over})

    def alive(self, ids: Iterable[str]) -> None:
        """Note that jobs are in the queue: when they have left it, they are looked up afresh."""
        for job in ids:
            self._looks.pop(job, None)
