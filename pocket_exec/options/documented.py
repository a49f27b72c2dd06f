"""The base of models whose fields are described by the docstrings under them, read when somebody asks for them.

Pydantic's ``use_attribute_docstrings`` does the same for every model as it is imported: each run would wait for what
only the help, the documentation and the JSON schemas show.
"""

from __future__ import annotations

import ast
import functools
import inspect
import itertools
import textwrap
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from pydantic import BaseModel

if TYPE_CHECKING:
    from pydantic import GetJsonSchemaHandler
    from pydantic.json_schema import JsonSchemaValue
    from pydantic_core import CoreSchema


class Documented(BaseModel):
    """A model whose fields have docstrings."""

    @classmethod
    def field_docs(cls) -> Mapping[str, str]:
        """Return the description of each field by its name; ``Field(description=...)`` beats the docstring."""
        own = {name: info.description for name, info in cls.model_fields.items() if info.description is not None}
        return {**_docstrings(cls), **own}

    @classmethod
    def __get_pydantic_json_schema__(cls, core_schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        """Describe the fields in the JSON schema too."""
        schema = handler(core_schema)
        properties = handler.resolve_ref_schema(schema).get("properties", {})
        for name, text in cls.field_docs().items():
            for key in {name, cls.model_fields[name].alias} & set(properties):
                properties[key]["description"] = text
        return schema


@functools.cache
def _docstrings(model: type[BaseModel]) -> Mapping[str, str]:
    found = {name: text for cls in reversed(model.__mro__) for name, text in _own_docstrings(cls)}
    return {name: inspect.cleandoc(text) for name, text in found.items() if name in model.model_fields}


def _own_docstrings(cls: type) -> Iterator[tuple[str, str]]:
    """Yield each annotated attribute in the body of ``cls`` that has a docstring under it."""
    try:
        (definition,) = ast.parse(textwrap.dedent(inspect.getsource(cls))).body
    except (OSError, TypeError, SyntaxError):  # without a file: typed at a prompt, or not written in Python
        return
    for field, text in itertools.pairwise(definition.body if isinstance(definition, ast.ClassDef) else ()):
        match field, text:
            case ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(value=ast.Constant(value=str(words))):
                yield name, words
