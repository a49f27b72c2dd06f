"""Which branches the chunks of a dataset touch, learned from the chunks that have run."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterable


class Learned:
    """The branches of each dataset; all threads of a worker learn together."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._touched: dict[str, Counter[str]] = {}
        self._chunks: Counter[str] = Counter()

    def record(self, dataset: str, branches: Iterable[str]) -> None:
        """Take note of the branches that one chunk has touched."""
        with self._lock:
            self._touched.setdefault(dataset, Counter()).update(set(branches))
            self._chunks[dataset] += 1

    def branches(self, dataset: str) -> tuple[str, ...]:
        """Return what at least half of the chunks have touched: the rest costs more to read than it saves."""
        with self._lock:
            chunks = self._chunks[dataset]
            return tuple(sorted(name for name, n in self._touched.get(dataset, {}).items() if 2 * n >= chunks))
