"""
Make up a value that fits a JSON schema: a tool's input, or an answer in a required form.

Knows types, `enum`, `const`, `default`, `examples`, the common string formats, bounds of numbers, `items`,
`properties`, `anyOf`/`oneOf`/`allOf` and local `$ref`s. What it does not know it answers with a short text.

Pure: no I/O, no clock; the randomness comes in as an argument.
"""

from collections.abc import Mapping
from math import ceil
from random import Random
from typing import Any, Final

MAX_DEPTH: Final = 8
"""Levels of nesting; a recursive schema ends there with null, an empty list or an empty object."""

MAX_PROPERTIES: Final = 64
"""Properties made up for one object, the required ones first."""

MAX_ITEMS: Final = 16
"""Items made up for one list, even where the schema wants more."""

_BY_NAME: Final[Mapping[str, tuple[str, ...]]] = {
    "location": ("Lisbon, Portugal", "Reykjavík, Iceland", "San Francisco, CA", "京都, 日本"),
    "city": ("Lisbon", "Reykjavík", "Kyoto", "Zürich"),
    "country": ("Portugal", "Iceland", "Japan", "Switzerland"),
    "query": ("height of the Cordouan lighthouse", "tides at Saint-Malo this week"),
    "path": ("notes/lighthouses.md", "src/tides.py"),
    "command": ("ls -l notes", "grep -rn 'tide' src"),
    "url": ("https://example.com/lighthouses?sort=height&page=2",),
    "name": ("Ada", "Grace", "Zoë"),
    "title": ("Why lighthouses blink", "The patience of sourdough"),
    "language": ("English", "日本語", "Português"),
    "code": ('print("hello")\nfor n in range(3):\n    print(n)',),
}
"""Texts for properties whose name says what they are."""

_BY_FORMAT: Final[Mapping[str, str]] = {
    "date": "2024-06-21",
    "time": "04:43:00Z",
    "date-time": "2024-06-21T04:43:00Z",
    "email": "keeper@example.com",
    "uri": "https://example.com/lights/42",
    "uuid": "7c9e6679-7425-40de-944b-e07fc1f90ae7",
    "ipv4": "192.0.2.17",
}

_TEXTS: Final = ("a calm morning", "two flashes every ten seconds", 'the keeper said "wait"', "naïve café ☕")

Schema = Mapping[str, Any]


def value_for(schema: Schema, random: Random) -> Any:
    """
    Return a JSON value that fits the schema.

    Args:
        schema: as in a tool's `input_schema`.
        random: where the choices come from; the same state gives the same value.
    """
    return _value(schema, "", random, schema, 0)


def _value(schema: object, name: str, random: Random, root: Schema, depth: int) -> Any:
    if not isinstance(schema, Mapping) or depth > MAX_DEPTH:
        return None
    for key in ("const", "default"):
        if key in schema:
            return schema[key]
    for key in ("enum", "examples"):
        if schema.get(key):
            return random.choice(schema[key])
    inner = _inner(schema, root)
    if inner is not None:
        return _value(inner, name, random, root, depth + 1)
    kind = schema.get("type", "object" if "properties" in schema else "string")
    if isinstance(kind, list):
        kind = next((one for one in kind if one != "null"), "null")
    if kind == "object":
        return _object(schema, random, root, depth)
    if kind == "array":
        return _array(schema, name, random, root, depth)
    return _scalar(str(kind), schema, name, random)


def _inner(schema: Schema, root: Schema) -> object | None:
    """
    Return the schema that stands in this one's place, if another does.
    """
    reference = schema.get("$ref")
    if isinstance(reference, str) and reference.startswith("#/"):
        found: object = root
        for part in reference[2:].split("/"):
            found = found.get(part) if isinstance(found, Mapping) else None
        return found or {}
    for key in ("anyOf", "oneOf", "allOf"):
        choices = schema.get(key)
        if isinstance(choices, list) and choices:
            first: object = next((one for one in choices if one != {"type": "null"}), choices[0])
            return first
    return None


def _object(schema: Schema, random: Random, root: Schema, depth: int) -> dict[str, Any]:
    properties = schema.get("properties")
    if not isinstance(properties, Mapping) or depth >= MAX_DEPTH:
        return {}
    required = schema.get("required") or ()
    names = sorted(properties, key=lambda name: name not in required)[:MAX_PROPERTIES]
    return {name: _value(properties[name], name, random, root, depth + 1) for name in names}


def _array(schema: Schema, name: str, random: Random, root: Schema, depth: int) -> list[Any]:
    if depth >= MAX_DEPTH:
        return []
    least = schema.get("minItems", 0)
    most = schema.get("maxItems", MAX_ITEMS)
    length = min(max(random.randint(1, 3), least), most, MAX_ITEMS)
    return [_value(schema.get("items", {}), name, random, root, depth + 1) for _ in range(length)]


def _scalar(kind: str, schema: Schema, name: str, random: Random) -> Any:
    if kind == "null":
        return None
    if kind == "boolean":
        return random.random() < 0.5
    if kind in ("integer", "number"):
        return _number(kind, schema, random)
    known = _BY_FORMAT.get(str(schema.get("format")))
    text = known or random.choice(_BY_NAME.get(name.lower(), _TEXTS))
    longest = schema.get("maxLength")
    return text[:longest] if isinstance(longest, int) else text


def _number(kind: str, schema: Schema, random: Random) -> int | float:
    low = float(schema.get("minimum", schema.get("exclusiveMinimum", 0)))
    high = float(schema.get("maximum", schema.get("exclusiveMaximum", low + 100)))
    if kind == "number":
        return round(low + (high - low) * (0.1 + 0.8 * random.random()), 2)
    least = ceil(low) + (1 if "exclusiveMinimum" in schema else 0)
    most = int(high) - (1 if "exclusiveMaximum" in schema else 0)
    return random.randint(least, max(least, most))
