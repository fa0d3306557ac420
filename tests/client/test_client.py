"""A server used from afar: the relay's verbs over HTTP, and readers that survive their connections."""

import asyncio
import json
import math
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from streamkeep.client import AsyncClient, RemoteEntry, RemoteStream
from streamkeep.client.reconnect import MAX_TRIES, Reconnect
from streamkeep.errors import (
    BadRequest,
    CursorForeign,
    Overloaded,
    ServerUnreachable,
    StreamExists,
    StreamLive,
    StreamNotFound,
)
from tests.cli.running import COUNTED, FAST, SLOW, Cutter, Served

pytestmark = [pytest.mark.anyio, pytest.mark.e2e]

COUNT = {"prompt": "count to 20", "model": FAST}
LONG = {"prompt": "a long answer", "model": SLOW}


@pytest.fixture
async def client(server: Served) -> AsyncIterator[AsyncClient]:
    async with AsyncClient(server.url) as client:
        yield client


async def entries(stream: RemoteStream, after: str = "") -> list[RemoteEntry]:
    return [entry async for entry in stream.events(after=after)]


async def test_an_answer_from_afar(client: AsyncClient) -> None:
    """Start, text, message and state are those of the relay."""
    stream = await client.start({**COUNT, "id": "afar", "metadata": {"note": "mine"}})

    assert COUNTED == "".join([piece async for piece in stream.text()])
    message = await stream.message()
    assert message
    assert COUNTED == message["content"][0]["text"]
    shown = await stream.refresh()
    assert ("afar", "completed", {"note": "mine"}) == (stream.id, shown["state"], shown["metadata"])
    assert shown == stream.json() == (await client.stream("afar")).json()


async def test_entries_are_numbered_and_carry_their_cursor(client: AsyncClient) -> None:
    """I5: without gaps, and from any of them the rest is the same."""
    stream = await client.start(COUNT)
    whole = await entries(stream)

    assert list(range(1, len(whole) + 1)) == [entry.seq for entry in whole]
    assert str(whole[-1].cursor) == stream.cursor == (await stream.refresh())["cursor"]
    assert "stream.completed" == whole[-1].name
    assert all(math.isnan(entry.at) for entry in whole)
    rest = await entries(stream, str(whole[4].cursor))
    assert [(entry.seq, entry.data) for entry in whole[5:]] == [(entry.seq, entry.data) for entry in rest]
    assert [] == await entries(stream, stream.cursor)


async def test_a_start_is_idempotent(client: AsyncClient) -> None:
    """I15: the same key and body find the stream, another body is refused."""
    first = await client.start(COUNT, idempotency_key="once")
    second = await client.start(COUNT, idempotency_key="once")

    assert first.id == second.id
    with pytest.raises(StreamExists):
        await client.start({**COUNT, "prompt": "count to 3"}, idempotency_key="once")


async def test_a_stop_gives_its_receipt(client: AsyncClient) -> None:
    """I14: sealed when it returns; twice is once; one for a stream to come is remembered."""
    stream = await client.start(LONG)

    receipt = await stream.cancel()

    assert "cancelled" == receipt["state"]
    assert receipt["sealed_at"]
    assert receipt == await stream.cancel()
    assert None is await client.cancel("to-come")


async def test_streams_are_listed_newest_first(client: AsyncClient) -> None:
    """In pages behind the scenes, filtered by state, no more than asked for."""
    made = [(await client.start({"prompt": "count to 2", "model": FAST})).id for _ in range(3)]
    for id in made:
        await RemoteStream(client, {"id": id}).message()

    listed = await client.streams(limit=2)
    completed = {stream.id for stream in await client.streams(states=["completed"], limit=1000)}

    assert made[:0:-1] == [stream.id for stream in listed]
    assert set(made) <= completed
    assert [] == await client.streams(states=["cancelling"])


async def test_an_ended_stream_can_be_forgotten(client: AsyncClient) -> None:
    """A live one cannot; afterwards it is gone."""
    stream = await client.start(LONG)
    with pytest.raises(StreamLive):
        await stream.delete()
    await stream.cancel()

    await stream.delete()

    with pytest.raises(Exception, match="stream") as gone:
        await client.stream(stream.id)
    assert gone.value.code in ("stream_expired", "stream_not_found")  # type: ignore[attr-defined]


