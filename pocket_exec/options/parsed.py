"""What typed values of options have in common: a ``parse`` that pydantic calls, and their text."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Self

if TYPE_CHECKING:
    from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
    from pydantic_core import CoreSchema


class Parsed:
    """Lets pydantic build a value by its class's ``parse``, and write it as its ``str``."""

    json_type: ClassVar[tuple[str, ...]] = ("string",)
    examples: ClassVar[tuple[str | int, ...]] = ()
    pattern: ClassVar[str] = ""

    @classmethod
    def parse(cls, value: Any) -> Self:
        """Read a value from YAML, Python or a flag.

        Raises:
            ValueError: it is none; in words for the user.
        """
        raise NotImplementedError

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        from pydantic_core import core_schema

        as_text = core_schema.plain_serializer_function_ser_schema(str)
        return core_schema.no_info_plain_validator_function(cls.parse, serialization=as_text)

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        kind: Any = cls.json_type[0] if len(cls.json_type) == 1 else list(cls.json_type)
        return {"type": kind, "pattern": cls.pattern, "examples": list(cls.examples)}


def shown(value: Any) -> str:
    """Return a value in one line as it would stand in YAML: text in quotes, ``null``, ``true``.

    >>> shown([1, "a", None])
    "[1, 'a', null]"
    """
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{key}: {shown(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list | tuple | set | frozenset):
        return f"[{', '.join(shown(item) for item in value)}]"
    if value is None or isinstance(value, bool):
        return "null" if value is None else str(value).lower()
    return repr(str(value)) if isinstance(value, str) else str(value)
