"""
Speak to the Messages API of Anthropic, and read what it streams.

Pure: no I/O, no clock.

Strategy
    Our vocabulary is this API's, so an event's bytes go into the log as they came. Each payload is only scanned
    (0.15 µs with msgspec, measured) to prove that it is JSON of the type its event name says; nothing is built.
    Pings are life signs and are not logged. `error` ends the response as a failure, `message_stop` as a success;
    what comes after either is ignored.

Source
    anthropic SDK 2.10.0 `_constants.py`, `types/raw_message_stream_event.py`, `_error_classes.py`.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from streamkeep.entry import Event
from streamkeep.errors import KINDS, BadRequest, UpstreamBroken, UpstreamBusy, UpstreamError, UpstreamRefused, kind_of
from streamkeep.providers.base import Call
from streamkeep.sse import SseMessage

VERSION = "2023-06-01"
"""`anthropic-version` sent for a caller that names none: accepts every parameter, the newest removes some."""

PASSED_HEADERS = ("anthropic-version", "anthropic-beta")
"""What of the caller's headers reaches the vendor; nothing else does."""

STATUSES = {kind: status for status, kind in KINDS.items()}
"""The status for each error type, for errors that come inside a 200."""

_RETRYABLE = frozenset({408, 409, 429, 500, 502, 503, 504, 529})


class _Payload(msgspec.Struct):
    type: str


class _ErrorDetail(msgspec.Struct):
    type: str = "api_error"
    message: str = ""


class _ErrorBody(msgspec.Struct):
    error: _ErrorDetail


class _Models(msgspec.Struct):
    data: list[dict[str, Any]]


_decode_models = msgspec.json.Decoder(_Models).decode
_scan = msgspec.json.Decoder(_Payload).decode
_decode_error = msgspec.json.Decoder(_ErrorBody).decode


class AnthropicParser:
    """Reads one response of `POST /v1/messages` with `stream: true`."""

    def __init__(self) -> None:
        self.ended = False
        self.failure: UpstreamError | None = None
        self._started = False

    def feed(self, messages: Sequence[SseMessage]) -> list[Event]:
        """
        Turn the next messages into events.

        Returns:
            The events up to the terminal one or the failure; `data` is the payload unchanged.
        """
        events: list[Event] = []
        for message in messages:
            if self.ended or self.failure is not None:
                break
            name = message.event
            if name == "ping":
                continue
            self.failure = self._fault(name, message.data)
            if self.failure is None:
                events.append(Event(name, message.data))
                self.ended = name == "message_stop"
        return events

    def _fault(self, name: str, data: bytes) -> UpstreamError | None:
        try:
            kind = _scan(data).type
        except msgspec.DecodeError:
            return UpstreamBroken(
                "The model's API sent an event that is not valid JSON; the answer is kept up to there.",
                code="upstream_malformed",
            )
        if name == "error" or kind == "error":
            return _mid_stream_error(data)
        if kind != name or name.startswith("stream."):
            return UpstreamBroken(
                "The model's API sent an event whose name and type differ.", code="upstream_malformed"
            )
        if name == "message_start":
            if self._started:
                return UpstreamBroken("The model's API began its answer twice.", code="upstream_malformed")
            self._started = True
        return None


class Anthropic:
    """The dialect of `api.anthropic.com` and whatever speaks like it."""

    name = "anthropic"
    key_variable = "ANTHROPIC_API_KEY"
    base_url_variable = "ANTHROPIC_BASE_URL"
    base_url = "https://api.anthropic.com"
    default_model = "claude-sonnet-5-5"

    def models_call(self) -> Call:
        """Ask for one page that holds them all."""
        return Call(path="/v1/models?limit=1000", headers={"anthropic-version": VERSION}, body=b"")

    def models(self, body: bytes) -> list[dict[str, Any]]:
        """
        Read a list of models; it has our shape already.

        Raises:
            UpstreamBroken: The body is no such list.
        """
        try:
            return _decode_models(body).data
        except msgspec.DecodeError as error:
            raise UpstreamBroken("The model's API gave a list of models that cannot be read.") from error

    def call(self, request: Mapping[str, Any], headers: Mapping[str, str]) -> Call:
        """
        Ask for a stream; the body goes on as the caller wrote it, with `stream` set.

        Raises:
            BadRequest: `model`, `messages` or `max_tokens` is missing.
        """
        for member in ("model", "messages", "max_tokens"):
            if request.get(member) is None:
                raise BadRequest(f"{member}: Field required")
        return Call(
            path="/v1/messages",
            headers={
                "content-type": "application/json",
                "anthropic-version": VERSION,
                **{name: headers[name] for name in PASSED_HEADERS if name in headers},
            },
            body=msgspec.json.encode({**request, "stream": True}),
        )

    def authorization(self, key: str) -> dict[str, str]:
        """Give the key the way every version of the API takes it."""
        return {"x-api-key": key}

    def parser(self) -> AnthropicParser:
        """Make a parser for one response."""
        return AnthropicParser()

    def failure(self, status: int, headers: Mapping[str, str], body: bytes) -> UpstreamError:
        """Classify a response that is no stream, by status, `x-should-retry` and `retry-after`."""
        try:
            detail = _decode_error(body).error
        except msgspec.DecodeError:
            detail = _ErrorDetail(type=kind_of(status))
        return _error(
            detail,
            status=status,
            retry_after=_seconds(headers),
            should_retry={"true": True, "false": False}.get(headers.get("x-should-retry", "")),
        )


def _mid_stream_error(data: bytes) -> UpstreamError:
    try:
        detail = _decode_error(data).error
    except msgspec.DecodeError:
        detail = _ErrorDetail()
    return _error(detail, status=STATUSES.get(detail.type, 500), retry_after=None, should_retry=None)


def _error(detail: _ErrorDetail, *, status: int, retry_after: float | None, should_retry: bool | None) -> UpstreamError:
    retryable = status in _RETRYABLE or status >= 500
    busy = status == 429 or status >= 500
    error = UpstreamBusy if busy else UpstreamRefused
    return error(
        f"The model's API {'is not able to answer now' if busy else 'refused the request'} ({status} {detail.type}).",
        detail=detail.message,
        code="upstream_rate_limited" if status == 429 else None,
        kind=detail.type,
        status=status,
        retryable=retryable if should_retry is None else should_retry,
        retry_after=retry_after,
    )


def _seconds(headers: Mapping[str, str]) -> float | None:
    for name, unit_s in (("retry-after-ms", 0.001), ("retry-after", 1.0)):
        try:
            value = float(headers[name]) * unit_s
        except (KeyError, ValueError):
            continue
        if 0 <= value < float("inf"):
            return value
    return None


PROVIDER = Anthropic()