async def test_a_message_is_waited_for_no_longer_than_asked(client: AsyncClient) -> None:
    """It comes as far as it got, and the stream goes on (I6)."""
    stream = await client.start(LONG)

    assert "open" == (await stream.refresh())["state"]
    await stream.message(wait_s=0.3)
    assert "open" == (await stream.refresh())["state"]
    await stream.cancel()


async def test_what_is_not_there_is_told(client: AsyncClient) -> None:
    """By the errors that the relay itself raises (I7)."""
    stream = await client.start(COUNT)
    await stream.message()

    with pytest.raises(StreamNotFound):
        await client.stream("nowhere")
    with pytest.raises(StreamNotFound):
        await entries(RemoteStream(client, {"id": "nowhere"}))
    with pytest.raises(CursorForeign) as foreign:
        await entries(stream, "aaaaaa.3")
    assert foreign.value.head == (await stream.refresh())["cursor"]
    with pytest.raises(BadRequest):
        await entries(stream, "no cursor")
    for id in ("../healthz", "", "é", "a" * 65):
        with pytest.raises(BadRequest):
            await client.stream(id)


@pytest.mark.parametrize("url", ["", "localhost:8000", "file:///etc/passwd", "http://"])
async def test_an_address_must_be_one(url: str) -> None:
    """It is refused before anything is sent to it, or when it is used."""
    with pytest.raises(BadRequest):
        async with AsyncClient(url) as client:
            await client.streams()


async def test_no_server_is_told_at_once() -> None:
    """Where none ever answered there is nothing to wait for."""
    async with AsyncClient("http://127.0.0.1:9", on_retry=_never) as client:
        with pytest.raises(ServerUnreachable, match="cannot be reached"):
            await client.start(COUNT)
        with pytest.raises(ServerUnreachable):
            await entries(RemoteStream(client, {"id": "x"}))


def _never(failures: int, pause_s: float) -> None:
    raise AssertionError("it tried again")


@pytest.mark.parametrize("after", [200, 900, 2500, 6000])
async def test_cuts_lose_nothing_and_repeat_nothing(after: int, server: Served) -> None:
    """I5, I8, I12: wherever the connections are cut, each entry comes once, in order."""
    async with AsyncClient(server.url) as direct:
        stream = await direct.start({"prompt": "count to 60", "model": FAST})
        whole = await entries(stream)
    cutter = Cutter(server.port, after=after, times=4)
    pauses: list[int] = []
    async with AsyncClient(cutter.url, jitter=lambda: 0.0, on_retry=lambda n, _: pauses.append(n)) as client:
        cut = await entries(RemoteStream(client, stream.json()))
    cutter.close()

    assert [(entry.cursor, entry.name, entry.data) for entry in whole] == [
        (entry.cursor, entry.name, entry.data) for entry in cut
    ]
    assert cutter.cuts >= 3
    # The HTTP library itself repeats a request whose connection broke before the response's headers.
    assert len(pauses) <= cutter.cuts


# What a healthy server never says, said by a small one.

Reply = Callable[[str], bytes]


@asynccontextmanager
async def saying(*replies: bytes) -> AsyncIterator[tuple[str, list[str]]]:
    """Run a server that gives these bytes, one connection each, the last one again and again; and what it was sent."""
    asked: list[str] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        asked.append(head)
        writer.write(replies[min(len(asked), len(replies)) - 1])
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", asked


def reply(status: int, body: bytes, *headers: str, kind: str = "application/json") -> bytes:
    lines = [f"HTTP/1.1 {status} X", f"content-type: {kind}", "connection: close", *headers]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def events(*frames: tuple[int, str]) -> bytes:
    body = b"".join(b"id: abc234.%d\nevent: %b\ndata: {}\n\n" % (seq, name.encode()) for seq, name in frames)
    return reply(200, body, kind="text/event-stream")


