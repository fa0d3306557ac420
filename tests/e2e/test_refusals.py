"""
An upstream that says no, breaks, hangs or lies: each with its own code, status and SDK error, and never with a secret.

What was asked of the upstream is counted on its side; what the key and the prompt are is searched for everywhere.
"""

import json
import sqlite3
import time
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import anthropic
import pytest

from tests.e2e.conftest import KEY, Serve
from tests.e2e.processes import ServerProcess, free_port
from tests.e2e.reading import read
from tests.e2e.scripted import ScriptedUpstream, response
from tests.e2e.simulated import SimulatorThread

pytestmark = pytest.mark.e2e

PROMPT = "My passphrase is PROMPTCANARY-73 and nobody else may read it. Now count to 40."
"""Sent with every request here; no error may repeat it."""

CANARIES = (KEY.encode(), b"SECRETCANARY", b"PROMPTCANARY")

LIMITS = ("--retries", "1", "--timeout-idle", "0.5", "--timeout-first-event", "0.6")

POLICY = {"timeouts": {"idle": 1.3, "content": 1.6}}
"""For an upstream that pings each second."""

QUICK = "ttft_s=0&tokens_per_s=0"


class Case(NamedTuple):
    """One way for an upstream to fail."""

    refuse: str
    code: str
    """Of the stream's ending."""
    status: int
    """Where nothing was sent yet."""
    error: type[anthropic.APIStatusError]
    """What the SDK raises for it."""
    requests: int
    """How many reach the provider, with one retry allowed."""
    visible: bool = False
    """Whether something of the answer was seen before."""


BEFORE = [
    Case("refuse=400", "upstream_refused", 400, anthropic.BadRequestError, 1),
    Case("refuse=401", "upstream_refused", 401, anthropic.AuthenticationError, 1),
    Case("refuse=403", "upstream_refused", 403, anthropic.PermissionDeniedError, 1),
    Case("refuse=404", "upstream_refused", 404, anthropic.NotFoundError, 1),
    Case("refuse=413", "upstream_refused", 413, anthropic.APIStatusError, 1),
    Case("refuse=429&retry_after=0.6", "upstream_rate_limited", 429, anthropic.RateLimitError, 2),
    Case("refuse=500", "upstream_overloaded", 500, anthropic.InternalServerError, 2),
    Case("refuse=529", "upstream_overloaded", 529, anthropic.InternalServerError, 2),
    Case("refuse=html", "upstream_bad_content_type", 502, anthropic.InternalServerError, 1),
    Case("refuse=error-first", "upstream_overloaded", 529, anthropic.InternalServerError, 2),
    Case("refuse=error-after:2", "upstream_overloaded", 529, anthropic.InternalServerError, 2),
    Case("refuse=truncate-after:0", "upstream_truncated", 502, anthropic.InternalServerError, 2),
    Case("refuse=truncate-after:2", "upstream_truncated", 502, anthropic.InternalServerError, 2),
    Case("refuse=reset-after:2", "upstream_reset", 502, anthropic.InternalServerError, 2),
    Case("refuse=stall-after:2", "upstream_idle_timeout", 504, anthropic.InternalServerError, 2),
    Case("ttft_s=30", "upstream_first_event_timeout", 504, anthropic.InternalServerError, 2),
]
"""Nothing of an answer was seen: tried again where that may help, and then answered with a status (I11)."""

AFTER = [
    Case("refuse=error-after:20", "upstream_overloaded", 529, anthropic.InternalServerError, 1, visible=True),
    Case("refuse=truncate-after:20", "upstream_truncated", 502, anthropic.InternalServerError, 1, visible=True),
    Case("refuse=reset-after:20", "upstream_reset", 502, anthropic.InternalServerError, 1, visible=True),
    Case("refuse=stall-after:20", "upstream_idle_timeout", 504, anthropic.InternalServerError, 1, visible=True),
    Case(
        "refuse=stall-pings-after:20", "upstream_content_timeout", 504, anthropic.InternalServerError, 1, visible=True
    ),
]
"""Part of an answer was seen: it is kept, and the failure is an event."""


