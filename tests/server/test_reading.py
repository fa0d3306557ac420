"""The routes that read one stream."""

from collections.abc import Awaitable, Callable

import pytest

from tests.relay.scripted import CLOSING, MESSAGE_START, OPENING, THINKING_START, Script, Wait, delta, sse, whole
from tests.server.conftest import Hall

pytestmark = pytest.mark.anyio

Maker = Callable[..., Awaitable[Hall]]


async def begin(hall: Hall) -> str:
    """Start a stream called `s` and let a second pass."""
    await hall.ask("POST", "/v1/streams", {"prompt": "x", "id": "s"})
    await hall.clock.advance(1)
    cursor: str = (await hall.ask("GET", "/v1/streams/s")).json["cursor"]
    return cursor


async def test_a_reader_who_has_it_all_is_told_not_to_come_back(hall: Maker) -> None:
    """I12: 204 ends an EventSource; the cursor may come in the header or in the query."""
    opened = await hall(whole("a"))
    cursor = await begin(opened)

    by_header = await opened.ask("GET", "/v1/streams/s/events", headers={"last-event-id": cursor})
    by_query = await opened.ask("GET", f"/v1/streams/s/events?after={cursor}")
    before = await opened.ask("GET", "/v1/streams/s/events?after=3")

    assert ([204, 204, 200], b"") == ([by_header.status, by_query.status, before.status], by_header.body)
    assert ("no-store", "s") == (by_header.headers["cache-control"], by_header.headers["x-stream-id"])


async def test_the_header_goes_before_the_query(hall: Maker) -> None:
    """An EventSource keeps its first URL and sends its later position beside it; an empty one is the beginning."""
    opened = await hall(whole("a"))
    cursor = await begin(opened)

    later = await opened.ask("GET", "/v1/streams/s/events?after=1", headers={"last-event-id": cursor})
    empty = await opened.ask("GET", f"/v1/streams/s/events?after={cursor}", headers={"last-event-id": ""})

    assert (204, 200) == (later.status, empty.status)


@pytest.mark.parametrize(
    "cursor, status, code",
    [
        ("zzzzzz.3", 409, "cursor_foreign"),
        ("99", 409, "cursor_ahead"),
        ("-1", 400, "cursor_malformed"),
        ("%D9%A3", 400, "cursor_malformed"),
        ("1%00", 400, "cursor_malformed"),
        ("9" * 400, 400, "cursor_malformed"),
    ],
)
async def test_a_wrong_cursor_is_refused_with_the_right_one(hall: Maker, cursor: str, status: int, code: str) -> None:
    """I7: a status before the first byte, with the log's own position where there is one."""
    opened = await hall(whole("a"))
    head = await begin(opened)

    answer = await opened.ask("GET", f"/v1/streams/s/events?after={cursor}")

    assert (status, code) == (answer.status, answer.json["error"]["code"])
    assert (head if status == 409 else None) == answer.json["error"].get("cursor")


@pytest.mark.parametrize("query", ["wire=x", "thinking=x", "catchup=x", "follow=x", "wire=__init__", "wire=../base"])
async def test_a_view_that_does_not_exist_is_named(hall: Maker, query: str) -> None:
    """I11: what may be asked for is checked before the stream is looked for."""
    opened = await hall(whole("a"))

    answer = await opened.ask("GET", f"/v1/streams/nobody/events?{query}")

    assert 400 == answer.status
    assert query.partition("=")[0] in answer.json["error"]["message"]


async def test_a_view_hides_thinking_merges_and_does_not_follow(hall: Maker) -> None:
    """The options of a reading do what they are called."""
    thinking = sse("content_block_delta", index=0, delta={"type": "thinking_delta", "thinking": "hm"})
    opened = await hall(Script([MESSAGE_START + THINKING_START + thinking, delta("a"), delta("b"), Wait(9), CLOSING]))
    await begin(opened)

    hidden = await opened.ask("GET", "/v1/streams/s/events?thinking=hide&follow=0")
    merged = await opened.ask("GET", "/v1/streams/s/events?catchup=merged&follow=false")
    exact = await opened.ask("GET", "/v1/streams/s/events?catchup=exact&thinking=show&follow=0")

    assert [0, 2, 3] == [each.body.count(b"event: content_block_delta") for each in (hidden, merged, exact)]
    assert all(each.whole for each in (hidden, merged, exact))


async def test_a_full_house_is_said(hall: Maker) -> None:
    """I10: the limit on readers is a status, and a place that is free again is given again."""
    opened = await hall(Script([OPENING + delta("a"), Wait(9), CLOSING]), max_readers=2)
    await begin(opened)
    readers = [opened.begin("GET", "/v1/streams/s/events") for _ in range(2)]
    await opened.clock.advance(1)

    refused = await opened.ask("GET", "/v1/streams/s/events")
    readers[0].leave()
    await opened.clock.advance(1)
    taken = await opened.ask("GET", "/v1/streams/s/events?follow=0")

    assert ([503, 200], "overloaded") == ([refused.status, taken.status], refused.json["error"]["code"])
    await readers[1].task


async def test_a_message_waits_for_the_end_or_for_its_time(hall: Maker) -> None:
    """202 while it is on its way, 200 when it is whole."""
    opened = await hall(Script([OPENING + delta("a"), Wait(9), delta("b") + CLOSING]))
    await begin(opened)

    part = await opened.ask("GET", "/v1/streams/s/message?wait=2")
    all_of_it = await opened.ask("GET", "/v1/streams/s/message")

    assert [(202, "open", "a"), (200, "completed", "ab")] == [
        (each.status, each.headers["x-stream-state"], each.json["content"][0]["text"]) for each in (part, all_of_it)
    ]


async def test_a_failed_message_is_its_status_with_the_part_beside(hall: Maker) -> None:
    """I3, I11: the error first, the part where it cannot be taken for the whole."""
    opened = await hall(Script([OPENING + delta("a")]))
    await begin(opened)

    answer = await opened.ask("GET", "/v1/streams/s/message")

    assert (502, "upstream_truncated", "a") == (
        answer.status,
        answer.json["error"]["code"],
        answer.json["message"]["content"][0]["text"],
    )


@pytest.mark.parametrize("wait", ["-1", "301", "x", "nan", "inf"])
async def test_a_wait_has_its_bounds(hall: Maker, wait: str) -> None:
    """I10: nobody waits for ever."""
    opened = await hall(whole("a"))

    answer = await opened.ask("GET", f"/v1/streams/s/message?wait={wait}")

    assert (400, True) == (answer.status, "wait" in answer.json["error"]["message"])


async def test_who_leaves_while_waiting_for_a_message_leaves_nothing_behind(hall: Maker) -> None:
    """I6: the wait ends with the caller, the stream does not."""
    opened = await hall(Script([OPENING + delta("a"), Wait(50), CLOSING]))
    await begin(opened)
    waiting = opened.begin("GET", "/v1/streams/s/message?wait=40")
    await opened.clock.advance(1)

    waiting.leave()
    left_at = opened.clock.time
    await waiting.task

    assert 0 == pytest.approx(opened.clock.time - left_at, abs=0.01)
    assert (0, 1) == (opened.relay.tails["s"].readers, len(opened.relay.producers))


async def test_a_stream_that_nobody_started_is_not_found(hall: Maker) -> None:
    """404 with our code, on every route of one stream."""
    opened = await hall(whole("a"))

    answers = [await opened.ask("GET", f"/v1/streams/nobody{rest}") for rest in ("", "/events", "/message")]

    assert [(404, "stream_not_found")] * 3 == [(each.status, each.json["error"]["code"]) for each in answers]
