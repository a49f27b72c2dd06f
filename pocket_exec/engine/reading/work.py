"""One chunk as coffea's Runner works on it, with what the worker keeps in place of what coffea makes anew."""

from __future__ import annotations

import logging
import threading
import time
import uuid
import warnings
from collections.abc import Callable
from typing import Any

from coffea.nanoevents.util import key_to_tuple
from coffea.processor import ProcessorABC
from coffea.processor.checkpointer import CheckpointerABC

from pocket_exec.engine.identity import check
from pocket_exec.engine.reading.call import RunnerCall
from pocket_exec.engine.reading.events import nanoevents
from pocket_exec.engine.reading.files import KeptFile, KeptFiles
from pocket_exec.engine.reading.following import Following
from pocket_exec.engine.reading.forms import Forms, Unshareable
from pocket_exec.engine.reading.garbage import collect_if_grown, moderate_collection
from pocket_exec.engine.reading.learned import Learned
from pocket_exec.engine.reading.options import Reading
from pocket_exec.engine.reading.processors import Processors
from pocket_exec.engine.reading.runs import Wanted

log = logging.getLogger(__name__)

_ANOTHER_LIBRARY = (AttributeError, ImportError, NameError, TypeError)
"""What is raised where coffea, uproot or awkward are not as they were when this was written."""


class ReadChunk:
    """A function of a WorkItem that answers as ``plain``, Runner's own, does.

    It pickles as what it was made of; what it keeps stays in the process. ``close`` lets go of the calling thread's
    files, the end of a thread or of this object does the same.
    """

    def __init__(self, plain: Callable[[Any], Any], options: Reading) -> None:
        self._plain = plain
        self._options = options
        call = RunnerCall.of(plain)
        self._work = None if call is None else _Work(call, options)

    def __reduce__(self) -> Any:
        return ReadChunk, (self._plain, self._options)

    def __call__(self, item: Any) -> Any:
        """Process a chunk."""
        with moderate_collection():
            out = self._plain(item) if self._work is None else self._worked(self._work, item)
        collect_if_grown()
        return out

    def close(self) -> None:
        """Close the files that this thread has open."""
        if self._work is not None:
            self._work.close()

    def _worked(self, work: _Work, item: Any) -> Any:
        try:
            return work(item)
        except _NotThisWay as error:
            reason = str(error)
        out = self._plain(item)
        # Now it is known that it was not the file's fault.
        self._work = None
        work.close()
        _say(f"chunks are read as coffea reads them, which takes longer: {reason}")
        return out


class _NotThisWay(Exception):
    """A chunk cannot be read with what is kept; nothing of the user's code has run."""


class _Work:
    """``Runner._work_function`` of coffea 2026.9, for ROOT files."""

    def __init__(self, call: RunnerCall, options: Reading) -> None:
        self._call = call
        self._options = options
        self._forms = Forms(call.schema, call.iteritems_options)
        self._processors = Processors(call.processor_instance)
        self._learned = Learned()
        self._threads = threading.local()

    def __call__(self, item: Any) -> Any:
        checkpointer = self._call.checkpointer
        with self._processors.lent() as processor:
            metadata = metadata_of(item)
            if checkpointer is not None:
                if not isinstance(checkpointer, CheckpointerABC):
                    raise TypeError("Expected checkpointer to derive from CheckpointerABC")
                if (out := checkpointer.load(metadata, processor)) is not None:
                    return out
            try:
                out = self._processed(item, metadata, processor)
            except BaseException:
                # The file may be what is broken: the next attempt opens it anew.
                self._thread().files.drop(item)
                raise
            if checkpointer is not None:
                checkpointer.save(out, metadata, processor)
            return out

    def close(self) -> None:
        self._thread().files.close()

    def _processed(self, item: Any, metadata: dict[str, Any], processor: Any) -> dict[str, Any]:
        touched: list[Any] = []
        try:
            file = self._thread().files.get(item)
            events = self._events(file, item, metadata, touched)
        except Unshareable as reason:
            raise _NotThisWay(f"the form of {self._call.schema.__name__} cannot be kept, as {reason}") from reason
        except _ANOTHER_LIBRARY as error:
            raise _NotThisWay(f"{type(error).__name__}: {error}") from error
        begin = time.time()
        out = processor.process(events) if isinstance(processor, ProcessorABC) else processor(events)
        if out is None:
            raise ValueError(
                "Output of process() should not be None. Make sure your processor's process() function returns an "
                "accumulator."
            )
        seconds = time.time() - begin
        self._learned.record(item.dataset, (access.branch for access in touched))
        wrapped = {"out": out, "processed": {item}}
        if self._call.savemetrics:
            wrapped["metrics"] = {
                "bytesread": file.bytes_read(),
                "columns": {f"{access.branch}-{key_to_tuple(access.buffer_key)[3]}" for access in touched},
                "entries": len(events),
                "processtime": seconds,
            }
        return wrapped

    def _events(self, file: KeptFile, item: Any, metadata: dict[str, Any], touched: list[Any]) -> Any:
        entries = file.tree.num_entries
        thread = self._thread()
        thread.following.came(item, entries)
        # As coffea does with entries that a file does not have.
        start, stop = max(item.entrystart, 0), min(item.entrystop, entries)
        branches = self._learned.branches(item.dataset)
        if item.preload is not None:
            branches = tuple({*branches, *file.branches_named(item.preload)})
        wanted = Wanted(start, stop, branches, thread.following.stops(item, entries))
        form = self._forms.get(file, item, metadata)
        events = nanoevents(
            form.schema_for(metadata),
            form.plain_for(metadata),
            file,
            wanted,
            access_log=touched,
            buffer_cache=self._call.cache_function(),
        )
        check(events)
        return events

    def _thread(self) -> _Thread:
        if not hasattr(self._threads, "own"):
            options = dict(self._call.uproot_options)
            timeout_s = options.pop("timeout", self._call.xrootdtimeout)
            self._threads.own = _Thread(KeptFiles(self._options, timeout_s, options))
        own: _Thread = self._threads.own
        return own


class _Thread:
    """What one thread has for itself."""

    def __init__(self, files: KeptFiles) -> None:
        self.files = files
        self.following = Following()


def _say(text: str) -> None:
    try:
        warnings.warn(text, stacklevel=2)
    except Warning:
        # `python -W error`: the chunk is done, and no reason to lose it.
        log.warning("%s", text)


def metadata_of(item: Any) -> dict[str, Any]:
    """Return what ``events.metadata`` says of a chunk, before its schema adds to it."""
    metadata = {
        "dataset": item.dataset,
        "filename": item.filename,
        "treename": item.treename,
        "entrystart": item.entrystart,
        "entrystop": item.entrystop,
        "fileuuid": str(uuid.UUID(bytes=item.fileuuid)) if item.fileuuid else "",
    }
    if item.usermeta is not None:
        metadata.update(item.usermeta)
    return metadata
