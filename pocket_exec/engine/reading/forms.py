"""Schema forms that are kept from chunk to chunk and shared by files of one layout; they are always complete."""

from __future__ import annotations

import threading
import weakref
from collections import OrderedDict
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass
from typing import Any

import awkward as ak
from coffea.nanoevents import NanoEventsFactory
from coffea.nanoevents.schemas import BaseSchema, EDM4HEPSchema

from pocket_exec.engine.reading.events import alike, nanoevents
from pocket_exec.engine.reading.files import KeptFile
from pocket_exec.engine.reading.runs import Wanted
from pocket_exec.engine.reading.watched import MISSING, WatchedMetadata

KEPT_FORMS = 16
"""A run has as many as it has layouts; the form of a NanoAOD file takes a few megabytes."""

_OF_THE_CHUNK = {"filename", "entrystart", "entrystop", "fileuuid"}


class Unshareable(Exception):
    """A schema's form cannot be kept for the next chunk; the message says why."""


class SchemaForChunk:
    """What NanoEventsFactory asks of a schema: the kept form with one chunk's metadata."""

    def __init__(self, form: ak.forms.Form, behavior: Callable[[], Mapping[Any, Any]]) -> None:
        self.form = form
        self.behavior = behavior


@dataclass(frozen=True)
class KeptForm:
    """What a schema made of a layout."""

    form: ak.forms.RecordForm
    plain: Mapping[str, Any]
    """The same as the dict that the schema gives."""
    schema: BaseSchema
    asked: Mapping[str, Any]
    """What the schema wanted to know of the metadata it was made with."""
    added: Mapping[str, Any]
    """What it wrote into them."""

    def fits(self, metadata: Mapping[str, Any]) -> bool:
        """Whether the schema would make the same form with these metadata."""
        return all(metadata.get(key, MISSING) == value for key, value in self.asked.items())

    def schema_for(self, metadata: Mapping[str, Any]) -> SchemaForChunk:
        """Return the schema with a chunk's metadata, and with what the schema adds to them."""
        parameters = {**self.form.parameters, "metadata": {**metadata, **self.added}}
        form = ak.forms.RecordForm(
            self.form.contents, self.form.fields, parameters=parameters, form_key=self.form.form_key
        )
        return SchemaForChunk(form, self.schema.behavior)

    def plain_for(self, metadata: Mapping[str, Any]) -> dict[str, Any]:
        """Return the form as the dict that a schema gives."""
        parameters = {**self.plain["parameters"], "metadata": {**metadata, **self.added}}
        return {**self.plain, "parameters": parameters}


class Forms:
    """The forms of one run; all threads of a worker share them."""

    def __init__(self, schema: Any, iteritems_options: Mapping[str, Any]) -> None:
        self._schema = schema
        self._iteritems_options = dict(iteritems_options)
        self._lock = threading.Lock()
        self._forms: OrderedDict[tuple[Hashable, int], KeptForm] = OrderedDict()

    def get(self, file: KeptFile, item: Any, metadata: dict[str, Any]) -> KeptForm:
        """Return the form for a file and metadata.

        Raises:
            Unshareable: it differs from chunk to chunk, or may.
        """
        layout = self._layout(file)
        with self._lock:
            for key, form in self._forms.items():
                if key[0] == layout and form.fits(metadata):
                    self._forms.move_to_end(key)
                    return form
            made = make_form(self._schema, self._iteritems_options, file, item, metadata)
            self._forms[layout, id(made)] = made
            while len(self._forms) > KEPT_FORMS:
                self._forms.popitem(last=False)
        return made

    def _layout(self, file: KeptFile) -> Hashable:
        # This one reads more of a file than its branches.
        return file.uuid if issubclass(self._schema, EDM4HEPSchema) else file.signature


def make_form(
    schema: Any, iteritems_options: Mapping[str, Any], file: KeptFile, item: Any, metadata: dict[str, Any]
) -> KeptForm:
    """Let coffea make the form of a file, and keep what the schema made.

    Raises:
        Unshareable: the schema looks at what differs from chunk to chunk, or is not as we know schemas.
    """
    watched = WatchedMetadata(metadata)
    made: list[BaseSchema] = []
    factory = NanoEventsFactory.from_root(
        file=file.directory,
        treepath=item.treename,
        schemaclass=_telling(schema, made),
        metadata=watched,
        entry_start=item.entrystart,
        entry_stop=item.entrystart,
        iteritems_options=dict(iteritems_options),
    )
    if len(made) != 1 or not isinstance(plain := made[0].form, dict):
        raise Unshareable("it does not make one form as a dict")
    if watched.all_seen or _OF_THE_CHUNK & set(watched.asked):
        raise Unshareable("it looks at the file's name or the chunk's entries")
    if plain.get("parameters", {}).get("metadata") is not watched:
        raise Unshareable("it puts metadata of its own in place of the chunk's")
    form = ak.forms.from_dict({**plain, "parameters": {**plain["parameters"], "metadata": {}}})
    if not isinstance(form, ak.forms.RecordForm):
        raise Unshareable("its form is not a record")
    kept = KeptForm(form, plain, made[0], dict(watched.asked), dict(watched.written))
    if schema not in _alike:
        _compare(kept, factory, file, Wanted(item.entrystart, item.entrystart, (), ()), metadata)
        _alike.add(schema)
    return kept


_alike: weakref.WeakSet[Any] = weakref.WeakSet()
"""Schemas whose events have been held against coffea's in this process."""


def _compare(
    kept: KeptForm, factory: NanoEventsFactory, file: KeptFile, nothing: Wanted, metadata: dict[str, Any]
) -> None:
    """Hold the events that are made here against those that coffea makes, both of no entries.

    Raises:
        Unshareable: they differ: this coffea is not the one we know.
    """
    schema, form = kept.schema_for(metadata), kept.plain_for(metadata)
    ours = nanoevents(schema, form, file, nothing, access_log=[], buffer_cache=None)
    if not alike(ours, factory.events()):
        raise Unshareable("coffea makes other events of it")


def _telling(schema: Any, made: list[BaseSchema]) -> Any:
    """Return what makes the schema and puts it into ``made``."""
    if issubclass(schema, EDM4HEPSchema):
        # coffea asks what class it is.
        def tell(self: Any, *arguments: Any, **keywords: Any) -> None:
            schema.__init__(self, *arguments, **keywords)
            made.append(self)

        return type(schema.__name__, (schema,), {"__init__": tell, "__module__": schema.__module__})

    def make(base_form: Any) -> Any:
        made.append(schema(base_form))
        return made[-1]

    return make
