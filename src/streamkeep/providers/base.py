"""
Say what a provider is: how to ask one vendor's API, and how to read what it answers.

Pure: no I/O, no clock.

Laws
    1. No answer makes a parser raise: what is wrong with it becomes its `failure`.
    2. `UpstreamError.message` is in our words; the vendor's own go into `detail`, nowhere else.
"""

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, Final, Protocol

import msgspec

from streamkeep.entry import Event
from streamkeep.errors import UpstreamError
from streamkeep.sse import SseMessage

MAX_RETRY_AFTER_S: Final = 86_400.0
"""Longest pause that an upstream can ask for, in seconds; a day is longer than anybody waits."""

MAX_DETAIL_CHARACTERS: Final = 4096
"""Characters kept of what an upstream says of an error; the vendors' own messages are below 200."""

MAX_EVENT_NAME: Final = 128
"""Characters of an event's name; the longest known has 47."""


class Call(msgspec.Struct, frozen=True, kw_only=True):
    """One HTTP request to make, without secrets."""

    path: str
    """Path below the endpoint's base URL, with its leading slash."""
    headers: dict[str, str]
    """Lower-case names."""
    body: bytes
    """JSON."""


class Parser(Protocol):
    """
    Reads one upstream response.

    After `failure` is set or `ended` is true, what still comes is ignored: the caller closes the connection.
    """

    ended: bool
    """True once the vendor's own terminal event came; nothing else makes an answer complete (I3)."""
    failure: UpstreamError | None
    """What the upstream said went wrong in mid-stream, or what is wrong with what it said."""

    def feed(self, messages: Sequence[SseMessage]) -> list[Event]:
        """Turn the next messages into the events to log; life signs such as pings give none."""


class Provider(Protocol):
    """One vendor's dialect."""

    name: str
    """As in `provider=`; the name of its file."""
    key_variable: str
    """The environment variable that holds the vendor's key."""
    base_url_variable: str
    """The environment variable that moves the endpoint."""
    base_url: str
    """The vendor's own endpoint."""
    default_model: str
    """Asked for when a start names none."""

    def models_call(self) -> Call:
        """Make the request that asks for the list of models; its body is empty."""

    def models(self, body: bytes) -> list[dict[str, Any]]:
        """
        Read a list of models.

        Returns:
            Models as the Messages API shows them: `type`, `id`, `display_name`, `created_at`.

        Raises:
            UpstreamBroken: The body is no such list.
        """

    def call(self, request: Mapping[str, Any], headers: Mapping[str, str]) -> Call:
        """
        Make the request that asks for a stream.

        Args:
            request: A Messages request (`model`, `messages`, `max_tokens`, …).
            headers: What the caller sent of the vendor's own headers, lower-case names.

        Raises:
            BadRequest: Something is missing that the vendor would refuse anyway.
        """

    def authorization(self, key: str) -> dict[str, str]:
        """Give the headers that carry the key."""

    def parser(self) -> Parser:
        """Make a parser for one response."""

    def failure(self, status: int, headers: Mapping[str, str], body: bytes) -> UpstreamError:
        """
        Classify a response that is no stream.

        Args:
            status: The HTTP status.
            headers: Lower-case names.
            body: The first part of the body, at most some KiB.
        """


def is_event_name(name: str) -> bool:
    """Tell whether an event of an upstream may be logged under this name: short, printable, none of the relay's own."""
    return 0 < len(name) <= MAX_EVENT_NAME and name.isprintable() and not name.startswith("stream.")


def one_line(data: bytes) -> bytes:
    """Put JSON of several lines on one; its line ends stand between tokens, where a space means the same."""
    return data.replace(b"\n", b" ").replace(b"\r", b" ") if b"\n" in data or b"\r" in data else data


def retry_after_s(headers: Mapping[str, str]) -> float | None:
    """
    Read for how many seconds an upstream asks to be left alone: `retry-after-ms`, else `retry-after`.

    A date (RFC 9110, 10.2.3) is counted from the response's own `date`: no clock is needed here, and none has to
    agree with the upstream's. Without `date` it tells nothing.

    Args:
        headers: Of the response, lower-case names.

    Returns:
        From 0 to `MAX_RETRY_AFTER_S`; None if nothing was asked that can be understood.
    """
    for name, unit_s in (("retry-after-ms", 0.001), ("retry-after", 1.0)):
        value = headers.get(name, "").strip()
        if _NUMBER.fullmatch(value):
            return min(float(value) * unit_s, MAX_RETRY_AFTER_S)
    until, now = _date(headers.get("retry-after", "")), _date(headers.get("date", ""))
    if until is None or now is None:
        return None
    return min(max((until - now).total_seconds(), 0.0), MAX_RETRY_AFTER_S)


def _date(text: str) -> datetime | None:
    if len(text) > _MAX_DATE:
        return None
    try:
        date = parsedate_to_datetime(text)
        return date.replace(tzinfo=UTC) if date.tzinfo is None else date.astimezone(UTC)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None


_NUMBER = re.compile(r"[0-9]{1,15}(?:\.[0-9]{1,15})?", re.ASCII)
_MAX_DATE = 64  # characters; the three forms of RFC 9110 have at most 33
