"""
Say what a provider is: how to ask one vendor's API, and how to read what it answers.

Pure: no I/O, no clock.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import msgspec

from streamkeep.entry import Event
from streamkeep.errors import UpstreamError
from streamkeep.sse import SseMessage


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
