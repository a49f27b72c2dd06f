"""Run options as a mapping with kebab-case keys, as factories that users have written read them."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, MutableMapping
from typing import Any

from pocket_exec.errors import Fault, OptionsError, did_you_mean
from pocket_exec.options.base import kebab
from pocket_exec.options.model import GeneralOptions
from pocket_exec.options.resolve import Resolved

_OWN = ("_model", "_values")


class OptionsMapping(MutableMapping[str, Any]):
    """Resolved options by kebab-case key or by attribute, custom keys beside them.

    Sizes and durations are numbers of bytes and seconds whose text is what a user would write; lists and tables are
    the reader's own. Writing changes this mapping only, not the model.
    """

    _model: GeneralOptions | None
    _values: dict[str, Any]

    def __init__(self, model: GeneralOptions | None, custom: Mapping[str, Any] | None = None) -> None:
        values = {} if model is None else {key: _own(model.option_value(key)) for key in type(model).option_fields()}
        object.__setattr__(self, "_model", model)
        object.__setattr__(self, "_values", {**values, **{key: _own(value) for key, value in (custom or {}).items()}})

    @classmethod
    def of(cls, options: Any) -> OptionsMapping:
        """Return the mapping of resolved options, of a model, of another mapping (a copy), or of a dictionary.

        Raises:
            TypeError: it is none of these.
        """
        if isinstance(options, OptionsMapping):
            return options.copy()
        if isinstance(options, Resolved):
            return cls(options.options, options.custom)
        if isinstance(options, GeneralOptions):
            return cls(options)
        if isinstance(options, Mapping):
            return cls(None, options)
        raise TypeError(f"run_options is {type(options).__name__}; a mapping or an options model was expected")

    @property
    def model(self) -> GeneralOptions:
        """The frozen model behind it.

        Raises:
            OptionsError: there is none, as the mapping was made of a plain dictionary.
        """
        if self._model is None:
            what = "is a plain dictionary, of which nothing was checked; hand on the run_options that your factory got"
            raise OptionsError([Fault("run_options", what)])
        return self._model

    def copy(self) -> OptionsMapping:
        """Return a copy whose changes stay its own."""
        return copy.copy(self)

    def __copy__(self) -> OptionsMapping:
        return _restore(self._model, self._values)

    def __deepcopy__(self, memo: dict[int, Any]) -> OptionsMapping:
        return self.__copy__()

    def __reduce__(self) -> tuple[Any, ...]:
        return _restore, (self._model, self._values)

    def __getitem__(self, key: str) -> Any:
        if key not in self._values:
            raise KeyError(f"no option {key!r}{did_you_mean(kebab(str(key)), self._values)}")
        return self._values[key]

    def __contains__(self, key: object) -> bool:
        return key in self._values

    def __setitem__(self, key: str, value: Any) -> None:
        self._values[key] = value

    def __delitem__(self, key: str) -> None:
        del self._values[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __getattr__(self, name: str) -> Any:
        if name in _OWN or name.startswith("__"):
            raise AttributeError(name)
        for key in (kebab(name), name):
            if key in self._values:
                return self._values[key]
        raise AttributeError(f"no option {kebab(name)!r}{did_you_mean(kebab(name), self._values)}")

    def __setattr__(self, name: str, value: Any) -> None:
        self._values[name if name in self._values else kebab(name)] = value

    def __repr__(self) -> str:
        return f"OptionsMapping({self._values!r})"


def _restore(model: GeneralOptions | None, values: Mapping[str, Any]) -> OptionsMapping:
    mapping = OptionsMapping(None, values)
    object.__setattr__(mapping, "_model", model)
    return mapping


def _own(value: Any) -> Any:
    """Return the reader's own copy of a value; a list is one that can be changed."""
    if isinstance(value, Mapping):
        return {key: _own(item) for key, item in value.items()}
    if type(value) in (list, tuple):
        return [_own(item) for item in value]
    return value
