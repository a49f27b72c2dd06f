"""Fields described by the docstrings under them."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from pocket_exec.options.documented import Documented


class Base(Documented):
    """A base."""

    first: int
    """From the
    base."""
    plain: int = 0


class Derived(Base):
    """A class of its own."""

    model_config = ConfigDict(alias_generator=lambda name: name.replace("_", "-"), populate_by_name=True)

    first: int
    """Said anew."""
    by_field: int = Field(default=0, description="In the field.")
    """Not looked at."""
    with_default: int = 3
    """After a default."""

    def method(self) -> None:
        """Not a field."""


def test_docstrings_describe_fields_and_a_derived_class_may_say_it_anew() -> None:
    assert Base.field_docs() == {"first": "From the\nbase."}
    assert Derived.field_docs() == {
        "first": "Said anew.",
        "by_field": "In the field.",
        "with_default": "After a default.",
    }


def test_the_schema_has_the_descriptions_under_the_names_of_the_options() -> None:
    class Whole(BaseModel):
        part: Derived

    described = {"first": "Said anew.", "by-field": "In the field.", "with-default": "After a default."}
    for schema in (Derived.model_json_schema(), Whole.model_json_schema()["$defs"]["Derived"]):
        told = {key: option["description"] for key, option in schema["properties"].items() if "description" in option}
        assert told == described


def test_a_class_without_a_source_has_no_descriptions() -> None:
    space: dict[str, type[Documented]] = {}
    exec("class Typed(Base):\n    x: int\n    'Not to be found.'\n", {"Base": Base, "__name__": "__prompt__"}, space)
    assert space["Typed"].field_docs() == {"first": "From the\nbase."}
