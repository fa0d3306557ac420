"""A server's refusal becomes the error that a relay in this process would have raised."""

import json

import pytest

from streamkeep import errors
from streamkeep.client.refusals import MAX_TEXT, refusal


def told(code: str, message: str = "It is so.", **more: str) -> bytes:
    return json.dumps({"type": "error", "error": {"type": "x", "message": message, "code": code, **more}}).encode()


@pytest.mark.parametrize(
    "status, body, kind, code",
    [
        (404, told("stream_not_found"), errors.StreamNotFound, "stream_not_found"),
        (410, told("stream_expired"), errors.StreamExpired, "stream_expired"),
        (409, told("stream_live"), errors.StreamLive, "stream_live"),
        (400, told("cursor_malformed"), errors.BadRequest, "cursor_malformed"),
        (400, told("invalid_json"), errors.BadRequest, "invalid_json"),
        (401, told("unauthorized"), errors.Unauthorized, "unauthorized"),
        (403, told("host_not_allowed"), errors.Forbidden, "host_not_allowed"),
        (413, told("body_too_large"), errors.TooLarge, "body_too_large"),
        (503, told("shutting_down"), errors.Overloaded, "shutting_down"),
        (503, told("store_unavailable"), errors.Overloaded, "store_unavailable"),
        (500, told("internal_error"), errors.StreamkeepError, "internal_error"),
        (404, b"<html>nothing here</html>", errors.CallerError, "bad_request"),
        (502, b"", errors.StreamkeepError, "internal_error"),
    ],
)
def test_the_code_decides_and_else_the_status(
    status: int, body: bytes, kind: type[errors.StreamkeepError], code: str
) -> None:
    """The class is that of the code where a caller can do something about it; the status stays as it was sent."""
    error = refusal(status, {}, body)

    assert (kind, code, status) == (type(error), error.code, error.status)


@pytest.mark.parametrize("code, kind", [("cursor_ahead", errors.CursorAhead), ("cursor_foreign", errors.CursorForeign)])
def test_a_refused_cursor_says_where_the_log_stands(code: str, kind: type[errors.CursorError]) -> None:
    """I7: the reader can begin anew from what it is told."""
    error = refusal(409, {}, told(code, cursor="abc234.7"))

    assert type(error) is kind
    assert "abc234.7" == error.head


def test_what_may_come_later_can_be_tried_again() -> None:
    """By its status, and after the pause that the server asks for."""
    busy = refusal(503, {"retry-after": "7"}, told("overloaded"))
    wrong = refusal(400, {"retry-after": "Wed, 21 Oct 2026 07:28:00 GMT"}, told("bad_request"))

    assert (True, 7.0) == (busy.retryable, busy.retry_after)
    assert (False, None) == (wrong.retryable, wrong.retry_after)


def test_a_text_is_shown_up_to_a_limit() -> None:
    """I10: a foreign server cannot flood the terminal; one that says nothing is named as such."""
    assert "x" * MAX_TEXT == refusal(400, {}, told("bad_request", "x" * 10_000)).message
    assert "answered 502 without saying why" in refusal(502, {}, b"\xff").message
