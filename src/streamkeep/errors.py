"""
Name everything that can go wrong, and whose fault it is.

Pure: no I/O, no clock.

StreamkeepError
├── CallerError
│   ├── BadRequest
│   ├── Unauthorized
│   ├── StreamNotFound
│   ├── StreamExpired
│   ├── StreamExists
│   ├── StreamLive
│   ├── TooLarge
│   ├── Forbidden
│   └── CursorError
│       ├── CursorForeign
│       └── CursorAhead
├── Overloaded
├── ServerUnreachable
├── UpstreamError
│   ├── UpstreamRefused
│   ├── UpstreamBusy
│   ├── UpstreamBroken
│   ├── UpstreamTimeout
│   └── UpstreamGone
├── StoreError
│   ├── Conflict
│   ├── Fenced
│   ├── LeaseHeld
│   ├── StreamClosed
│   ├── StoreInUse
│   ├── StoreFull
│   ├── StoreTooNew
│   └── StoreUnavailable
└── SseError
    ├── LineTooLong
    ├── MessageTooLong
    └── IllegalField

Laws
    1. `code` is stable and in snake_case; the class is whose fault it is.
    2. The text says what happened and what to do. It holds no key, no prompt and no stack trace.
    3. `status` is the HTTP status to answer with where nothing was sent yet (I11).
"""

from typing import ClassVar, Final

KINDS: Final = {
    400: "invalid_request_error",
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    409: "conflict_error",
    413: "request_too_large",
    429: "rate_limit_error",
    500: "api_error",
    504: "timeout_error",
    529: "overloaded_error",
}
"""The Messages API's error type for each of its statuses (its documentation, "Errors")."""


def kind_of(status: int) -> str:
    """Give the error type that goes with a status."""
    return KINDS.get(status) or ("invalid_request_error" if status < 500 else "api_error")


