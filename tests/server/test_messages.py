"""The Messages API's own routes, as an SDK uses them."""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from streamkeep.relay.pulse import BEAT_S
from streamkeep.testing.fake_upstream import Fault
from tests.relay.scripted import (
    CLOSING,
    MESSAGE_START,
    OPENING,
    Script,
    Wait,
    delta,
    overloaded,
    whole,
)
from tests.server.asking import Exchange
from tests.server.conftest import Hall

pytestmark = pytest.mark.anyio

Maker = Callable[..., Awaitable[Hall]]

ASKED: dict[str, Any] = {"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": "x"}]}


async def ask(hall: Hall, **members: Any) -> Exchange:
    return await hall.ask("POST", "/v1/messages", {**ASKED, **members})


async def test_a_stream_is_the_vendors_events_with_their_own_bytes(hall: Maker) -> None:
    """I8: payloads reach an SDK as the vendor sent them; the id of the stream stands in the headers."""
    opened = await hall(Script([whole("a", "b")], headers={"anthropic-ratelimit-requests-remaining": "4"}))

    answer = await ask(opened, stream=True)

    payloads = [line for line in answer.body.split(b"\n") if line.startswith(b"data: ")]
    assert [line for line in whole("a", "b").split(b"\n") if line.startswith(b"data: ")] == payloads
    assert (200, "4", True) == (answer.status, answer.headers["anthropic-ratelimit-requests-remaining"], answer.whole)
    assert (await opened.ask("GET", f"/v1/streams/{answer.headers['x-stream-id']}")).status == 200


async def test_a_message_is_given_whole(hall: Maker) -> None:
    """Without `stream` the answer is the message."""
    opened = await hall(whole("a", "b"))

    answer = await ask(opened)

    assert (200, "ab", "end_turn") == (answer.status, answer.json["content"][0]["text"], answer.json["stop_reason"])


@pytest.mark.parametrize("streamed", [False, True])
async def test_a_refusal_is_a_status_where_nothing_was_sent(hall: Maker, streamed: bool) -> None:
    """I11: an SDK raises its own error for it, and need not repeat what the relay has repeated."""
    body = b'{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}'
    opened = await hall(Script([body], status=529))

    answer = await ask(opened, stream=streamed)

    assert (529, "overloaded_error", "upstream_overloaded") == (
        answer.status,
        answer.json["error"]["type"],
        answer.json["error"]["code"],
    )
    assert "false" == answer.headers["x-should-retry"]
    assert answer.headers["request-id"] == answer.json["request_id"]
    assert "x-stream-id" in answer.headers


async def test_a_refusal_that_was_not_repeated_leaves_the_choice_to_the_sdk(hall: Maker) -> None:
    """`x-should-retry` is set only where the relay has tried already."""
    opened = await hall(Script([b"{}"], status=400))

    answer = await ask(opened, stream=True)

    assert (400, False) == (answer.status, "x-should-retry" in answer.headers)


async def test_after_the_first_word_an_error_is_an_event(hall: Maker) -> None:
    """I11: the status has left, so the error comes as the vendor's own event."""
    opened = await hall(Script([OPENING + delta("a"), Wait(1), overloaded()]))

    answer = await ask(opened, stream=True)

    assert (200, True) == (answer.status, answer.whole)
    assert b"event: error\n" in answer.body
    assert b'"overloaded_error"' in answer.body


async def test_a_broken_answer_without_streaming_is_its_status(hall: Maker) -> None:
    """I3: a part is never given as the whole."""
    opened = await hall(Script([OPENING + delta("a")]))

    answer = await ask(opened)

    assert (502, "upstream_truncated") == (answer.status, answer.json["error"]["code"])


async def test_the_headers_wait_no_longer_than_the_first_word_may_take(hall: Maker) -> None:
    """I11, I13: after `first_word` seconds the stream opens, and what goes wrong later is an event."""
    opened = await hall(Script([MESSAGE_START, Wait(30), delta("a")]), first_word=10)
    answer = opened.begin("POST", "/v1/messages", {**ASKED, "stream": True})
    began = opened.clock.time
    while not answer.status:
        await opened.clock.advance(0.1)

    assert 10 == pytest.approx(opened.clock.time - began, abs=0.2)
    await answer.task
    assert b"event: error\n" in answer.body


