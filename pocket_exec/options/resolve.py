"""Resolves the options of a run: layers stacked, keys sorted, values checked, all faults told at once."""

from __future__ import annotations

import functools
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from pydantic import ValidationError

from pocket_exec.errors import Fault, OptionsError
from pocket_exec.options.base import Options
from pocket_exec.options.defaults import KINDS
from pocket_exec.options.faults import faults_of, origin_of
from pocket_exec.options.keys import GENERAL, KeySorter, SortedKeys
from pocket_exec.options.layers import Document, Layer, Stacked, stack
from pocket_exec.options.sections import flat_layers

O_co = TypeVar("O_co", bound=Options, covariant=True)
O = TypeVar("O", bound=Options)  # noqa: E741 - the letter of options, in the signature of one function


@dataclass(frozen=True)
class Resolved(Generic[O_co]):
    """The options of a run, and where each value comes from."""

    executor: str
    options: O_co
    origins: Mapping[str, str]
    """Origin by dotted key."""
    custom: Mapping[str, Any]
    """Keys of the user's own factory that its module declares no options for."""
    notes: tuple[str, ...]
    """What the user should know, in sentences, though it is no fault."""
    from_user: frozenset[str] = frozenset()
    """Keys that the user has set, in whatever way."""
    table_keys: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """For each table, the keys that any layer has."""

    def origin(self, key: str) -> str:
        """Return where an option comes from; a table's entries may come from several places."""
        entries = [origin for path, origin in self.origins.items() if path.startswith(f"{key}.")]
        return ", ".join(dict.fromkeys(entries)) or self.origins.get(key, "")


@dataclass(frozen=True)
class Choice(Generic[O_co]):
    """What a value that chooses a layer came to, such as ``batch-system: auto``."""

    values: Mapping[str, Any]
    """What stands instead: ``{"batch-system": "slurm"}``."""
    reason: str
    """How that was found, for the origin: ``auto: sbatch is here``."""
    model: type[O_co]
    """The model of what was chosen: the given one, or a subclass of it."""
    defaults: Sequence[Layer]


def resolve(
    executor: str,
    model: type[O],
    defaults: Sequence[Layer],
    user: Sequence[Layer],
    *,
    known_executors: Collection[str],
    custom_module: bool = False,
    lenient_flags: bool = False,
    choose: Callable[[Mapping[str, Any]], Choice[O] | None] | None = None,
) -> Resolved[O]:
    """Stack ``defaults`` and ``user``, later ones win, and check the result against ``model``.

    Args:
        executor: the executor string that runs.
        model: its options.
        defaults: layers of defaults, the weakest first.
        user: what the user said, the weakest first; a `Document` may hold sections.
        known_executors: all executor strings, for the names of sections.
        custom_module: the executor comes from the user's own module. If ``model`` is none of its own, the module may
            use a ``custom:`` table, and options that other executors have are handed to it beside that.
        lenient_flags: flags that only other executors have are set aside, as options in files are.
        choose: decides what ``auto`` means. It takes the values as stacked, not yet checked, and returns None where
            none of them chooses a layer; else its model and defaults take the place of the given ones, and everything
            is stacked once more.

    Raises:
        OptionsError: with all faults.
    """
    sorter = functools.partial(
        KeySorter.for_model,
        executor=executor,
        sections={GENERAL, *KINDS, *known_executors},
        custom_module=custom_module,
        lenient_flags=lenient_flags,
    )
    attempt = _attempt(sorter(model), defaults, user)
    if choose is not None and (choice := choose(attempt.stacked.values)) is not None:
        model = choice.model
        attempt = _attempt(sorter(model), choice.defaults, user, Layer(choice.reason, choice.values))
    options, faults = _checked(model, attempt.stacked)
    faults = [*attempt.keys.faults, *faults]
    if options is None or faults:
        raise OptionsError(_without_repeats(faults))
    return Resolved(
        executor=executor,
        options=options,
        origins={**attempt.stacked.origins, **attempt.keys.custom_origins},
        custom=attempt.keys.custom,
        notes=tuple(_notes(executor, attempt, options, custom_module)),
        from_user=attempt.from_user,
        table_keys=attempt.stacked.table_keys,
    )


@dataclass(frozen=True)
class _Attempt:
    keys: SortedKeys
    stacked: Stacked
    from_user: frozenset[str]


def _attempt(
    sorter: KeySorter, defaults: Sequence[Layer], user: Sequence[Layer], chosen: Layer | None = None
) -> _Attempt:
    keys = SortedKeys()
    sorter.sort_defaults(defaults, keys)
    below = len(keys.layers)
    for given in user:
        layers: Sequence[Layer] = [given]
        if isinstance(given, Document):
            layers, faults = flat_layers(given, sorter.executor, sorter.sections)
            keys.faults.extend(faults)
        for layer in layers:
            sorter.sort_user(layer, keys)
    from_user = {key for layer in keys.layers[below:] for key in layer.values} | set(keys.custom)
    return _Attempt(keys, stack([*keys.layers, *([chosen] if chosen else [])]), frozenset(from_user))


def _checked(model: type[O], stacked: Stacked) -> tuple[O | None, list[Fault]]:
    fields = model.option_fields()
    try:
        options = model.model_validate(stacked.values)
    except ValidationError as error:
        return None, list(faults_of(error, fields, stacked.origins))
    faults = [Fault(key, what, origin_of(key, stacked.origins)) for key, what in options.contradictions()]
    return options, [*faults, *_above_bounds(options, stacked.origins)]


def _above_bounds(options: Options, origins: Mapping[str, str]) -> Iterator[Fault]:
    for key, bound in options.bounded():
        value, most = options.option_value(key), options.option_value(bound)
        if value is not None and most is not None and value > most:
            what = f"'{value}' is more than a job may ask for here: {bound} ({origin_of(bound, origins)}) is '{most}'"
            yield Fault(key, what, origin_of(key, origins))


def _without_repeats(faults: Sequence[Fault]) -> list[Fault]:
    return list(dict.fromkeys(faults))


def _notes(executor: str, attempt: _Attempt, options: Options, custom_module: bool) -> Iterator[str]:
    yield from dict.fromkeys(attempt.keys.notes)
    if attempt.keys.set_aside:
        yield f"options of other executors, not used by {executor}: {', '.join(attempt.keys.set_aside)}"
    if custom_module:
        return
    for key, option in type(options).option_fields().items():
        if option.without_effect and key in attempt.from_user:
            yield f"{key} ({attempt.stacked.origins[key]}) has no effect: {option.without_effect}"
    for keys, why in options.idle():
        if given := [key for key in keys if key in attempt.from_user]:
            yield f"{', '.join(given)}: no effect, as {why}"
