"""NanoEvents from a kept file and form: what coffea's from_root makes, without reading the layout anew."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from coffea.nanoevents import NanoEventsFactory
from coffea.nanoevents.mapping import TrivialUprootOpener
from coffea.nanoevents.util import tuple_to_key

from pocket_exec.engine.reading.files import KeptFile
from pocket_exec.engine.reading.mapping import RunMapping
from pocket_exec.engine.reading.runs import Wanted


def nanoevents(
    schema: Any, form: Mapping[str, Any], file: KeptFile, wanted: Wanted, *, access_log: list[Any], buffer_cache: Any
) -> Any:
    """Return the events of a chunk.

    ``schema`` has the form for awkward, ``form`` is the same as the dict that coffea shows to its users.
    """
    tree = file.tree
    place = (str(tree.file.uuid), tree.object_path)
    mapping = RunMapping(
        TrivialUprootOpener({place[0]: tree.file.file_path}),
        wanted,
        file.runs,
        cache={},
        access_log=access_log,
        file_handle=file.directory,
        use_ak_forth=True,
        virtual=True,
        buffer_cache=buffer_cache,
    )
    mapping.preload_column_source(*place, tree)
    key = tuple_to_key((*place, f"{wanted.start}-{wanted.stop}"))
    events = NanoEventsFactory(schema, mapping, key, mode="virtual").events()
    events.attrs["@form"] = form
    return events


def alike(ours: Any, coffeas: Any) -> bool:
    """Whether events that are made here look like those that coffea made of the same entries."""
    return (
        type(ours) is type(coffeas)
        and set(ours.attrs) == set(coffeas.attrs)
        and ours.layout.form.is_equal_to(coffeas.layout.form, all_parameters=False, form_key=False)
        and dict(ours.metadata) == dict(coffeas.metadata)
    )
