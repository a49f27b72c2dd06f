"""The processor for each chunk as coffea gives it, unpickled afresh, without paying for that where it is dear."""

from __future__ import annotations

import io
import logging
import marshal
import pickle
import threading
import time
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import cloudpickle
import lz4.frame

from pocket_exec.engine.identity import Checked
from pocket_exec.engine.unpickling import loads

log = logging.getLogger(__name__)

LOOKED_AT = 10**7
"""Bytes of a pickled processor; in a larger one it is not looked which attributes a chunk changes."""
DEAR_S = 0.001
"""Unpickling takes longer than this: the processor is then kept, if looking whether it has changed takes less."""
LESS = 0.8

_CONTAINERS = (dict, list, tuple, set, frozenset)


class Processors:
    """Lends a processor that no other chunk has changed."""

    def __init__(self, processor: Any) -> None:
        self._packed = lz4.frame.decompress(processor) if isinstance(processor, bytes) else None
        # Arrays of objects hold what others may change, and marshal would tell where it lies, not what it is.
        self._tables = self._packed is not None and b"O8" not in self._packed
        self._given = processor
        self._kept = threading.local()
        self._loads = 0
        self._keep = True
        self._looked = False

    @contextmanager
    def lent(self) -> Iterator[Any]:
        """Give the processor for one chunk; as coffea does, always the same one where Runner does not pack it."""
        if self._packed is None:
            yield self._given
            return
        kept = getattr(self._kept, "processor", None)
        if kept is None:
            kept = self._loaded(self._packed)
        processor, state = kept
        self._kept.processor = None
        before = self._attributes(processor)
        yield processor
        if before is not None:
            _tell_changed(before, self._checksums(processor))
        if state is not None and self._keep:
            if state == _checksum(processor, tables=self._tables):
                self._kept.processor = kept
            else:
                self._keep = False
                log.info("the processor changes its own state from chunk to chunk: each chunk gets a new one")

    def _attributes(self, processor: Any) -> dict[str, int | None] | None:
        """Return the state of each attribute, once; None later on, and of a large processor."""
        if self._looked or self._packed is None or len(self._packed) > LOOKED_AT:
            return None
        self._looked = True
        return self._checksums(processor)

    def _checksums(self, processor: Any) -> dict[str, int | None]:
        function = processor.process if isinstance(processor, Checked) else processor
        owner = getattr(function, "__self__", function)
        state = getattr(owner, "__dict__", {})
        return {name: _checksum(value, tables=self._tables) for name, value in state.items()}

    def _loaded(self, packed: bytes) -> tuple[Any, int | None]:
        begin = time.thread_time()
        processor = loads(packed)
        load_s = time.thread_time() - begin
        self._loads += 1
        # The first one imports the user's modules.
        if not self._keep or self._loads == 1 or load_s < DEAR_S:
            return processor, None
        begin = time.thread_time()
        state = _checksum(processor, tables=self._tables)
        if state is None or time.thread_time() - begin > LESS * load_s:
            self._keep = False
            return processor, None
        return processor, state


def _tell_changed(before: dict[str, int | None], after: dict[str, int | None]) -> None:
    changed = sorted(name for name in {*before, *after} if before.get(name, -1) != after.get(name, -1))
    if changed:
        text = f"process() changes the processor itself ({', '.join(changed)}); each chunk gets it as it was given, so "
        text += "that nothing is carried from one chunk to the next"
        try:
            warnings.warn(text, stacklevel=2)
        except Warning:
            # `python -W error`: the chunk is done, and no reason to lose it.
            log.warning("%s", text)


def _checksum(value: Any, *, tables: bool) -> int | None:
    """Return a checksum of everything that a value holds; None where that cannot be had.

    With ``tables`` large containers of plain values and arrays take a fraction of the time.
    """
    buffers: list[pickle.PickleBuffer] = []
    told = io.BytesIO()
    try:
        pickler = _Telling if tables else cloudpickle.Pickler
        pickler(told, protocol=5, buffer_callback=buffers.append).dump(value)
        checksum = zlib.crc32(told.getbuffer())
        for buffer in buffers:
            checksum = zlib.crc32(buffer.raw(), checksum)
    except Exception:  # noqa: BLE001 - each type refuses in its own way
        return None
    return checksum


class _Telling(cloudpickle.Pickler):  # type: ignore[misc]  # cloudpickle is not typed
    """Pickles a value for its checksum only, large tables of plain values and arrays in a fraction of the time."""

    def persistent_id(self, value: Any) -> int | None:
        """Return the checksum of a container that holds nothing else; None of another value, which is pickled."""
        if type(value) not in _CONTAINERS:
            return None
        try:
            # Arrays go in as bytes: of equal ones of another type nobody would know, but who makes them?
            # From the third version on, what somebody else holds as well is written in another way.
            return zlib.crc32(marshal.dumps(value, 2))
        except ValueError:
            return None
