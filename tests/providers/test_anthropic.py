"""Reading and asking the Messages API: our vectors, every recording, and a table of everything that can go wrong."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamkeep.entry import Event
from streamkeep.errors import BadRequest, UpstreamBroken, UpstreamBusy, UpstreamError, UpstreamRefused
from streamkeep.providers.anthropic import PASSED_HEADERS, PROVIDER, STATUSES, VERSION, AnthropicParser
from streamkeep.providers.base import MAX_DETAIL_CHARACTERS
from streamkeep.sse import Decoder, SseMessage
from streamkeep.testing.check_provider import REQUEST, Vector, check_provider, check_reading, error_bodies, read_vectors
from tests.recordings import ROOT, Recording, anthropic_recordings, needs_recordings

VECTORS = read_vectors(ROOT / "spec" / "vectors" / "anthropic")

SPLICED = "ai__spliced-message-start"
"""A recording in which a proxy joined two answers; written by hand by its authors."""

WHOLE = [each for each in anthropic_recordings() if str(each) != SPLICED]

START = SseMessage("message_start", b'{"type":"message_start","message":{}}', "")
STOP = SseMessage("message_stop", b'{"type":"message_stop"}', "")


def failure(status: int, body: bytes = b"", **headers: str) -> UpstreamError:
    """Classify a response; underscores in the headers' names stand for hyphens."""
    return PROVIDER.failure(status, {name.replace("_", "-"): value for name, value in headers.items()}, body)


def error_json(kind: object, message: object = "Their words") -> bytes:
    """Give an error as the API writes it."""
    return json.dumps({"type": "error", "error": {"type": kind, "message": message}, "request_id": "req_1"}).encode()


def parse(messages: list[SseMessage]) -> tuple[AnthropicParser, list[Event]]:
    """Feed a new parser."""
    parser = PROVIDER.parser()
    return parser, parser.feed(messages)


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector.name)
def test_a_body_gives_the_events_of_its_vector(vector: Vector) -> None:
    """I8: whole, byte by byte, cut in two anywhere, and cut at random."""
    check_reading(PROVIDER, vector)


def test_it_keeps_the_promises_of_a_provider() -> None:
    """I3, I8: what every provider promises, over all vectors and their damaged forms."""
    check_provider(PROVIDER, VECTORS)


@pytest.mark.parametrize("recording", WHOLE, ids=str)
def test_a_recorded_answer_is_kept_byte_for_byte(recording: Recording) -> None:
    """I2, I3: the events are the payloads as they came, pings aside; the answer ends where the API said so."""
    expected = [payload for payload in recording.payloads() if json.loads(payload)["type"] != "ping"]

    parser, events = parse(Decoder().feed(recording.sse_bytes()))

    assert expected == [event.data for event in events]
    assert [json.loads(payload)["type"] for payload in expected] == [event.name for event in events]
    assert (True, None) == (parser.ended, parser.failure)


