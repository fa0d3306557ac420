"""
Garbage in every place where a caller may put something: refused as the caller's fault, in our words, without harm.

Behind each case stand the same three questions: is it a 4xx with our error shape, does the server still serve, and is
a stream that runs beside it unharmed?
"""

import json
import re
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any
from urllib.parse import quote

import pytest

from tests.e2e.conftest import Serve
from tests.e2e.processes import Answer, ServerProcess
from tests.e2e.simulated import SimulatorThread

pytestmark = pytest.mark.e2e

MAX_BODY = 200_000
"""Bytes of a body that the server of this file takes."""

HANG_S = 5.0
"""Seconds without an answer that count as a hang."""

ONCE = "simulated-1?ttft_s=0&tokens_per_s=0"

TEXTS = [
    "-1",
    "0x1f",
    "1e9",
    "1_000",
    str(2**53),
    str(2**64),
    "9" * 5000,
    "²",
    "١٢",
    " 1",
    "1 ",
    "nan",
    "inf",
    "-0.0001",
    "\x00",
    "a.b.c",
    "abc.",
    ".5",
    "ÄÖÜ.1",
    "../../etc/passwd",
    "<script>",
    "%",
    "\r\nx-injected: 1",
    "\udcff",
    "💥",
    "a" * 30_000,
    "'; DROP TABLE streams; --",
    "{}",
    "null",
    "AAAA====",
    "W10",
    "WzEsMl0",
    "WzFlOTk5LCJ4Il0",
]
"""What a careless or hostile caller writes where a number, a name or a cursor is asked for."""


@pytest.fixture(scope="module")
def strict(serve: Serve, simulator: SimulatorThread) -> ServerProcess:
    """Give a server that takes small bodies only."""
    return serve("--max-body", str(MAX_BODY), upstream=simulator.base_url)


@pytest.fixture(scope="module")
def finished(strict: ServerProcess) -> str:
    id = strict.begin(ONCE)
    strict.ended(id)
    return id


@pytest.fixture(autouse=True)
def unharmed(strict: ServerProcess) -> Iterator[None]:
    """Run a stream beside each test, and look afterwards that it and the server are well."""
    logged = len(strict.log)
    id = strict.begin("simulated-1?ttft_s=0.05&tokens_per_s=300", "count to 30")
    yield
    shown = strict.ended(id, timeout_s=10)
    assert "completed" == shown["state"]
    assert "1, 2, 3" == shown["message"]["content"][0]["text"][:7]
    assert strict.ready()
    assert [] == [line for line in strict.log[logged:].splitlines() if "Traceback" in line or "Error" in line]


def expect_refusal(answer: Answer, *statuses: int) -> None:
    """It is the caller's fault, said in our shape."""
    assert answer.status in (statuses or range(400, 500)), (answer.status, answer.body[:300])
    error = answer.json
    assert "error" == error["type"]
    assert error["error"]["type"]
    assert error["error"]["code"]
    assert 5 < len(error["error"]["message"]) < 500
    assert error["request_id"] == answer.headers["request-id"]


def raw(server: ServerProcess, request: bytes, *, close: bool = False) -> Answer:
    """Send bytes; give the response as far as one came (status 0 for none)."""
    with socket.create_connection(("127.0.0.1", server.port), HANG_S) as connection:
        with suppress(ConnectionError):
            connection.sendall(request)
            if close:
                connection.shutdown(socket.SHUT_WR)
        received = b""
        with suppress(ConnectionError):
            while piece := connection.recv(65536):
                received += piece
                head, mark, body = received.partition(b"\r\n\r\n")
                headers = _headers(head)
                if mark and len(body) >= int(headers.get("content-length", "0")):
                    break
    if not received:
        return Answer(0, {}, b"")
    head, _, body = received.partition(b"\r\n\r\n")
    return Answer(int(head.split()[1]), _headers(head), body)


def _headers(head: bytes) -> dict[str, str]:
    lines = [line.decode("latin-1").partition(":") for line in head.split(b"\r\n")[1:]]
    return {name.lower(): value.strip() for name, _, value in lines}


def post(path: str, body: bytes, *headers: str) -> bytes:
    """Write a request by hand."""
    lines = [f"POST {path} HTTP/1.1", "host: 127.0.0.1", "content-type: application/json", *headers]
    return "\r\n".join([*lines, f"content-length: {len(body)}", "", ""]).encode("latin-1") + body


