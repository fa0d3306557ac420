"""
Say no as the Messages API does: error bodies, statuses, and the streams that go wrong on demand.

Both tables are data: a new way to fail is one more row.

Pure: no I/O, no clock.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from types import MappingProxyType
from typing import Any, Final

MAX_AFTER: Final = 100_000
"""Events after which a stream may be told to fail; no answer is longer."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """
    An answer that is not a message: a status with an error body, or with a page of HTML.

    Attributes:
        status: the HTTP status.
        kind: the API's error type, such as `overloaded_error`.
        message: for a person.
        headers: to be sent with it.
        html: a page sent instead of the error body, as a proxy in between would.
    """

    status: int
    kind: str
    message: str
    headers: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    html: str = ""


class Refused(Exception):
    """The request is answered with a refusal and starts nothing."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal.message)
        self.refusal = refusal


class Ending(Enum):
    """How a faulty stream goes on when its last event is out."""

    ERROR_EVENT = "an `error` event, then the clean end"
    CLEAN_END = "the body ends as if it were complete"
    RESET = "the connection is reset"
    SILENCE = "the connection stays open and nothing more comes"
    PINGS = "the connection stays open and only pings come"


@dataclass(frozen=True, slots=True)
class Fault:
    """
    A stream that starts well and goes wrong.

    Attributes:
        ending: what happens then.
        after: events sent before it; None for all of them.
    """

    ending: Ending
    after: int | None


def invalid(message: str) -> Refused:
    """
    Return the refusal of a request that is not well formed.
    """
    return Refused(Refusal(400, "invalid_request_error", message))


def error_body(kind: str, message: str, request_id: str | None = None) -> dict[str, Any]:
    """
    Return the API's error object; without a request id, the shape of an `error` event in a stream.
    """
    body: dict[str, Any] = {"type": "error", "error": {"type": kind, "message": message}}
    if request_id is not None:
        body["request_id"] = request_id
    return body


_PAGE: Final = (
    "<!doctype html>\n<html><head><title>Just a moment…</title></head>\n"
    "<body><h1>Checking your browser</h1><p>This page is not the API you asked for.</p></body></html>\n"
)

REFUSALS: Final[Mapping[str, Refusal]] = MappingProxyType(
    {
        "400": Refusal(400, "invalid_request_error", "The simulator was asked to refuse this request as malformed."),
        "401": Refusal(401, "authentication_error", "invalid x-api-key"),
        "403": Refusal(403, "permission_error", "Your API key does not have permission to use the specified resource."),
        "404": Refusal(404, "not_found_error", "model: the simulator was asked not to know it"),
        "413": Refusal(413, "request_too_large", "Request exceeds the maximum size"),
        "429": Refusal(
            429,
            "rate_limit_error",
            "This request would exceed the rate limit for your organization of 50 requests per minute.",
            MappingProxyType({"retry-after": "1"}),
        ),
        "500": Refusal(500, "api_error", "Internal server error"),
        "529": Refusal(529, "overloaded_error", "Overloaded"),
        "html": Refusal(200, "html", "a page instead of an answer", html=_PAGE),
    }
)
"""What can be refused before the stream, by its name."""

_FIXED_FAULTS: Final[Mapping[str, Fault]] = MappingProxyType(
    {"error-first": Fault(Ending.ERROR_EVENT, 0), "hang-after-end": Fault(Ending.SILENCE, None)}
)

_COUNTED_FAULTS: Final[Mapping[str, Ending]] = MappingProxyType(
    {
        "error-after": Ending.ERROR_EVENT,
        "truncate-after": Ending.CLEAN_END,
        "reset-after": Ending.RESET,
        "stall-after": Ending.SILENCE,
        "stall-pings-after": Ending.PINGS,
    }
)

KNOWN: Final = (*REFUSALS, *_FIXED_FAULTS, *(f"{name}:N" for name in _COUNTED_FAULTS))
"""All names, for the text of an error."""

_COUNTED: Final = re.compile(r"([a-z-]+):(\d{1,9})", re.ASCII)


def refusal_or_fault(name: str) -> Refusal | Fault:
    """
    Return what a name such as `429` or `reset-after:12` asks for.

    Raises:
        Refused: 400, if there is no such name or the count is over `MAX_AFTER`.
    """
    found = REFUSALS.get(name) or _FIXED_FAULTS.get(name)
    if found is not None:
        return found
    counted = _COUNTED.fullmatch(name)
    if counted and counted[1] in _COUNTED_FAULTS and int(counted[2]) <= MAX_AFTER:
        return Fault(_COUNTED_FAULTS[counted[1]], int(counted[2]))
    raise invalid(f"refuse: {name[:40]!r} is none of {', '.join(KNOWN)} (N up to {MAX_AFTER})")


def with_retry_after(refusal: Refusal, seconds: float) -> Refusal:
    """
    Return the refusal with a `retry-after` header of so many seconds.
    """
    headers = MappingProxyType({**refusal.headers, "retry-after": f"{seconds:g}"})
    return Refusal(refusal.status, refusal.kind, refusal.message, headers, refusal.html)