def patient(url: str) -> AsyncClient:
    return AsyncClient(url, jitter=lambda: 0.0)


async def test_a_body_that_ends_without_an_ending_was_cut() -> None:
    """I12: even a clean end is not taken for the stream's; the reader goes on from its last entry."""
    first, second = events((1, "stream.accepted"), (2, "ping")), events((3, "stream.completed"))
    async with saying(first, second) as (url, asked), patient(url) as client:
        got = await entries(RemoteStream(client, {"id": "x"}))

    assert [1, 2, 3] == [entry.seq for entry in got]
    assert "last-event-id" not in asked[0].lower()
    assert "last-event-id: abc234.2\r\n" in asked[1].lower()


async def test_what_comes_twice_is_given_once_and_a_hole_is_no_answer() -> None:
    """I2: entries that the reader has are dropped; where one is missing it asks again, and gives up in the end."""
    twice = events((1, "stream.accepted"), (1, "stream.accepted"), (2, "stream.completed"))
    async with saying(twice) as (url, _), patient(url) as client:
        assert [1, 2] == [entry.seq for entry in await entries(RemoteStream(client, {"id": "x"}))]

    async with saying(events((1, "stream.accepted"), (3, "stream.completed"))) as (url, asked), patient(url) as client:
        with pytest.raises(ServerUnreachable, match=r"left out entries before abc234\.3"):
            await entries(RemoteStream(client, {"id": "x"}))
    assert 1 + MAX_TRIES == len(asked)


async def test_a_reader_gives_up_in_the_end() -> None:
    """I10: a server that only accepts and cuts is left after the budget."""
    pauses: list[int] = []
    async with (
        saying(b"") as (url, _),
        AsyncClient(
            url, rules=lambda: Reconnect(max_tries=2), jitter=lambda: 0.0, on_retry=lambda n, _: pauses.append(n)
        ) as client,
    ):
        with pytest.raises(ServerUnreachable) as lost:
            await entries(RemoteStream(client, {"id": "x"}))

    assert ("connection_lost", [1, 2]) == (lost.value.code, pauses)


async def test_a_start_that_was_lost_on_the_way_is_sent_again() -> None:
    """I15: with the same key, so that it starts one stream."""
    async with saying(b"", reply(201, b'{"id": "x", "state": "open"}')) as (url, asked), patient(url) as client:
        assert "x" == (await client.start(COUNT)).id

    keys = [line for head in asked for line in head.lower().splitlines() if line.startswith("idempotency-key")]
    assert 2 == len(keys)
    assert 1 == len(set(keys))


async def test_a_busy_server_is_asked_again_and_a_refusal_is_not() -> None:
    """What may come later is waited for, as long as the server asks; the rest is told."""
    busy = reply(503, json.dumps({"error": {"code": "overloaded", "message": "Later."}}).encode(), "retry-after: 0")
    async with saying(busy, reply(200, b'{"data": [], "has_more": false}')) as (url, _), patient(url) as client:
        assert [] == await client.streams()
    async with saying(busy) as (url, asked), patient(url) as client:
        with pytest.raises(Overloaded, match=r"Later\."):
            await client.streams()
        assert 6 == len(asked)


@pytest.mark.parametrize(
    "answer",
    [reply(200, b"<html>", kind="text/html"), reply(302, b"", "location: http://127.0.0.1:9/"), reply(404, b"x")],
)
async def test_another_server_is_told_from_ours(answer: bytes) -> None:
    """A login page, a redirect (which would carry the key away) and a plain 404 are named for what they are."""
    async with saying(answer) as (url, asked), AsyncClient(url, api_key="secret", on_retry=_never) as client:
        for ask in (client.streams(), entries(RemoteStream(client, {"id": "x"}))):
            with pytest.raises(Exception, match=r"[Ii]s it a Streamkeep server"):
                await ask
    assert all("authorization: bearer secret" in head.lower() for head in asked)


async def test_a_client_is_a_context_manager() -> None:
    """Used without, it says so."""
    with pytest.raises(RuntimeError, match="async context manager"):
        await AsyncClient().streams()