# ---------------------------------------------------------------------------------------------------------------------
# Queries, paths, headers


QUERIES = ["events?after={}", "events?wire={}", "events?catchup={}", "events?thinking={}", "events?follow={}"]


@pytest.mark.parametrize("query", [*QUERIES, "message?wait={}"])
def test_garbage_in_a_query_of_a_stream(strict: ServerProcess, finished: str, query: str) -> None:
    """I7, I10: what is no cursor, wire, choice or number of seconds is refused, never guessed, never a 500."""
    for text in TEXTS:
        answer = strict.call("GET", f"/v1/streams/{finished}/{query.format(_quoted(text))}", timeout_s=HANG_S)
        expect_refusal(answer, 400, 409)


@pytest.mark.parametrize("query", ["state={}", "limit={}", "page={}"])
def test_garbage_in_a_query_of_the_list(strict: ServerProcess, query: str) -> None:
    """I10: a list asked for with garbage is refused."""
    for text in TEXTS:
        answer = strict.call("GET", f"/v1/streams?{query.format(_quoted(text))}", timeout_s=HANG_S)
        expect_refusal(answer, 400)


@pytest.mark.parametrize("method, rest", [("GET", ""), ("GET", "/events"), ("GET", "/message"), ("DELETE", "")])
def test_garbage_in_place_of_an_id(strict: ServerProcess, method: str, rest: str) -> None:
    """An id that cannot be one is 400, one that could be is 404; neither reaches the disk or another route."""
    for text in TEXTS:
        if "/" not in text:
            answer = strict.call(method, f"/v1/streams/{_quoted(text)}{rest}", timeout_s=HANG_S)
            expect_refusal(answer, 400, 404, 405)


def test_garbage_in_place_of_an_id_to_stop(strict: ServerProcess) -> None:
    """I14: a stop for an id that cannot be one is refused and not remembered; one that could be is remembered."""
    possible = re.compile(r"[A-Za-z0-9_-]{1,64}", re.ASCII)
    for text in TEXTS:
        if "/" in text:
            continue
        answer = strict.call("POST", f"/v1/streams/{_quoted(text)}/cancel", timeout_s=HANG_S)
        if possible.fullmatch(text):
            assert 202 == answer.status
        else:
            expect_refusal(answer, 400)


def test_garbage_in_headers(strict: ServerProcess, finished: str) -> None:
    """I7, I15: a cursor, a key or a policy in a header is judged like any other input, whatever its bytes."""
    for text in TEXTS:
        value = text.encode("utf-8", "surrogateescape").replace(b"\r", b"").replace(b"\n", b"").replace(b"\0", b"")
        for name in (b"last-event-id", b"idempotency-key", b"x-streamkeep-policy", b"anthropic-beta"):
            body = json.dumps({"model": ONCE, "max_tokens": 9, "messages": [{"role": "user", "content": "Hi"}]})
            path = (
                b"/v1/streams/%b/events?follow=0" % finished.encode() if name == b"last-event-id" else b"/v1/messages"
            )
            head = b"%b %b HTTP/1.1\r\nhost: localhost\r\n" % (b"GET" if b"follow" in path else b"POST", path)
            more = b"content-type: application/json\r\ncontent-length: %d\r\n" % len(body)
            answer = raw(strict, head + name + b": " + value + b"\r\n" + more + b"\r\n" + body.encode())
            if answer.status not in (200, 204):
                expect_refusal(answer, 400, 409, 431)


def _quoted(text: str) -> str:
    return quote(text.encode("utf-8", "surrogateescape"), safe="")


# ---------------------------------------------------------------------------------------------------------------------
# Bodies


NO_OBJECTS = {
    "nothing": b"",
    "text": b"hello",
    "number": b"1",
    "null": b"null",
    "list": b"[]",
    "open": b'{"model": "x"',
    "two": b"{}{}",
    "nul": b'{"model": "\x00"}',
    "no-utf-8": b'{"model": "\xff\xfe"}',
    "utf-16": '{"model": "x"}'.encode("utf-16"),
    "bom": b'\xef\xbb\xbf{"model": "x"}',
    "deep-list": b"[" * 100_000,
    "deep-value": b'{"prompt": ' + b"[" * 90_000 + b"]" * 90_000 + b"}",
    "deep-object": b'{"a":' * 30_000 + b"1" + b"}" * 30_000,
    "deep-messages": b'{"model":"m","max_tokens":9,"messages":' + b"[" * 50_000 + b"]" * 50_000 + b"}",
    "lone-surrogate": b'{"model": "\\ud800", "max_tokens": 9, "messages": [{}]}',
    "huge-exponent": b'{"model": "m", "max_tokens": 1e999999, "messages": []}',
    "nan": b'{"model": "m", "max_tokens": NaN, "messages": []}',
}


