"""Made-up values fit their schema."""

from random import Random
from typing import Any

import jsonschema_rs
import pytest

from streamkeep.simulator.schema import MAX_ITEMS, value_for

SCHEMAS: list[dict[str, Any]] = [
    {"type": "object", "properties": {"city": {"type": "string"}, "n": {"type": "integer"}}, "required": ["n"]},
    {"properties": {"at": {"type": "string", "format": "date-time"}, "on": {"format": "date"}}},
    {"type": "integer", "minimum": 3, "maximum": 4},
    {"type": "integer", "exclusiveMinimum": 3, "exclusiveMaximum": 5},
    {"type": "number", "exclusiveMinimum": 0, "maximum": 0.5},
    {"type": "array", "items": {"type": "boolean"}, "minItems": 5},
    {"type": "array", "items": {"type": "null"}, "maxItems": 1},
    {"type": ["null", "string"], "maxLength": 4},
    {"enum": ["a", "b"]},
    {"const": 0},
    {"type": "boolean", "default": False},
    {"examples": [{"a": 1}]},
    {"anyOf": [{"type": "null"}, {"type": "integer"}]},
    {"allOf": [{"type": "string", "format": "email"}]},
    {"$defs": {"light": {"type": "object", "properties": {"m": {"type": "number"}}}}, "$ref": "#/$defs/light"},
    {"type": "null"},
    {"type": ["null"]},
]


@pytest.mark.parametrize("schema", SCHEMAS, ids=str)
def test_a_value_fits(schema: dict[str, Any]) -> None:
    """The judge is another validator."""
    for seed in range(20):
        jsonschema_rs.validate(schema, value_for(schema, Random(seed)))


def test_a_recursive_schema_ends() -> None:
    """I10: depth is bounded."""
    node = {"type": "object", "properties": {"next": {"$ref": "#/$defs/node"}, "all": {"$ref": "#/$defs/list"}}}
    endless = {"type": "array", "minItems": 1, "items": {"$ref": "#/$defs/list"}}
    value = value_for({"$defs": {"node": node, "list": endless}, "$ref": "#/$defs/node"}, Random(0))

    assert {"next", "all"} == value.keys()


def test_lists_of_lists_end() -> None:
    """I10: depth is bounded for lists too; what is no schema at all gives null."""
    endless = {"type": "array", "items": {"$ref": "#/$defs/list"}}
    value = value_for({"$defs": {"list": endless}, "$ref": "#/$defs/list"}, Random(0))

    nested: dict[str, Any] = {"type": "null"}
    keyed: dict[str, Any] = {"type": "null"}
    for _ in range(12):
        nested = {"type": "array", "items": nested, "maxItems": 1}
        keyed = {"type": "object", "properties": {"a": keyed}}

    assert isinstance(value, list)
    assert "[[[[[[[[[]]]]]]]]]" == str(value_for(nested, Random(0)))
    assert 8 == str(value_for(keyed, Random(0))).count("'a'")
    assert [None] == value_for({"type": "array", "items": True, "maxItems": 1}, Random(0))


def test_a_list_is_bounded() -> None:
    """I10: a schema cannot ask for a million items."""
    assert MAX_ITEMS == len(value_for({"type": "array", "minItems": 10**6, "items": {"type": "null"}}, Random(0)))


def test_a_reference_to_nowhere_is_a_text() -> None:
    """What is not known is answered with something short."""
    assert isinstance(value_for({"$ref": "#/$defs/none"}, Random(0)), str)


def test_required_properties_come_first() -> None:
    """So that a cut input has them."""
    schema = {"properties": {"a": {}, "b": {}}, "required": ["b"]}

    assert ["b", "a"] == list(value_for(schema, Random(0)))


def test_a_property_is_filled_by_its_name() -> None:
    """A city is a city."""
    assert value_for({"properties": {"city": {"type": "string"}}}, Random(0))["city"] in (
        "Lisbon",
        "Reykjavík",
        "Kyoto",
        "Zürich",
    )