class Witness:
    """Remembers everything that a server has said to anybody."""

    def __init__(self, server: ServerProcess) -> None:
        self.server = server
        self.heard: list[bytes] = []

    def hear(self, *said: object) -> None:
        self.heard += [each if isinstance(each, bytes) else repr(each).encode() for each in said]

    def expect_silence(self) -> None:
        """Nothing that was said, printed or written as an event holds the key or the prompt."""
        with sqlite3.connect(f"file:{self.server.store}?mode=ro", uri=True) as log:
            tables = [name for (name,) in log.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
            stored = [repr(row).encode() for name in tables for row in log.execute(f'SELECT * FROM "{name}"')]
        log.close()
        assert stored
        said = b"\n".join([*self.heard, self.server.log.encode()])
        assert [] == [canary for canary in CANARIES if canary in said]
        assert [] == [canary for canary in CANARIES[:2] if any(canary in row for row in stored)]


@pytest.fixture(scope="module")
def witness(serve: Serve, simulator: SimulatorThread) -> Iterator[Witness]:
    witness = Witness(serve(*LIMITS, "--log-level", "debug", upstream=simulator.base_url))
    yield witness
    witness.expect_silence()


@pytest.fixture(scope="module")
def client(witness: Witness) -> Iterator[anthropic.Anthropic]:
    with anthropic.Anthropic(base_url=witness.server.url, api_key="callers-own", max_retries=0, timeout=20) as client:
        yield client


def question() -> Any:
    return [{"role": "user", "content": PROMPT}]


def policy_for(model: str) -> dict[str, Any]:
    return {"policy": POLICY} if "pings" in model else {}


def ask(client: anthropic.Anthropic, model: str, *, streamed: bool) -> None:
    if streamed:
        with client.messages.stream(model=model, max_tokens=999, messages=question()) as stream:
            stream.get_final_message()
    else:
        client.messages.create(model=model, max_tokens=999, messages=question(), extra_body=policy_for(model))


def raised(witness: Witness, client: anthropic.Anthropic, model: str, *, streamed: bool) -> anthropic.APIStatusError:
    """Ask with the SDK; give what it raises."""
    with pytest.raises(anthropic.APIStatusError) as caught:
        ask(client, model, streamed=streamed)
    error = caught.value
    witness.hear(str(error), error.body, dict(error.response.headers))
    return error


def collect(client: anthropic.Anthropic, model: str, pieces: list[str]) -> None:
    """Stream a message; keep the pieces of its text as far as they came."""
    extra = policy_for(model)
    with client.messages.stream(model=model, max_tokens=999, messages=question(), extra_body=extra) as stream:
        pieces.extend(stream.text_stream)


def failed(witness: Witness, model: str) -> tuple[dict[str, Any], list[str]]:
    """Start on the native route; give the ending's error and the names of all entries."""
    server = witness.server
    body = {"model": model, "messages": question(), "max_tokens": 999, **policy_for(model)}
    answer = server.call("POST", "/v1/streams", body)
    id = answer.json["id"]
    shown = server.ended(id)
    native = read(server.url, f"/v1/streams/{id}/events")
    message = server.call("GET", f"/v1/streams/{id}/message")
    vendor = read(server.url, f"/v1/streams/{id}/events?wire=anthropic")
    witness.hear(
        answer.body, answer.headers, shown, native.raw, native.headers, message.body, message.headers, vendor.raw
    )
    assert "failed" == shown["state"]
    assert native.frames[-1].name == "stream.failed"
    assert json.loads(native.frames[-1].data)["error"] == shown["error"]
    assert message.status == shown["error"]["status"]
    assert vendor.frames[-1].name == "error"
    return dict(shown["error"]), [frame.name for frame in native.frames]


def count(simulator: SimulatorThread) -> int:
    return simulator.statistics().requests


# ---------------------------------------------------------------------------------------------------------------------
# Each failure, on each route


def named(case: Case) -> str:
    return case.refuse.removeprefix("refuse=")


@pytest.mark.parametrize("case", [*BEFORE, *AFTER], ids=named)
def test_a_stream_ends_with_its_code(witness: Witness, simulator: SimulatorThread, case: Case) -> None:
    """I3: the ending says by a stable code what the upstream did, whose fault it is, and what status it had."""
    before = count(simulator)
    error, names = failed(witness, f"simulated-1?{QUICK}&{case.refuse}")

    assert (case.code, case.status, "upstream") == (error["code"], error["status"], error["blame"])
    assert case.requests == count(simulator) - before == names.count("stream.attempt")
    assert case.visible == ("content_block_delta" in names)
    assert 1 >= names.count("message_start")


@pytest.mark.parametrize("streamed", [True, False], ids=["streamed", "whole"])
@pytest.mark.parametrize("case", BEFORE, ids=named)
def test_an_sdk_gets_the_status(
    witness: Witness, client: anthropic.Anthropic, simulator: SimulatorThread, case: Case, streamed: bool
) -> None:
    """I11: where nothing of an answer was seen the failure is a status, and so the SDK's own exception."""
    before = count(simulator)
    error = raised(witness, client, f"simulated-1?{QUICK}&{case.refuse}", streamed=streamed)

    assert (case.status, case.error) == (error.status_code, case.error if isinstance(error, case.error) else error)
    assert case.requests == count(simulator) - before
    assert error.response.headers["x-stream-id"].startswith("st_")
    if case.requests > 1:
        assert "false" == error.response.headers["x-should-retry"]


@pytest.mark.parametrize("case", AFTER, ids=named)
def test_an_sdk_gets_the_error_behind_the_partial(
    witness: Witness, client: anthropic.Anthropic, simulator: SimulatorThread, case: Case
) -> None:
    """I11, I12: after the first byte the failure is an event, so that no SDK takes the partial for the whole."""
    before = count(simulator)
    model = f"simulated-1?{QUICK}&{case.refuse}"
    pieces: list[str] = []
    with pytest.raises(anthropic.APIStatusError) as caught:
        collect(client, model, pieces)
    whole = raised(witness, client, model, streamed=False)

    witness.hear(str(caught.value), caught.value.body)
    assert "".join(pieces).startswith("1, 2, 3")
    assert case.status == whole.status_code
    assert 2 * case.requests == count(simulator) - before


def test_a_refusal_for_a_while_is_asked_again(witness: Witness, simulator: SimulatorThread) -> None:
    """A retry waits as long as the upstream asked for, and readers see one answer; both attempts are logged."""
    before = count(simulator)
    server = witness.server
    id = server.begin(f"simulated-1?{QUICK}&refuse=429&retry_after=0.8&refuse_times=1", PROMPT)
    shown = server.ended(id)
    names = [frame.name for frame in read(server.url, f"/v1/streams/{id}/events").frames]
    first, second = simulator.requests[-2:]

    assert ("completed", 2, 2) == (shown["state"], shown["attempts"], count(simulator) - before)
    assert 0.75 < second.started - first.started < 2.5
    assert (2, 1) == (names.count("stream.attempt"), names.count("message_start"))


def test_a_break_before_anything_is_seen_leaves_no_trace(witness: Witness, simulator: SimulatorThread) -> None:
    """An answer that broke after its first events, none of them visible, is made anew: one `message_start` is seen."""
    server = witness.server
    id = server.begin(f"simulated-1?{QUICK}&refuse=reset-after:2&refuse_times=1", PROMPT)
    shown = server.ended(id)
    names = [frame.name for frame in read(server.url, f"/v1/streams/{id}/events").frames]

    assert ("completed", 2) == (shown["state"], shown["attempts"])
    assert (2, 1, 1) == tuple(names.count(each) for each in ("stream.attempt", "message_start", "content_block_start"))


def test_an_answer_is_whole_at_its_last_event(witness: Witness, client: anthropic.Anthropic) -> None:
    """I3: `message_stop` ends an answer; an upstream that then keeps the connection open delays nobody."""
    began = time.monotonic()
    model = f"simulated-1?{QUICK}&refuse=hang-after-end"
    message = client.messages.create(model=model, max_tokens=999, messages=question())
    id = witness.server.begin(model, PROMPT)

    assert "completed" == witness.server.ended(id)["state"]
    assert "end_turn" == message.stop_reason
    assert time.monotonic() - began < 1


# ---------------------------------------------------------------------------------------------------------------------
# Upstreams that cannot be reached, or are none


def expect_unreachable(server: ServerProcess, witness: Witness) -> None:
    id = server.begin("any", PROMPT)
    shown = server.ended(id)
    with (
        anthropic.Anthropic(base_url=server.url, api_key="any", max_retries=0) as client,
        pytest.raises(anthropic.InternalServerError) as caught,
    ):
        client.messages.create(model="any", max_tokens=9, messages=question())
    witness.hear(shown, caught.value.body, server.log)

    assert ("upstream_unreachable", 502, 2) == (shown["error"]["code"], caught.value.status_code, shown["attempts"])


def test_nobody_listens(serve: Serve, witness: Witness) -> None:
    """A refused connection is told as such, after the retries."""
    expect_unreachable(serve(*LIMITS, upstream=f"http://127.0.0.1:{free_port()}"), witness)


def test_there_is_no_such_host(serve: Serve, witness: Witness) -> None:
    """A name that does not resolve is told as such, after the retries."""
    expect_unreachable(serve(*LIMITS, upstream="http://no-such-host.invalid"), witness)


@pytest.fixture(scope="module")
def scripted(serve: Serve) -> Iterator[tuple[ScriptedUpstream, Witness]]:
    with ScriptedUpstream(b"") as upstream:
        witness = Witness(serve(*LIMITS, "--log-level", "debug", upstream=upstream.base_url))
        yield upstream, witness
        witness.expect_silence()


STREAM = "text/event-stream"

LIES: dict[str, tuple[Callable[[str], bytes], str]] = {
    "redirect": (
        lambda target: response("302 Found", b"", headers=f"location: {target}/v1/messages\r\n"),
        "upstream_bad_redirect",
    ),
    "not-http": (lambda _: b"SSH-2.0-OpenSSH_9.9\r\n", "upstream_broken"),
    "nothing": (lambda _: b"", "upstream_unreachable"),
    "no-json": (lambda _: response("200 OK", b"event: message_start\ndata: {\n\n", STREAM), "upstream_malformed"),
    "no-json-error": (lambda _: response("500 Oh", b"<html>Oh</html>", "text/html"), "upstream_overloaded"),
    "other-name": (
        lambda _: response("200 OK", b'event: message_stop\ndata: {"type":"ping"}\n\n', STREAM),
        "upstream_malformed",
    ),
    "our-name": (
        lambda _: response("200 OK", b'event: stream.completed\ndata: {"type":"stream.completed"}\n\n', STREAM),
        "upstream_malformed",
    ),
    "bad-utf-8": (
        lambda _: response("200 OK", b'event: ping\ndata: {"type":"ping\xff"}\n\n', STREAM),
        "upstream_truncated",
    ),
    "short-body": (
        lambda _: response("200 OK", b"", STREAM).replace(b"content-length: 0", b"content-length: 99"),
        "upstream_truncated",
    ),
}


@pytest.mark.parametrize("lie", list(LIES))
def test_an_upstream_that_is_none(
    scripted: tuple[ScriptedUpstream, Witness], simulator: SimulatorThread, lie: str
) -> None:
    """I3: whatever answers in the model's place ends the stream as failed, by name; no redirect is followed."""
    upstream, witness = scripted
    before = count(simulator)
    make, code = LIES[lie]
    upstream.reply = make(simulator.base_url)
    error, names = failed(witness, "any")

    assert code == error["code"]
    assert "message_start" not in names
    assert before == count(simulator)


ECHOES = {
    "the-key": ("401 No", KEY),
    "part-of-the-key": ("401 No", KEY[-12:]),
    "the-prompt": ("400 No", PROMPT),
    "part-of-the-prompt": ("400 No", f"messages.0: {PROMPT[18:44]!r} is not allowed"),
    "both-while-busy": ("529 No", f"{PROMPT} {KEY}"),
}


@pytest.mark.parametrize("echo", list(ECHOES))
def test_an_upstream_that_repeats_secrets(scripted: tuple[ScriptedUpstream, Witness], echo: str) -> None:
    """What an upstream says of the key or the prompt is not shown: in no status, event, header or log line."""
    upstream, witness = scripted
    status, said = ECHOES[echo]
    body = json.dumps({"type": "error", "error": {"type": "api_error", "message": said}}).encode()
    for reply in (
        response(status, body, headers=f"retry-after: {KEY}\r\nanthropic-ratelimit-note: {KEY}\r\n"),
        response("200 OK", b"event: error\ndata: " + body + b"\n\n", STREAM),
    ):
        upstream.reply = reply
        failed(witness, "any")
        with anthropic.Anthropic(base_url=witness.server.url, api_key="callers-own", max_retries=0) as client:
            for streamed in (True, False):
                raised(witness, client, "any", streamed=streamed)

    witness.expect_silence()


def test_the_upstream_gets_the_key_and_the_prompt(scripted: tuple[ScriptedUpstream, Witness]) -> None:
    """What is hidden from everybody else did reach the upstream, and nothing of the caller's own key did."""
    upstream, witness = scripted
    upstream.reply = response("400 No", b"{}")
    with anthropic.Anthropic(base_url=witness.server.url, api_key="callers-own", max_retries=0) as client:
        raised(witness, client, "any", streamed=True)
    request = upstream.requests[-1]

    assert f"x-api-key: {KEY}".encode() in request
    assert PROMPT.encode() in request
    assert b"callers-own" not in request