async def test_a_stopped_message_is_a_conflict(hall: Maker) -> None:
    """I14: who waits for the whole is told that there is none."""
    opened = await hall(Script([OPENING + delta("a"), Fault.HANG]))
    answer = opened.begin("POST", "/v1/messages", ASKED)
    await opened.clock.advance(1)
    await opened.ask("POST", f"/v1/streams/{next(iter(opened.relay.producers))}/cancel")
    await answer.task

    assert (409, "stream_cancelled", "false") == (
        answer.status,
        answer.json["error"]["code"],
        answer.headers["x-should-retry"],
    )


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize("visible", [False, True])
async def test_a_disconnect_is_the_only_stop_that_an_sdk_has(
    hall: Maker, streamed: bool, visible: bool, caplog: pytest.LogCaptureFixture
) -> None:
    """I6: nobody watches, so after the grace time nobody pays; and leaving is no error of the server."""
    script = Script([OPENING + delta("a"), Wait(50), delta("b"), Wait(50), CLOSING] if visible else [Wait(100)])
    opened = await hall(script, unwatched_grace=20)
    answer = opened.begin("POST", "/v1/messages", {**ASKED, "stream": streamed})
    await opened.clock.advance(2)
    id = next(iter(opened.relay.producers))

    answer.leave()
    await answer.task
    await opened.clock.advance(19)
    before = (await opened.relay.head(id)).state.value
    await opened.clock.advance(1 + 2 * BEAT_S)

    assert ("open", "cancelled") == (before, (await opened.relay.head(id)).state.value)
    assert "" == caplog.text


async def test_a_policy_comes_in_the_body_or_a_header(hall: Maker) -> None:
    """The upstream sees neither."""
    opened = await hall(Script([b"{}"], status=529))

    body = await ask(opened, policy={"retries": 0})
    header = await opened.ask("POST", "/v1/messages", ASKED, headers={"x-streamkeep-policy": '{"retries":1}'})
    bad = await opened.ask("POST", "/v1/messages", ASKED, headers={"x-streamkeep-policy": "{"})

    assert ([529, 529, 400], 3) == ([body.status, header.status, bad.status], len(opened.upstream.calls))
    assert all(b"policy" not in call.body for call in opened.upstream.calls)


async def test_only_the_vendors_headers_go_to_the_vendor(hall: Maker) -> None:
    """Keys, cookies and names of this server's callers stay here."""
    opened = await hall(whole("a"))
    headers = {"anthropic-beta": "b1", "x-api-key": "callers", "cookie": "c=1", "authorization": "Bearer x"}

    await opened.ask("POST", "/v1/messages", ASKED, headers=headers)

    sent = opened.upstream.calls[0].headers
    assert "b1" == sent["anthropic-beta"]
    assert not {"x-api-key", "cookie", "authorization"} & set(sent)


@pytest.mark.parametrize("missing", ["model", "messages"])
async def test_what_the_vendor_would_refuse_is_refused_here(hall: Maker, missing: str) -> None:
    """A request that cannot work costs no call."""
    opened = await hall(whole("a"))

    answer = await ask(opened, **{missing: None})

    assert (400, "invalid_request_error", []) == (answer.status, answer.json["error"]["type"], opened.upstream.calls)
    assert missing in answer.json["error"]["message"]


async def test_a_repeated_key_gives_the_first_answer(hall: Maker) -> None:
    """I15: an SDK that repeats its request after a lost reply pays once."""
    opened = await hall(whole("a"), whole("b"))

    answers = [await opened.ask("POST", "/v1/messages", ASKED, headers={"idempotency-key": "k"}) for _ in range(3)]

    assert {"a"} == {answer.json["content"][0]["text"] for answer in answers}
    assert 1 == len(opened.upstream.calls)


async def test_models_are_listed_as_the_vendor_lists_them(hall: Maker) -> None:
    """An SDK's `models.list()` works, also where there are none."""
    opened = await hall(Script([b'{"data":[{"id":"a"},{"id":"b"}]}']), Script([b'{"data":[]}']))

    some, none = [await opened.ask("GET", "/v1/models") for _ in range(2)]

    assert {"data": [{"id": "a"}, {"id": "b"}], "has_more": False, "first_id": "a", "last_id": "b"} == some.json
    assert {"data": [], "has_more": False, "first_id": None, "last_id": None} == none.json


async def test_a_long_first_answer_has_its_word_though_the_window_moved_on(hall: Maker) -> None:
    """A replay of a stream whose beginning left the memory is not waited for."""
    opened = await hall(Script([OPENING, delta("x" * 200_000), delta("y" * 200_000), Wait(30), CLOSING]))
    key = {"idempotency-key": "k"}
    first = opened.begin("POST", "/v1/messages", {**ASKED, "stream": True}, headers=key)
    await opened.clock.advance(1)

    second = opened.begin("POST", "/v1/messages", {**ASKED, "stream": True}, headers=key)
    await opened.clock.advance(1)

    assert 200 == second.status
    await first.task
    await second.task
    assert first.body.replace(b": heartbeat\n", b"") == second.body.replace(b": heartbeat\n", b"")
