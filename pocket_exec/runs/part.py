"""What every part of a run's record has in common: frozen, documented by its fields, without secrets."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import ConfigDict, model_validator

from pocket_exec.options.documented import Documented
from pocket_exec.runs.masking import masked_text


class Part(Documented):
    """A part of the record; texts that UTF-8 cannot hold are written with backslashes, secrets in them are hidden.

    Keys that this version does not know are ignored, so that a later version may add fields.
    """

    model_config = ConfigDict(frozen=True)

    @model_validator(mode="before")
    @classmethod
    def _clean(cls, data: Any) -> Any:
        return _cleaned(data)


def _cleaned(value: Any) -> Any:
    match value:
        case str():
            # str(...): pydantic keeps a subclass, whose own pickling and equality have no place in a record.
            return masked_text(str(value).encode("utf-8", "backslashreplace").decode())
        case Mapping():
            return {_cleaned(key): _cleaned(item) for key, item in value.items()}
        case list() | tuple():
            return [_cleaned(item) for item in value]
        case _:
            return value