@pytest.mark.parametrize("path", ["/v1/streams", "/v1/messages"])
@pytest.mark.parametrize("what", list(NO_OBJECTS))
def test_a_body_that_is_no_object(strict: ServerProcess, path: str, what: str) -> None:
    """A body that is no JSON object, or nested beyond reason, is refused before anything is started."""
    expect_refusal(strict.call("POST", path, NO_OBJECTS[what], timeout_s=HANG_S), 400)


WRONG: list[Any] = [None, True, 0, -1, 1.5, 10**30, 1e308, "", "x", "\x00", "💥" * 50, [], [[]], [None], {}, {"x": 1}]
"""Values of every type, one of which is wrong for any member."""

MEMBERS = (
    "id",
    "provider",
    "policy",
    "metadata",
    "prompt",
    "model",
    "messages",
    "max_tokens",
    "stream",
    "system",
    "tools",
    "thinking",
    "stop_sequences",
    "temperature",
)
POLICY = ("retries", "cancel_when_unwatched", "timeouts", "ttl", "on_break", "unknown")
TIMEOUTS = ("connect", "first_event", "idle", "content", "total", "unknown")


def bodies() -> Iterator[dict[str, Any]]:
    """Give a good request with one member wrong, for each member and each wrong value."""
    good = {"model": ONCE, "max_tokens": 50, "messages": [{"role": "user", "content": "count to 5"}]}
    for value in WRONG:
        yield from ({**good, member: value} for member in MEMBERS)
        yield from ({**good, "policy": {member: value}} for member in POLICY)
        yield from ({**good, "policy": {"timeouts": {member: value}}} for member in TIMEOUTS)


@pytest.mark.parametrize("path", ["/v1/streams", "/v1/messages"])
def test_a_wrong_type_for_each_member(strict: ServerProcess, path: str) -> None:
    """Each member of a start with each type of value: taken or refused, never a 500, and never a stream left open."""

    def send(body: dict[str, Any]) -> None:
        answer = strict.call("POST", path, {**body, "stream": body.get("stream", False)}, timeout_s=HANG_S)
        if answer.status >= 400:
            expect_refusal(answer)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(send, bodies()))
    listed = strict.call("GET", "/v1/streams?state=open,cancelling").json["data"]
    assert len(listed) <= 1, "only the stream that runs beside the test"


def test_texts_that_cannot_be_written_down(strict: ServerProcess) -> None:
    """Lone surrogates, NUL and unassigned characters in texts are refused, or kept as they are and given back."""
    for text in ('"\\ud800"', '"\\udc00\\ud800"', '"a\\u0000b"', '"\\uffff"', '"\\ufdd0"'):
        body = f'{{"model": "{ONCE}", "prompt": {text}, "metadata": {{"note": {text}}}}}'.encode()
        answer = strict.call("POST", "/v1/streams", body)
        if answer.status == 201:
            shown = strict.ended(answer.json["id"])
            assert json.loads(text) == shown["metadata"]["note"]
        else:
            expect_refusal(answer, 400)


# ---------------------------------------------------------------------------------------------------------------------
# HTTP itself


def test_a_body_over_the_limit(strict: ServerProcess) -> None:
    """I10: a body over the limit is 413 with the limit in the text: by its declared length, or as it comes."""
    big = json.dumps({"prompt": "x" * MAX_BODY}).encode()
    declared = strict.call("POST", "/v1/streams", big)
    chunk = b"%x\r\n%b\r\n" % (50_000, b"x" * 50_000)
    head = b"POST /v1/streams HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
    chunked = raw(strict, head + b"transfer-encoding: chunked\r\n\r\n" + 5 * chunk + b"0\r\n\r\n")
    unsent = raw(strict, head + b"content-length: 99999999999\r\n\r\n")

    for answer in (declared, chunked, unsent):
        expect_refusal(answer, 413)
        assert "body_too_large" == answer.code
        assert str(MAX_BODY) in answer.json["error"]["message"]


