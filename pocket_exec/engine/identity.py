"""The check on the worker that a chunk comes from the very file whose metadata say where the chunk ends."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


class OtherContent(OSError):
    """The file under this address is not the one whose metadata were read."""


class Checked:
    """A processor's function that looks at the events' file first: a copy with other content is never processed.

    Runner opens the file by its address alone. This module imports nothing of this project, so that it can travel by
    value to workers that do not have it.
    """

    def __init__(self, process: Callable[[Any], Any]) -> None:
        self.process = process

    def __getstate__(self) -> tuple[Any, str]:
        # A method is pickled with its code apart from its class: as code of no file, in which a debugger shows nothing.
        owner, name = getattr(self.process, "__self__", None), getattr(self.process, "__name__", "")
        return (owner, name) if getattr(owner, name, None) == self.process else (self.process, "")

    def __setstate__(self, state: tuple[Any, str]) -> None:
        owner, name = state
        self.process = getattr(owner, name) if name else owner

    def __call__(self, events: Any) -> Any:
        """Process ``events``.

        Raises:
            OtherContent: their file has another UUID than the WorkItem says.
        """
        check(events)
        return self.process(events)


def check(events: Any) -> None:
    """Compare the UUID of the open file with that of the WorkItem; a file that has none is taken as it is.

    Raises:
        OtherContent: they differ.
    """
    # What Runner has put there; a schema of the user's own need not have an attribute for it.
    metadata = events.layout.purelist_parameter("metadata") or {}
    expected, opened = metadata.get("fileuuid"), opened_uuid(events)
    if expected and opened and expected != opened:
        raise OtherContent(
            f"{metadata.get('filename')} is not the file whose metadata were read (UUID {opened}, not {expected}): "
            "it was replaced, or it is a copy with other content; the next run reads its metadata afresh"
        )


def is_other_content(error: BaseException) -> bool:
    """Whether ``error`` is OtherContent, also where the class has travelled by value."""
    return (type(error).__module__, type(error).__qualname__) == (OtherContent.__module__, OtherContent.__qualname__)


def opened_uuid(events: Any) -> str:
    """Return the UUID of the file that ``events`` are read from; empty where NanoEvents do not know it."""
    from coffea.nanoevents.util import key_to_tuple

    # Its first part is str(uproot's file.uuid) in NanoEventsFactory.from_root.
    key = getattr(events.attrs.get("@events_factory"), "_partition_key", None)
    return str(key_to_tuple(key)[0]) if isinstance(key, str) else ""
