"""One stream from its request to its ending: what is logged, what is tried again, and what ends it."""

import asyncio
from typing import Any

import pytest

from streamkeep.entry import ATTEMPT, COMPLETED, FAILED
from streamkeep.errors import UpstreamGone
from streamkeep.lifecycle import State
from streamkeep.relay.producer import MAX_EVENT_BYTES, MAX_HELD_EVENTS
from streamkeep.testing.fake_upstream import Fault
from tests.relay.scripted import (
    BLOCK_STOP,
    CLOSING,
    KEY,
    MESSAGE_DELTA,
    MESSAGE_START,
    NAMES,
    OPENING,
    PING,
    Maker,
    Script,
    Wait,
    delta,
    overloaded,
    sse,
    whole,
)

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("cut", [1, 7, 64, 100_000])
async def test_how_the_upstream_cuts_its_bytes_is_invisible(stage: Maker, cut: int) -> None:
    """I8: one chunk with everything or a chunk per byte give the same log, with the provider's own bytes."""
    answer = whole("Hello", " world")
    chunks = [answer[at : at + cut] for at in range(0, len(answer), cut)]
    opened = await stage(Script(chunks))

    stream = await opened.run()

    assert NAMES == await opened.names(stream)
    logged = [entry.data for entry in await opened.log(stream)][2:-1]
    assert [line.removeprefix(b"data: ") for line in answer.split(b"\n") if line.startswith(b"data: ")] == logged


async def test_a_whole_answer_is_completed_and_its_connection_given_back(stage: Maker) -> None:
    """I3: the provider's own last event completes a stream; usage and digest stand in the ending."""
    opened = await stage(whole("Hello", " world"))

    stream = await opened.run()

    ending = await opened.ending(stream)
    assert (COMPLETED, "end_turn", {"input_tokens": 3, "output_tokens": 7}, 1) == (
        ending["name"],
        ending["stop_reason"],
        ending["usage"],
        ending["attempts"],
    )
    assert 11 == ending["digest"]["blocks"][0]["bytes"]
    assert (True, None) == (opened.upstream.replies[0].finished, opened.upstream.replies[0].closed_at)


async def test_nothing_is_logged_before_something_is_visible(stage: Maker) -> None:
    """Events that show nothing wait for the first that does, then all come together."""
    more = asyncio.Event()
    opened = await stage(Script([OPENING, more, delta("x") + CLOSING]))
    stream = await opened.start()
    await opened.clock.settle()

    before = await opened.names(stream)
    more.set()
    await stream.ended()

    assert ["stream.accepted", "stream.attempt"] == before
    assert ["message_start", "content_block_start", "content_block_delta"] == (await opened.names(stream))[2:5]


@pytest.mark.parametrize(
    "broken",
    [
        Script([OPENING]),
        Script([OPENING + overloaded()]),
        Script([MESSAGE_START, UpstreamGone("gone")]),
        Script(status=529, steps=[b'{"type":"error","error":{"type":"overloaded_error","message":"busy"}}']),
        Script([b"event: message_start\ndata: {not json\n\n"]),
        Script([b"data: " + b"x" * 100_000] * 90),
    ],
    ids=["truncated", "error event", "reset", "status 529", "malformed", "too large"],
)
async def test_a_break_before_anything_is_visible_is_tried_again_unseen(stage: Maker, broken: Script) -> None:
    """A reader sees one `message_start`, whatever broke before something was visible."""
    opened = await stage(broken, whole("a", "b"))

    stream = await opened.run()

    names = await opened.names(stream)
    assert [*NAMES[:2], ATTEMPT, *NAMES[2:]] == names
    second = (await opened.log(stream))[2].json()
    assert (2, "retry") == (second["n"], second["why"])
    assert opened.upstream.replies[0].closed_at is not None


