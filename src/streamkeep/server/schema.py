"""What the OpenAPI document says of each route, beyond what the code shows."""

from typing import Any

_ERROR: dict[str, Any] = {
    "description": "What went wrong, whose fault it is and what to do.",
    "content": {
        "application/json": {
            "schema": {
                "type": "object",
                "required": ["type", "error"],
                "properties": {
                    "type": {"const": "error"},
                    "error": {
                        "type": "object",
                        "required": ["type", "message"],
                        "properties": {
                            "type": {"type": "string"},
                            "message": {"type": "string"},
                            "code": {"type": "string"},
                            "cursor": {"type": "string"},
                        },
                    },
                    "request_id": {"type": ["string", "null"]},
                },
            }
        }
    },
}
_ERRORS: dict[int | str, dict[str, Any]] = {"4XX": _ERROR, "5XX": _ERROR}
_JSON: dict[str, Any] = {"content": {"application/json": {"schema": {"type": "object"}}}}
_EVENT: dict[str, Any] = {
    "type": "object",
    "required": ["data"],
    "properties": {
        "id": {"type": "string", "description": "The cursor to go on from."},
        "event": {"type": "string"},
        "data": {"type": "string", "description": "JSON."},
        "retry": {"type": "integer"},
    },
}
_EVENTS: dict[str, Any] = {"content": {"text/event-stream": {"itemSchema": _EVENT}}}
_TEXT: dict[str, Any] = {"content": {"text/plain": {"schema": {"type": "string"}}}}
_MESSAGES_REQUEST: dict[str, Any] = {
    "model": {"type": "string"},
    "max_tokens": {"type": "integer", "minimum": 1},
    "messages": {"type": "array", "items": {"type": "object"}},
    "stream": {"type": "boolean"},
    "policy": {"type": "object", "description": "How to deal with trouble; see PROTOCOL.md."},
}


def _query(name: str, description: str, **schema: Any) -> dict[str, Any]:
    return {"name": name, "in": "query", "description": description, "schema": {"type": "string", **schema}}


def _header(name: str, description: str) -> dict[str, Any]:
    return {"name": name, "in": "header", "description": description, "schema": {"type": "string"}}


def _body(properties: dict[str, Any], required: list[str]) -> dict[str, Any]:
    schema = {"type": "object", "properties": properties, "required": required, "additionalProperties": True}
    return {"requestBody": {"required": True, "content": {"application/json": {"schema": schema}}}}


_KEY = _header("Idempotency-Key", "Two starts with one key are one start.")

START: dict[str, Any] = {
    "responses": {
        201: {"description": "The stream.", **_JSON},
        200: {
            "description": "The stream of an earlier start, or the events.",
            "content": {**_JSON["content"], **_EVENTS["content"]},
        },
        **_ERRORS,
    },
    "openapi_extra": {
        "parameters": [_KEY],
        **_body(
            {
                **_MESSAGES_REQUEST,
                "prompt": {"type": "string", "description": "One user message, instead of `messages`."},
                "id": {"type": "string", "pattern": "^[A-Za-z0-9_-]{1,64}$"},
                "provider": {"type": "string"},
                "metadata": {"type": "object"},
            },
            [],
        ),
    },
}
LIST: dict[str, Any] = {
    "responses": _ERRORS,
    "openapi_extra": {
        "parameters": [
            _query("state", "Only these states, with commas between."),
            _query("limit", "Streams on a page.", type="integer", minimum=1, maximum=200),
            _query("page", "The `next` of the page before."),
        ]
    },
}
GET: dict[str, Any] = {"responses": _ERRORS}
EVENTS: dict[str, Any] = {
    "responses": {
        200: {"description": "The events.", "content": {**_EVENTS["content"], **_TEXT["content"]}},
        204: {"description": "The stream has ended and the reader has it all."},
        **_ERRORS,
    },
    "openapi_extra": {
        "parameters": [
            _header("Last-Event-ID", "The cursor to go on from."),
            _query("after", "The same, where headers cannot be set."),
            _query("wire", "The dialect: native, anthropic, text or another one installed."),
            _query("catchup", "merged: join runs of deltas in what is there already.", enum=["exact", "merged"]),
            _query("thinking", "hide: leave thinking out.", enum=["show", "hide"]),
            _query("follow", "0: end where the log ends now.", enum=["0", "1"]),
        ]
    },
}
MESSAGE: dict[str, Any] = {
    "responses": {
        200: {"description": "The message.", **_JSON},
        202: {"description": "As far as it got.", **_JSON},
        **_ERRORS,
    },
    "openapi_extra": {
        "parameters": [_query("wait", "Seconds to wait for the end.", type="number", minimum=0, maximum=300)]
    },
}
CANCEL: dict[str, Any] = {
    "responses": {
        200: {"description": "The receipt.", **_JSON},
        202: {"description": "No such stream yet; the stop is remembered for 60 s.", **_JSON},
        **_ERRORS,
    }
}
DELETE: dict[str, Any] = {"responses": _ERRORS}
MESSAGES: dict[str, Any] = {
    "responses": {
        200: {"description": "The message, or its events.", "content": {**_JSON["content"], **_EVENTS["content"]}},
        **_ERRORS,
    },
    "openapi_extra": {
        "parameters": [_KEY, _header("X-Streamkeep-Policy", "The policy as JSON, where the body cannot carry it.")],
        **_body(_MESSAGES_REQUEST, ["model", "max_tokens", "messages"]),
    },
}
MODELS: dict[str, Any] = {"responses": _ERRORS}
