"""The processor for each chunk as coffea gives it, unpickled afresh, without paying for that where it is dear."""

from __future__ import annotations

import logging
import pickle
import threading
import time
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import cloudpickle
import lz4.frame

log = logging.getLogger(__name__)

DEAR_S = 0.001
"""Unpickling takes longer than this: the processor is then kept, if looking whether it has changed takes half."""


class Processors:
    """Lends a processor that no other chunk has changed."""

    def __init__(self, processor: Any) -> None:
        self._packed = lz4.frame.decompress(processor) if isinstance(processor, bytes) else None
        self._given = processor
        self._kept = threading.local()
        self._loads = 0
        self._keep = True

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
        yield processor
        if state is not None and self._keep:
            if state == _state(processor):
                self._kept.processor = kept
            else:
                self._keep = False
                log.info("the processor changes its own state from chunk to chunk: each chunk gets a new one")

    def _loaded(self, packed: bytes) -> tuple[Any, int | None]:
        begin = time.thread_time()
        processor = cloudpickle.loads(packed)
        load_s = time.thread_time() - begin
        self._loads += 1
        # The first one imports the user's modules.
        if not self._keep or self._loads == 1 or load_s < DEAR_S:
            return processor, None
        begin = time.thread_time()
        state = _state(processor)
        if state is None or time.thread_time() - begin > load_s / 2:
            self._keep = False
            return processor, None
        return processor, state


def _state(processor: Any) -> int | None:
    """Return a checksum of everything that the processor holds; None where that cannot be had."""
    buffers: list[pickle.PickleBuffer] = []
    try:
        told = cloudpickle.dumps(processor, protocol=5, buffer_callback=buffers.append)
        checksum = zlib.crc32(told)
        for buffer in buffers:
            checksum = zlib.crc32(buffer.raw(), checksum)
    except Exception:  # noqa: BLE001 - each type refuses in its own way
        return None
    return checksum
