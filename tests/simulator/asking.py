"""Requests to the simulator, as the tests of its parts make them."""

from typing import Any

from streamkeep.simulator import request
from streamkeep.simulator.request import MessagesRequest

GET_TIDES: dict[str, Any] = {
    "name": "get_tides",
    "description": "Tides of a harbour",
    "input_schema": {
        "type": "object",
        "properties": {
            "harbour": {"type": "string", "enum": ["Brest", "Saint-Malo"]},
            "days": {"type": "integer", "minimum": 1, "maximum": 7},
        },
        "required": ["harbour"],
    },
}
NO_INPUT: dict[str, Any] = {"name": "now", "input_schema": {"type": "object", "properties": {}}}


def body(prompt: str = "hello", **more: Any) -> dict[str, Any]:
    """Return a request's body with one question in it."""
    return {"model": "simulated-1", "max_tokens": 4096, "messages": [{"role": "user", "content": prompt}], **more}


def asked(prompt: str = "hello", **more: Any) -> MessagesRequest:
    """Return the request that such a body holds."""
    return request.read(body(prompt, **more))


def turns(*contents: Any) -> list[dict[str, Any]]:
    """Return messages of alternating roles, the person's first."""
    return [{"role": ("user", "assistant")[n % 2], "content": content} for n, content in enumerate(contents)]