class StreamkeepError(Exception):
    """
    The root of all errors raised on purpose.

    Args:
        message: What happened and what to do, for a person.
        code: Overrides the class's code with a finer one.
    """

    code: str = "internal_error"
    """Stable, snake_case; what programs compare."""
    status: int = 500
    """The HTTP status to answer with, if nothing was sent yet."""
    blame: ClassVar[str] = "server"
    """Whose fault it is: `caller`, `upstream`, `store` or `server`."""
    retryable: bool = False
    """True if the same request may succeed later."""
    retry_after: float | None = None
    """Seconds to wait before trying again, if known."""

    def __init__(self, message: str, *, code: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        if code is not None:
            self.code = code


class CallerError(StreamkeepError):
    """The request cannot be served as it was made."""

    code = "bad_request"
    status = 400
    blame = "caller"


class BadRequest(CallerError):
    """A parameter, header or body is not what the route takes."""


class Unauthorized(CallerError):
    """No key, or a key this server does not know."""

    code = "unauthorized"
    status = 401


class StreamNotFound(CallerError):
    """No stream has this id."""

    code = "stream_not_found"
    status = 404


class StreamExpired(CallerError):
    """The stream ended, its time to live is over and it was forgotten; its id starts nothing new."""

    code = "stream_expired"
    status = 410


class StreamExists(CallerError):
    """The id or idempotency key belongs to a stream that was started with another request (I15)."""

    code = "stream_exists"
    status = 409


class StreamLive(CallerError):
    """The stream has not ended, and what was asked for needs an ended one."""

    code = "stream_live"
    status = 409


class TooLarge(CallerError):
    """The body or the headers pass a limit; nothing was started."""

    code = "too_large"
    status = 413


class Forbidden(CallerError):
    """The request comes from where it must not come from: another host name or another site's page."""

    code = "forbidden"
    status = 403


class CursorError(CallerError):
    """
    The cursor does not belong to this log as it stands (I7).

    Args:
        message: For a person.
        head: The log's present end as cursor text.
    """

    code = "cursor_invalid"
    status = 409

    def __init__(self, message: str, *, head: str) -> None:
        super().__init__(message)
        self.head = head


class CursorForeign(CursorError):
    """The cursor's epoch is none of this log's."""

    code = "cursor_foreign"


class CursorAhead(CursorError):
    """The cursor stands behind the end of its epoch: the log it was read from is gone."""

    code = "cursor_ahead"


class Overloaded(StreamkeepError):
    """A limit of this server is reached; nothing was started."""

    code = "overloaded"
    status = 503
    retryable = True
    retry_after = 1.0


class ServerUnreachable(StreamkeepError):
    """A client cannot reach its server, or lost it and does not get it back."""

    code = "server_unreachable"
    status = 502
    retryable = True


class UpstreamError(StreamkeepError):
    """
    The model's API failed.

    Args:
        message: For a person, in our words.
        detail: What the upstream said, not cleared: it may repeat the prompt or the key, so it is shown only
            after `relay.clearance` looked at it.
        code: One of the stable codes of the subclass.
        kind: The vendor's error type, such as `overloaded_error`; `api_error` if unknown.
        status: The status the vendor gave, or the nearest that fits.
        retryable: Whether another try may help.
        retry_after: Seconds the upstream asked for.
    """

    code = "upstream_error"
    status = 502
    blame = "upstream"

    def __init__(
        self,
        message: str,
        *,
        detail: str = "",
        code: str | None = None,
        kind: str = "api_error",
        status: int | None = None,
        retryable: bool | None = None,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message, code=code)
        self.detail = detail
        self.kind = kind
        if status is not None:
            self.status = status
        if retryable is not None:
            self.retryable = retryable
        self.retry_after = retry_after


class UpstreamRefused(UpstreamError):
    """The model's API refused the request as such: bad request, key, permission, size."""

    code = "upstream_refused"


class UpstreamBusy(UpstreamError):
    """The model's API is overloaded, out of quota or failing on its side."""

    code = "upstream_overloaded"
    status = 529
    retryable = True


class UpstreamBroken(UpstreamError):
    """What came is not the stream that the API promises: truncated, malformed, too large, another type."""

    code = "upstream_broken"
    retryable = True


class UpstreamTimeout(UpstreamError):
    """A time limit on the upstream ran out."""

    code = "upstream_timeout"
    status = 504
    retryable = True


class UpstreamGone(UpstreamError):
    """The upstream cannot be reached, or the connection to it broke."""

    code = "upstream_unreachable"
    retryable = True


class StoreError(StreamkeepError):
    """The log could not do what was asked."""

    code = "store_error"
    status = 503
    blame = "store"


class Conflict(StoreError):
    """
    The log moved on: the append does not start right after its last entry.

    Args:
        message: For a person.
        head: The log's last `seq`.
    """

    code = "append_conflict"
    status = 409

    def __init__(self, message: str, *, head: int) -> None:
        super().__init__(message)
        self.head = head


class Fenced(StoreError):
    """The writer's fencing token is no longer the current one: another writer took the log."""

    code = "fenced"
    status = 409


class LeaseHeld(StoreError):
    """Another writer holds the log and its lease has not run out."""

    code = "lease_held"
    status = 409
    retryable = True


class StreamClosed(StoreError):
    """The stream has its ending; nothing can follow it (I3)."""

    code = "stream_closed"
    status = 409


class StoreInUse(StoreError):
    """Another process writes to this store."""

    code = "store_in_use"


class StoreFull(StoreError):
    """There is no space left for the log."""

    code = "store_full"
    status = 507


class StoreTooNew(StoreError):
    """The store was written by a later version of Streamkeep."""

    code = "store_too_new"


class StoreUnavailable(StoreError):
    """The store does not answer; nothing was written."""

    code = "store_unavailable"
    retryable = True
    retry_after = 1.0


class SseError(StreamkeepError):
    """Bytes that are no event stream within our bounds, or a field that must not be sent."""

    code = "sse_error"
    blame = "upstream"
    status = 502


class LineTooLong(SseError):
    """An unfinished line passed the decoder's limit."""

    code = "line_too_long"


class MessageTooLong(SseError):
    """The data of one message passed the decoder's limit."""

    code = "message_too_long"


class IllegalField(SseError):
    """A field with CR, LF or NUL in it would break the frame: what was to be sent is wrong, not what came."""

    code = "illegal_field"
    blame = "server"
    status = 500
