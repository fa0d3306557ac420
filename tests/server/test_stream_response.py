"""One reader on a connection: headers, heartbeats, leaving, stalling, and the right kind of end."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from streamkeep import registry
from streamkeep.cursor import START
from streamkeep.errors import StoreUnavailable
from streamkeep.server.stream_response import CUT_S, StreamResponse, View
from streamkeep.testing.fake_upstream import Fault
from tests.relay.scripted import CLOSING, OPENING, Script, Wait, delta, paced, whole
from tests.relay.stubborn_store import StubbornStore
from tests.server.asking import Exchange
from tests.server.conftest import Hall

pytestmark = pytest.mark.anyio

Maker = Callable[..., Awaitable[Hall]]

QUIET = Script([OPENING + delta("a"), Wait(100), delta("b") + CLOSING])


async def reading(hall: Hall, query: str = "", **request: Any) -> Exchange:
    """Start a stream and read it."""
    patient = {"timeouts": {"idle": 1000, "content": 1000}}
    started = await hall.ask("POST", "/v1/streams", {"prompt": "x", "policy": patient, **request})
    return hall.begin("GET", f"/v1/streams/{started.json['id']}/events{query}")


@pytest.mark.parametrize("wire", ["native", "anthropic", "text"])
async def test_a_stream_reply_is_neither_cached_nor_buffered_nor_guessed_at(hall: Maker, wire: str) -> None:
    """Every stream reply carries the same protective headers."""
    opened = await hall(whole("a"))
    reader = await reading(opened, f"?wire={wire}")
    await reader.task

    media_type = "text/plain; charset=utf-8" if wire == "text" else "text/event-stream; charset=utf-8"
    assert {
        "content-type": media_type,
        "cache-control": "no-store, no-transform, private",
        "x-accel-buffering": "no",
        "x-content-type-options": "nosniff",
        "cross-origin-resource-policy": "same-origin",
        "referrer-policy": "no-referrer",
        "content-security-policy": "default-src 'none'; sandbox",
    }.items() <= reader.headers.items()
    assert {"x-stream-id", "request-id"} <= set(reader.headers)
    assert (200, True) == (reader.status, reader.whole)


async def test_a_reader_gets_the_opening_at_once(hall: Maker) -> None:
    """I13: headers and a comment leave before the model says a word."""
    opened = await hall(Script(before=[Fault.HANG]))
    reader = await reading(opened)
    await opened.clock.settle()

    assert 200 == reader.status
    assert reader.body.startswith(registry.wire("native").opening)
    assert b"event: stream.accepted" in reader.body


async def test_silence_is_filled_with_heartbeats(hall: Maker) -> None:
    """A proxy that cuts silent connections sees one comment per interval, and no more."""
    opened = await hall(QUIET, heartbeat=10)
    reader = await reading(opened)
    await opened.clock.advance(95)
    silent = reader.body.count(b": heartbeat\n")
    await reader.task

    assert silent in (8, 9)
    assert reader.body.count(b": heartbeat\n") <= 10
    assert reader.body.endswith(b"\n\n")


async def test_a_reader_that_leaves_is_noticed_at_once_also_in_silence(hall: Maker) -> None:
    """I6: its place is free again, its stream goes on."""
    opened = await hall(QUIET)
    reader = await reading(opened)
    await opened.clock.advance(1)
    heart = opened.application.state.service.heart
    before = heart.readers

    reader.leave()
    await reader.task

    assert (1, 0) == (before, heart.readers)
    assert 1 == len(opened.relay.producers)
    assert not reader.whole


async def test_a_reader_that_takes_nothing_is_cut(hall: Maker) -> None:
    """I4, I10: a stuck send ends after its limit; what was not taken is dropped, the stream goes on."""
    opened = await hall(Script([OPENING, *paced("a" * 90), CLOSING]), send_timeout=20)
    reader = await reading(opened)
    await opened.clock.advance(5)
    reader.stall()
    stuck_at = opened.clock.time

    await reader.task

    assert reader.aborted
    assert 20 <= opened.clock.time - stuck_at <= 22
    assert 1 == len(opened.relay.producers)


async def test_a_slow_reader_is_not_cut_while_it_takes_something(hall: Maker) -> None:
    """Slow is not stuck."""
    opened = await hall(Script([OPENING, *paced("a" * 60), CLOSING]), send_timeout=5)
    reader = await reading(opened)
    for _ in range(20):
        reader.stall()
        await opened.clock.advance(3)
        reader.take_again()
        await opened.clock.settle()
    await reader.task

    assert (True, False) == (reader.whole, reader.aborted)
    assert 60 == reader.body.count(b"text_delta")


@pytest.mark.parametrize(
    "wire, script, whole_body",
    [
        ("native", Script([OPENING + delta("a")]), True),
        ("anthropic", Script([OPENING + delta("a")]), True),
        ("text", Script([OPENING + delta("a")]), False),
        ("text", Script([whole("a")]), True),
    ],
)
async def test_a_body_ends_well_formed_only_where_it_cannot_be_misread(
    hall: Maker, wire: str, script: Script, whole_body: bool
) -> None:
    """I12: plain text of a failed answer is cut, since its clean end would look like success."""
    opened = await hall(script)
    reader = await reading(opened, f"?wire={wire}")
    await reader.task

    assert (whole_body, not whole_body) == (reader.whole, reader.closed)


async def test_readers_that_are_cut_see_no_clean_end(hall: Maker) -> None:
    """I12: on the way down nobody is told that the answer is over."""
    opened = await hall(QUIET)
    readers = [await reading(opened) for _ in range(3)]
    await opened.clock.advance(1)

    opened.application.state.service.heart.cut_all()
    await asyncio.gather(*[reader.task for reader in readers])

    assert [(False, True)] * 3 == [(reader.whole, reader.closed) for reader in readers]


async def test_a_log_that_cannot_be_read_cuts_its_reader(hall: Maker) -> None:
    """I12: the reader comes back with its cursor; it is not told a wrong end."""
    store = StubbornStore()
    opened = await hall(whole(*["x" * 20_000] * 20), store=store)
    started = await opened.ask("POST", "/v1/streams", {"prompt": "x"})
    await opened.clock.settle()
    response = StreamResponse(
        opened.relay,
        opened.application.state.service.heart,
        started.json["id"],
        View(registry.wire("native")),
        cursor=START,
    )

    async def app(scope: Any, receive: Any, send: Any) -> None:
        async with opened.relay.watch(started.json["id"]):
            store.unreadable = StoreUnavailable("away")
            await response(scope, receive, send)

    reader = Exchange(app, "GET", "/", {}, [b""])
    await reader.task

    assert (False, True) == (reader.whole, reader.closed)


async def test_a_server_that_knows_no_closing_is_returned_to(hall: Maker) -> None:
    """I12: elsewhere than under our own server the callable returns, upon which servers close the connection."""
    opened = await hall(QUIET)
    reader = await reading(opened)
    await opened.clock.advance(1)
    heart = opened.application.state.service.heart
    (response,) = heart._readers
    response._line = None

    response.abort()
    before = opened.clock.time
    await reader.task

    assert (False, False) == (reader.whole, reader.closed)
    assert CUT_S == pytest.approx(opened.clock.time - before, abs=0.01)


async def test_a_response_nobody_served_can_be_told_to_beat(hall: Maker) -> None:
    """The heart may come before the first byte."""
    opened = await hall(QUIET)
    heart = opened.application.state.service.heart
    response = StreamResponse(opened.relay, heart, "s", View(registry.wire("native")), cursor=START)

    response.cut()

    assert 0 == heart.readers


async def test_all_readers_of_a_wire_get_the_same_bytes(hall: Maker) -> None:
    """I5: early, late and resumed readers differ in where they begin, in nothing else."""
    opened = await hall(Script([OPENING, *[step for text in "abcdef" for step in (delta(text), Wait(1))], CLOSING]))
    early = await reading(opened)
    await opened.clock.advance(3)
    path = f"/v1/streams/{early.headers['x-stream-id']}/events"
    late = opened.begin("GET", path)
    await early.task
    await late.task
    resumed = await opened.ask(
        "GET", path, headers={"last-event-id": early.body.split(b"id: ")[5].split(b"\n")[0].decode()}
    )

    assert early.body == late.body
    rest = resumed.body[resumed.body.index(b"id: ") :]
    assert early.body.endswith(rest)
    assert early.body.count(b"id: ") - 5 == rest.count(b"id: ")
