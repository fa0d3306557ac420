"""
Speak to the Messages API of Anthropic, and read what it streams.

Pure: no I/O, no clock.

Strategy
    Our vocabulary is this API's, so an event's bytes go into the log as they came. Each payload is only scanned
    (0.15 µs with msgspec, measured) to prove that it is JSON of the type its event name says; nothing is built.
    Pings are life signs and are not logged. `error` ends the response as a failure, `message_stop` as a success;
    what comes after either is ignored.

    A JSON text with half of a surrogate pair in it counts as malformed: no UTF-8 can hold it, so no reader could.

Source
    anthropic SDK 2.10.0 `_constants.py`, `types/raw_message_stream_event.py`, `_error_classes.py`.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from streamkeep.entry import Event
from streamkeep.errors import KINDS, BadRequest, UpstreamBroken, UpstreamBusy, UpstreamError, UpstreamRefused, kind_of
from streamkeep.providers.base import MAX_DETAIL_CHARACTERS, Call, is_event_name, one_line, retry_after_s
from streamkeep.sse import SseMessage

VERSION = "2023-06-01"
"""`anthropic-version` sent for a caller that names none: accepts every parameter, the newest removes some."""

PASSED_HEADERS = ("anthropic-version", "anthropic-beta")
"""What of the caller's headers reaches the vendor; nothing else does."""

STATUSES = {kind: status for status, kind in KINDS.items()}
"""The status for each error type, for errors that come inside a 200."""

_RETRYABLE = frozenset({408, 409, 429, 500, 502, 503, 504, 529})

_EVENTS = frozenset(
    {"content_block_start", "content_block_delta", "content_block_stop", "message_delta", "message_stop"}
)
"""What can come only after `message_start`."""

_KIND = re.compile(r"[a-z0-9_]{1,58}_error|request_too_large", re.ASCII)


class _Payload(msgspec.Struct):
    type: str


class _ErrorBody(msgspec.Struct):
    error: Any = None
    message: Any = None


class _Models(msgspec.Struct):
    data: list[dict[str, Any]]


_event = tuple.__new__  # A NamedTuple's own constructor costs twice as much.
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
            The events up to the terminal one or the failure; `data` is the payload unchanged, on one line.
        """
        events: list[Event] = []
        for name, data, _ in messages:
            if self.ended or self.failure is not None:
                break
            if name == "ping" or not data:  # The SDKs pass over empty data too.
                continue
            self.failure = self._fault(name, data)
            if self.failure is None:
                events.append(_event(Event, (name, one_line(data) if b"\n" in data else data)))
                self.ended = name == "message_stop"
        return events

    def _fault(self, name: str, data: bytes) -> UpstreamError | None:
        """Give what is wrong with one event; the common case is decided first."""
        try:
            kind = _scan(data).type
        except (ValueError, RecursionError):
            kind = ""
        if kind == name and self._started and name in _EVENTS:
            return None
        if name == "error" or kind == "error":
            return _mid_stream_error(data)
        if not kind:
            return _malformed("sent an event that is no JSON object with a type; the answer is kept up to there")
        if kind != name:
            return _malformed("sent an event whose name and type differ")
        return self._fault_of_order(name)

    def _fault_of_order(self, name: str) -> UpstreamError | None:
        if name in _EVENTS:
            return _malformed("began its answer in the middle")
        if name == "message_start":
            if self._started:
                return _malformed("began its answer twice")
            self._started = True
        elif not is_event_name(name):
            return _malformed("sent an event with a name that cannot be kept")
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
        except (ValueError, RecursionError) as error:
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
        if not 400 <= status <= 599:
            return UpstreamBroken(
                f"The model's API answered with status {status}, which is neither an answer nor an error.",
                code="upstream_bad_status",
                retryable=False,
            )
        kind, detail = _said(body)
        return _error(
            kind or kind_of(status),
            detail,
            status=status,
            retry_after=retry_after_s(headers),
            should_retry={"true": True, "false": False}.get(headers.get("x-should-retry", "")),
        )


def _malformed(what: str) -> UpstreamBroken:
    return UpstreamBroken(f"The model's API {what}.", code="upstream_malformed")


def _mid_stream_error(data: bytes) -> UpstreamError:
    kind, detail = _said(data)
    kind = kind or "api_error"
    return _error(kind, detail, status=STATUSES.get(kind, 500), retry_after=None, should_retry=None)


def _said(body: bytes) -> tuple[str | None, str]:
    """Give the vendor's error type, if it looks like one, and its words; what stands in between may answer too."""
    try:
        told = _decode_error(body)
    except (ValueError, RecursionError):
        text = body[:MAX_DETAIL_CHARACTERS].decode("utf-8", "replace").strip()
        return None, "" if text.startswith(("<", "{", "[")) else text
    error = told.error if isinstance(told.error, dict) else {"message": told.error or told.message}
    kind, detail = error.get("type"), error.get("message")
    return (
        kind if isinstance(kind, str) and _KIND.fullmatch(kind) else None,
        detail[:MAX_DETAIL_CHARACTERS] if isinstance(detail, str) else "",
    )


def _error(
    kind: str, detail: str, *, status: int, retry_after: float | None, should_retry: bool | None
) -> UpstreamError:
    retryable = status in _RETRYABLE or status >= 500
    busy = status == 429 or status >= 500
    error = UpstreamBusy if busy else UpstreamRefused
    known = f"{status} {kind}" if kind in STATUSES else f"{status}"
    return error(
        f"The model's API {'is not able to answer now' if busy else 'refused the request'} ({known}).",
        detail=detail,
        code="upstream_rate_limited" if status == 429 else None,
        kind=kind,
        status=status,
        retryable=retryable if should_retry is None else should_retry,
        retry_after=retry_after,
    )


PROVIDER = Anthropic()
