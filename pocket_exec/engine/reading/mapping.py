"""Where the buffers of a chunk come from: the run of chunks that was read at once, else the branch itself."""

from __future__ import annotations

from typing import Any

import awkward as ak
from coffea.nanoevents.mapping import UprootSourceMapping

from pocket_exec.engine.reading.runs import Runs, Wanted


class RunMapping(UprootSourceMapping):  # type: ignore[misc]  # coffea is not typed
    """coffea's own mapping, with a store in front of the file."""

    def __init__(self, opener: Any, wanted: Wanted, runs: Runs, **arguments: Any) -> None:
        super().__init__(opener, wanted.start, wanted.stop, **arguments)
        self._wanted = wanted
        self._runs = runs
        self._names: dict[int, str] = {}

    def get_column_handle(self, columnsource: Any, name: str, allow_missing: bool) -> Any:
        """Return the branch of that path, and remember the path: nested branches share names."""
        handle = super().get_column_handle(columnsource, name, allow_missing)
        self._names[id(handle)] = name
        return handle

    def extract_column(
        self, columnhandle: Any, start: int, stop: int, allow_missing: bool, use_ak_forth: bool = True
    ) -> Any:
        """Return the branch's array of these entries."""
        if not allow_missing and (start, stop) == (self._wanted.start, self._wanted.stop):
            content = self._runs.column(self._names[id(columnhandle)], self._wanted)
            if content is not None:
                return ak.Array(content)
        return super().extract_column(columnhandle, start, stop, allow_missing, use_ak_forth=use_ak_forth)