@pytest.mark.parametrize(
    "steps, code",
    [
        ([OPENING + delta("par"), UpstreamGone("gone", code="upstream_reset")], "upstream_reset"),
        ([OPENING + delta("par")], "upstream_truncated"),
        ([OPENING + delta("par") + BLOCK_STOP + MESSAGE_DELTA], "upstream_truncated"),
        ([OPENING + delta("par") + overloaded()], "upstream_overloaded"),
        ([OPENING + delta("par") + b"event: content_block_delta\ndata: {nonsense\n\n"], "upstream_malformed"),
        ([OPENING + delta("par") + MESSAGE_START], "upstream_malformed"),
        ([OPENING + delta("par") + delta("lost", index=5) + CLOSING], "upstream_malformed"),
        ([OPENING + delta("par")] + [b"data: " + b"x" * 1_000_000] * 9, "upstream_event_too_large"),
    ],
)
async def test_a_break_after_something_is_visible_keeps_the_part_and_fails(
    stage: Maker, steps: list[Any], code: str
) -> None:
    """I3: an answer without its own last event is never completed; what came is kept, and nothing is asked again."""
    opened = await stage(Script(steps))

    stream = await opened.run()

    ending = await opened.ending(stream)
    assert (FAILED, code, "upstream") == (ending["name"], ending["error"]["code"], ending["error"]["blame"])
    assert 1 == len(opened.upstream.calls)
    assert 3 == ending["digest"]["blocks"][0]["bytes"]
    message = await stream.message()
    assert message is not None
    assert "par" == message["content"][0]["text"]


async def test_what_follows_the_last_event_is_ignored(stage: Maker) -> None:
    """After `message_stop` the answer is whole; what still comes changes nothing, and nobody waits for an end."""
    opened = await stage(Script([whole("a", "b") + delta("more") + overloaded(), Fault.HANG]))

    stream = await opened.run()

    assert NAMES == await opened.names(stream)


async def test_unknown_events_are_logged_and_pings_are_not(stage: Maker) -> None:
    """What the provider invents tomorrow reaches the readers; life signs are no entries."""
    opened = await stage(Script([PING, OPENING, PING, delta("a"), sse("mood_update", mood="fine"), PING, CLOSING]))

    stream = await opened.run()

    names = await opened.names(stream)
    assert "mood_update" in names
    assert "ping" not in names


@pytest.mark.parametrize(
    "script, code, tries",
    [
        (Script([b"<html>"], headers={"content-type": "text/html"}), "upstream_bad_content_type", 1),
        (Script(status=302, headers={"location": "http://elsewhere"}), "upstream_bad_redirect", 1),
        (Script([b"{}"], status=400), "upstream_refused", 1),
        (Script([b"{}"], status=401), "upstream_refused", 1),
        (Script([b"{}"], status=429), "upstream_rate_limited", 3),
        (Script([b"{}"], status=529, headers={"x-should-retry": "false"}), "upstream_overloaded", 1),
    ],
)
async def test_a_refusal_ends_the_stream_by_its_kind(stage: Maker, script: Script, code: str, tries: int) -> None:
    """A refusal that no repetition mends is not repeated; one that may pass is, as often as the policy says."""
    opened = await stage(script)

    stream = await opened.run()

    ending = await opened.ending(stream)
    assert (FAILED, code, tries, tries) == (
        ending["name"],
        ending["error"]["code"],
        ending["attempts"],
        len(opened.upstream.calls),
    )


async def test_retry_after_is_obeyed(stage: Maker) -> None:
    """The upstream says when to come back, and that is when."""
    busy = Script([b"{}"], status=529, headers={"retry-after": "7"})
    opened = await stage(busy, busy, whole("a", "b"))

    stream = await opened.run()

    first, second, third = opened.upstream.called_at
    assert (7.0, 7.0) == (round(second - first, 3), round(third - second, 3))
    assert COMPLETED == (await opened.ending(stream))["name"]


async def test_an_upstream_that_asks_for_more_patience_than_there_is_ends_the_stream(stage: Maker) -> None:
    """I10: all pauses of one stream together are bounded."""
    opened = await stage(Script([b"{}"], status=529, headers={"retry-after": "61"}))

    stream = await opened.run()

    ending = await opened.ending(stream)
    assert (FAILED, 61.0, 1) == (ending["name"], ending["error"]["retry_after"], len(opened.upstream.calls))


async def test_events_that_show_nothing_are_held_back_up_to_a_limit(stage: Maker) -> None:
    """I10: an upstream that never shows anything does not fill the memory."""
    opened = await stage(Script([MESSAGE_START, sse("mood_update") * (MAX_HELD_EVENTS + 1), Fault.HANG]))

    stream = await opened.run(policy={"retries": 0})

    assert "upstream_malformed" == (await opened.ending(stream))["error"]["code"]