def test_lies_about_the_length(strict: ServerProcess) -> None:
    """A length that is none, two lengths, or one that is not kept: refused or dropped, and nothing is started."""
    before = strict.call("GET", "/v1/streams?limit=1").json["data"]
    body = b'{"prompt": "Hi"}'
    head = "POST /v1/streams HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
    lies = [
        "content-length: -5",
        "content-length: abc",
        "content-length: 5\r\ncontent-length: 16",
        "content-length: 1e3",
    ]
    for lie in [*lies, "content-length: 16\r\ntransfer-encoding: chunked", f"content-length: {'9' * 40}"]:
        answer = raw(strict, f"{head}{lie}\r\n\r\n".encode() + body, close=True)
        assert answer.status in (0, 400, 413), (lie, answer.status)
    short = raw(strict, f"{head}content-length: 500\r\n\r\n".encode() + body, close=True)
    bad_chunk = raw(strict, f"{head}transfer-encoding: chunked\r\n\r\nzz\r\n".encode() + body, close=True)

    assert {short.status, bad_chunk.status} <= {0, 400}
    assert before == strict.call("GET", "/v1/streams?limit=1").json["data"]


def test_headers_over_the_limit(strict: ServerProcess) -> None:
    """I10: headers over 32 KiB are 431; endless ones are dropped before they fill the memory."""
    expect_refusal(strict.call("GET", "/readyz", headers={"x-long": "x" * 40_000}), 431)
    endless = raw(strict, b"GET / HTTP/1.1\r\nhost: localhost\r\n" + b"x-more: yes\r\n" * 100_000)
    target = raw(strict, b"GET /" + b"x" * 200_000 + b" HTTP/1.1\r\nhost: localhost\r\n\r\n")

    assert {endless.status, target.status} <= {0, 400, 414, 431}


def test_a_slow_start_of_a_request_is_not_waited_for(strict: ServerProcess) -> None:
    """I10: who does not finish its headers is dropped after some seconds; many of them take nobody's place."""
    with socket.create_connection(("127.0.0.1", strict.port), 20) as slow:
        slow.sendall(b"GET /readyz HTT")
        began = time.monotonic()
        with suppress(ConnectionError):
            assert slow.recv(100) == b""

    assert time.monotonic() - began < 15


@pytest.mark.parametrize(
    "request_line",
    [b"GARBAGE", b"GET", b"FOO / HTTP/1.1", b"GET / HTTP/9.9", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc", b"\x00" * 50],
)
def test_bytes_that_are_no_http(strict: ServerProcess, request_line: bytes) -> None:
    """TLS on the plain port, binary and nonsense get a 400 or nothing."""
    assert raw(strict, request_line + b"\r\n\r\n", close=True).status in (0, 400)


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example", "localhost@evil.example", "[::2]", ""])
def test_another_hosts_name_is_refused(strict: ServerProcess, host: str) -> None:
    """A page that made its own name point to this machine gets nothing."""
    for path in ("/v1/streams", "/", "/readyz", "/openapi.json"):
        expect_refusal(raw(strict, f"GET {path} HTTP/1.1\r\nhost: {host}\r\n\r\n".encode()), 403)


@pytest.mark.parametrize(
    "origin", ["https://evil.example", "null", "http://127.0.0.1.evil.example", "http://localhost:1", "", "file://"]
)
def test_another_sites_page_is_refused(strict: ServerProcess, origin: str) -> None:
    """A page of another origin can neither start nor read, and is allowed nothing by CORS."""
    for method, path in (("POST", "/v1/streams"), ("GET", "/v1/streams"), ("OPTIONS", "/v1/streams")):
        answer = strict.call(method, path, headers={"origin": origin})
        expect_refusal(answer, 403)
        assert "access-control-allow-origin" not in answer.headers


def test_methods_and_routes_that_do_not_exist(strict: ServerProcess, finished: str) -> None:
    """What does not exist is 404, what exists under another method 405, both in our shape."""
    for method in ("PUT", "PATCH", "TRACE"):
        expect_refusal(strict.call(method, f"/v1/streams/{finished}"), 405)
    for path in (
        "/nope",
        "/v1",
        "/v1/streams/a/b/c",
        "//v1/streams",
        "/v1/../etc/passwd",
        "/page/%2e%2e/%2e%2e/app.py",
    ):
        expect_refusal(strict.call("GET", path), 404)