@pytest.mark.parametrize("recording", WHOLE, ids=str)
def test_a_recorded_answer_that_is_cut_is_never_complete(recording: Recording) -> None:
    """I3: without its last event it is not complete, and not broken either: more could come."""
    messages = Decoder().feed(recording.sse_bytes())

    for count in {0, 1, len(messages) // 2, len(messages) - 1}:
        parser, _ = parse(messages[:count])
        assert (False, None) == (parser.ended, parser.failure)


@needs_recordings
def test_a_recorded_splice_of_two_answers_is_malformed() -> None:
    """I3: what came before the second beginning is kept, and the whole is no answer."""
    recording = next(each for each in anthropic_recordings() if str(each) == SPLICED)
    payloads = recording.payloads()
    second = [json.loads(payload)["type"] for payload in payloads].index("message_start", 1)

    parser, events = parse(Decoder().feed(recording.sse_bytes()))

    assert [each for each in payloads[:second] if json.loads(each)["type"] != "ping"] == [each.data for each in events]
    assert parser.failure is not None
    assert (False, "upstream_malformed") == (parser.ended, parser.failure.code)


@pytest.mark.parametrize("kind, status", STATUSES.items())
def test_an_error_in_mid_stream_has_the_status_of_its_type(kind: str, status: int) -> None:
    """After a 200 the status is gone; the type tells which it would have been."""
    parser, events = parse([START, SseMessage("error", error_json(kind), "")])
    expected = failure(status, error_json(kind))

    assert [Event("message_start", START.data)] == events
    assert parser.failure is not None
    assert (type(expected), vars(expected)) == (type(parser.failure), vars(parser.failure))


@pytest.mark.parametrize("event", ["error", "message", "message_stop"])
def test_an_error_is_an_error_under_any_name(event: str) -> None:
    """I3: an answer that says it broke is never complete."""
    parser, _ = parse([START, SseMessage(event, error_json("overloaded_error"), "")])

    assert parser.failure is not None
    assert (False, 529, "Their words") == (parser.ended, parser.failure.status, parser.failure.detail)


TABLE = {
    400: ("invalid_request_error", UpstreamRefused, False),
    401: ("authentication_error", UpstreamRefused, False),
    402: ("billing_error", UpstreamRefused, False),
    403: ("permission_error", UpstreamRefused, False),
    404: ("not_found_error", UpstreamRefused, False),
    405: ("invalid_request_error", UpstreamRefused, False),
    408: ("invalid_request_error", UpstreamRefused, True),
    409: ("conflict_error", UpstreamRefused, True),
    413: ("request_too_large", UpstreamRefused, False),
    422: ("invalid_request_error", UpstreamRefused, False),
    429: ("rate_limit_error", UpstreamBusy, True),
    500: ("api_error", UpstreamBusy, True),
    501: ("api_error", UpstreamBusy, True),
    502: ("api_error", UpstreamBusy, True),
    503: ("api_error", UpstreamBusy, True),
    504: ("timeout_error", UpstreamBusy, True),
    520: ("api_error", UpstreamBusy, True),
    529: ("overloaded_error", UpstreamBusy, True),
}
"""Status → error type where the body names none, class, and whether another try may help (as the SDKs see it)."""


@pytest.mark.parametrize("status", TABLE)
@pytest.mark.parametrize("body", [b"", b"<html>", b'{"error":null}', b'{"error":{"type":5}}', b"\xff"], ids=repr)
def test_a_status_alone_is_classified(status: int, body: bytes) -> None:
    """A proxy between us and the API knows nothing of its error types."""
    kind, expected, retryable = TABLE[status]

    error = failure(status, body)

    assert (expected, kind, status, retryable) == (type(error), error.kind, error.status, error.retryable)
    assert f"({status} {kind})" in error.message


@pytest.mark.parametrize("status", [100, 200, 204, 301, 399, 600, 999])
def test_what_is_neither_answer_nor_error_is_broken(status: int) -> None:
    """I11: its status is not passed on: nobody could make sense of a redirect to nowhere, or of a 204 with a body."""
    error = failure(status, error_json("overloaded_error"))

    assert isinstance(error, UpstreamBroken)
    assert ("upstream_bad_status", 502, False) == (error.code, error.status, error.retryable)
    assert f"status {status}" in error.message


@pytest.mark.parametrize("said, retryable", [("true", True), ("false", False), ("", None), ("TRUE", None), ("1", None)])
@pytest.mark.parametrize("status", [400, 429, 500])
def test_the_vendor_decides_whether_to_try_again(status: int, said: str, retryable: bool | None) -> None:
    """`x-should-retry` wins over the status if it says `true` or `false` (anthropic 2.10.0, `_base_client.py`)."""
    error = failure(status, x_should_retry=said)

    assert (TABLE[status][2] if retryable is None else retryable) == error.retryable


def test_the_pause_asked_for_is_kept() -> None:
    """Seconds, milliseconds or a date; garbage is none."""
    assert 7.0 == failure(429, retry_after="7").retry_after
    assert 0.25 == failure(529, retry_after_ms="250").retry_after
    until, date = "Fri, 20 Nov 2026 07:00:30 GMT", "Fri, 20 Nov 2026 07:00:00 GMT"
    assert 30.0 == failure(503, retry_after=until, date=date).retry_after
    assert failure(429, retry_after="nan").retry_after is None


@pytest.mark.parametrize(
    "body, detail",
    [
        (error_json("api_error", "Their words"), "Their words"),
        (b'{"error":"Their words"}', "Their words"),
        (b'{"message":"Their words"}', "Their words"),
        (b"  Their words\n", "Their words"),
        (b"Their \xff words", "Their \ufffd words"),
        (error_json("api_error", None), ""),
        (error_json("api_error", ["a"]), ""),
        (b"<html>502 Bad Gateway</html>", ""),
        (b'{"error":{"type":"api_error","mess', ""),
        (b"[1]", ""),
        (b"[" * 60_000, ""),
        (error_json("api_error", "x" * 60_000), "x" * MAX_DETAIL_CHARACTERS),
        (b"y" * 60_000, "y" * MAX_DETAIL_CHARACTERS),
    ],
    ids=lambda value: repr(value[:40]),
)
def test_the_vendors_words_are_found_in_any_form(body: bytes, detail: str) -> None:
    """I10: bounded, and only what people can read: no page of a proxy, no cut-off JSON."""
    assert detail == failure(500, body).detail


@pytest.mark.parametrize(
    "told, kind",
    [
        ("memory_path_conflict_error", "memory_path_conflict_error"),
        ("tide_error", "tide_error"),
        ("request_too_large", "request_too_large"),
        ("Throttling", "api_error"),
        ("the prompt said hello", "api_error"),
        ("sk-ant-key_error", "api_error"),
        ("x" * 59 + "_error", "api_error"),
        ("tide_error\n", "api_error"),
        (None, "api_error"),
    ],
)
def test_an_error_type_is_kept_if_it_looks_like_one(told: object, kind: str) -> None:
    """It is shown without clearance, so it must not be a way to repeat the prompt."""
    assert kind == failure(500, error_json(told)).kind


def test_a_type_we_do_not_know_is_not_in_our_words() -> None:
    """Law 2: the message is in our words alone."""
    error = failure(500, error_json("tide_error", "Their words"))

    assert ("The model's API is not able to answer now (500).", "Their words") == (error.message, error.detail)


@given(st.lists(st.sampled_from([*b'{}[]":,\\', *b"type"]).map(lambda byte: bytes([byte])), max_size=40).map(b"".join))
def test_no_payload_raises(data: bytes) -> None:
    """Law 1: what is wrong with an answer becomes its failure."""
    parser, events = parse([START, SseMessage("content_block_stop", data, ""), STOP])

    assert 1 <= len(events) <= 3
    assert parser.ended == (parser.failure is None)


def test_a_call_asks_for_a_stream_in_the_callers_own_words() -> None:
    """The body goes on as it was written, only `stream` is set."""
    call = PROVIDER.call(REQUEST, {})

    assert "/v1/messages" == call.path
    assert {**REQUEST, "stream": True} == json.loads(call.body)
    assert {"content-type": "application/json", "anthropic-version": VERSION} == call.headers


def test_the_callers_version_and_betas_reach_the_vendor() -> None:
    """And nothing else of its headers."""
    given = {"anthropic-version": "2026-10-21", "anthropic-beta": "a,b", "x-api-key": "k", "x-stainless-lang": "js"}

    call = PROVIDER.call(REQUEST, given)

    assert {name: given[name] for name in PASSED_HEADERS} | {"content-type": "application/json"} == call.headers


@pytest.mark.parametrize("member", ["model", "messages", "max_tokens"])
@pytest.mark.parametrize("change", ["missing", "null"])
def test_a_request_without_what_the_api_needs_is_refused(member: str, change: str) -> None:
    """I11: in the API's own words, and before anybody is asked."""
    request: dict[str, Any] = {**REQUEST, member: None}
    if change == "missing":
        del request[member]

    with pytest.raises(BadRequest, match=f"^{member}: Field required$"):
        PROVIDER.call(request, {})


def test_the_key_travels_in_its_own_header() -> None:
    """As every version of the API takes it."""
    assert {"x-api-key": "sk-1"} == PROVIDER.authorization("sk-1")


def test_models_are_asked_for_in_one_page() -> None:
    """Without a body, which would make some proxies refuse a GET."""
    call = PROVIDER.models_call()

    assert ("/v1/models?limit=1000", b"", {"anthropic-version": VERSION}) == (call.path, call.body, call.headers)


def test_a_list_of_models_is_read_as_it_is() -> None:
    """Members that we do not know stay."""
    model = {"type": "model", "id": "claude-x", "display_name": "X", "created_at": "2026-01-01T00:00:00Z", "new": 1}

    assert [model] == PROVIDER.models(json.dumps({"data": [model], "has_more": False}).encode())


@pytest.mark.parametrize("body", [b"", b"{}", b'{"data":5}', b'{"data":[5]}', b"\xff", b'{"data":[' + b"[" * 60_000])
def test_a_list_that_cannot_be_read_is_the_upstreams_fault(body: bytes) -> None:
    """By name, whatever it is instead."""
    with pytest.raises(UpstreamBroken, match="list of models"):
        PROVIDER.models(body)


@pytest.mark.parametrize("body", error_bodies(), ids=lambda body: repr(body[:30]))
@pytest.mark.parametrize("event", ["error", "content_block_delta"])
def test_no_body_of_an_error_raises_in_mid_stream(event: str, body: bytes) -> None:
    """Law 1: the same bodies that come with a status can come as an event."""
    parser, _ = parse([START, SseMessage(event, body, "")])

    assert (parser.failure is None) == (body == b"")