@pytest.mark.parametrize(
    "limits, steps, code, at",
    [
        ({"first_event": 5}, [Fault.HANG], "upstream_first_event_timeout", 5),
        ({"idle": 4}, [OPENING + delta("a"), Wait(3), PING, Fault.HANG], "upstream_idle_timeout", 7),
        ({"idle": 4, "content": 10}, [OPENING + delta("a"), *[Wait(3), PING] * 9], "upstream_content_timeout", 10),
        ({"total": 12, "idle": 4}, [OPENING, *[delta("a"), Wait(3)] * 9], "upstream_total_timeout", 12),
    ],
)
async def test_each_limit_ends_an_answer_that_hangs(
    stage: Maker, limits: dict[str, float], steps: list[Any], code: str, at: float
) -> None:
    """I10: connect, first event, idle (pings are life), content (pings are not), total: none waits for ever."""
    opened = await stage(Script(steps))
    began = opened.clock.time

    stream = await opened.run(policy={"retries": 0, "timeouts": limits})

    ending = await opened.ending(stream)
    assert (FAILED, code) == (ending["name"], ending["error"]["code"])
    assert at == pytest.approx(opened.clock.time - began, abs=0.001)
    assert opened.upstream.replies[0].closed_at is not None


async def test_a_hanging_attempt_is_followed_by_another_while_nothing_is_visible(stage: Maker) -> None:
    """A limit that passes before anything is visible breaks the attempt off, not the stream."""
    opened = await stage(Script([Fault.HANG]), whole("a", "b"))

    stream = await opened.run(policy={"timeouts": {"first_event": 5}})

    ending = await opened.ending(stream)
    assert (COMPLETED, 2) == (ending["name"], ending["attempts"])


async def test_an_attempt_that_begins_after_the_total_limit_asks_nobody(stage: Maker) -> None:
    """I10: a pause that outlasts the total limit ends the stream, though the upstream would never answer."""
    busy = Script([b"{}"], status=529, headers={"retry-after": "30"})
    opened = await stage(busy, Script(before=[Fault.HANG]))

    stream = await opened.run(policy={"timeouts": {"total": 10}})

    assert "upstream_total_timeout" == (await opened.ending(stream))["error"]["code"]
    assert 1 == len(opened.upstream.calls)


async def test_a_mistake_of_ours_ends_the_stream(stage: Maker, caplog: pytest.LogCaptureFixture) -> None:
    """Readers are told that the stream is over, whatever went wrong; the details go to the log, not to them."""
    opened = await stage(Script([RuntimeError("a secret detail")]))  # type: ignore[list-item]

    stream = await opened.run()

    ending = await opened.ending(stream)
    assert ("internal_error", "server") == (ending["error"]["code"], ending["error"]["blame"])
    assert "secret" not in ending["error"]["message"]
    assert "a secret detail" in caplog.text


async def test_the_upstreams_words_are_shown_without_the_key(stage: Maker) -> None:
    """An error's text holds no key, though the upstream repeats it."""
    body = b'{"type":"error","error":{"type":"authentication_error","message":"bad key %b"}}' % KEY.encode()
    opened = await stage(Script([body], status=401))

    stream = await opened.run()

    error = (await opened.ending(stream))["error"]
    assert ("authentication_error", 401) == (error["type"], error["status"])
    assert KEY not in error["message"]


async def test_the_starter_may_see_rate_limits_and_nothing_else(stage: Maker) -> None:
    """Of the upstream's headers only those that help an SDK pace itself are kept."""
    headers = {"retry-after": "3", "anthropic-ratelimit-requests-remaining": "9", "set-cookie": "a=b", "server": "x"}
    opened = await stage(Script([OPENING, Wait(1), delta("a") + CLOSING], headers=headers))
    stream = await opened.start()
    await opened.clock.settle()

    shown = opened.relay.tails[stream.id].reply_headers

    assert {"retry-after": "3", "anthropic-ratelimit-requests-remaining": "9"} == shown


async def test_a_foreign_cancellation_of_the_task_is_not_swallowed(stage: Maker) -> None:
    """Who ends the loop ends the producer; it does not take that for a stop of its stream."""
    opened = await stage(Script([OPENING + delta("a"), Fault.HANG]))
    stream = await opened.start()
    await opened.clock.settle()
    task = opened.relay.producers[stream.id].task

    task.cancel()
    await asyncio.wait([task])

    assert task.cancelled()
    assert State.OPEN is (await opened.relay.store.head(stream.id)).state


def test_the_largest_event_is_bounded() -> None:
    """I10: an event may be large, but not without end."""
    assert 1024 * 1024 < MAX_EVENT_BYTES <= 64 * 1024 * 1024
