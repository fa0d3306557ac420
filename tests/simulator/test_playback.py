"""A stream is written at its pace, and ends as it was told to."""

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
from aiohttp import web

from streamkeep.simulator.events import PING
from streamkeep.simulator.pace import Frame
from streamkeep.simulator.playback import Playback, reset
from streamkeep.simulator.records import Outcome, Records, RequestRecord
from streamkeep.simulator.refusals import Ending, Fault

pytestmark = pytest.mark.anyio

FRAMES = [Frame(b"one\n\n", 0.0), Frame(b"two\n\n", 0.02), Frame(b"three\n\n", 0.02)]

Play = Callable[[Playback], Awaitable[None]]


@asynccontextmanager
async def serving(play: Play) -> AsyncIterator[tuple[int, Records]]:
    """Serve one playback a request; gives the port and the records."""
    records = Records(asyncio.get_running_loop().time)

    async def answer(http: web.Request) -> web.StreamResponse:
        record = records.open(http.method, http.path, http.headers)
        response = web.StreamResponse()
        await response.prepare(http)
        try:
            await play(Playback(http.transport, response, records, record, record.started))
        except asyncio.CancelledError:
            records.end(record, Outcome.DISCONNECTED)
            raise
        return response

    application = web.Application()
    application.router.add_get("/", answer)
    runner = web.AppRunner(application, handler_cancellation=True, shutdown_timeout=0.1, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield runner.addresses[0][1], records
    finally:
        await runner.cleanup()


async def ask(port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
    return reader, writer


async def read_all(port: int) -> bytes:
    reader, writer = await ask(port)
    try:
        return await reader.read()
    finally:
        writer.close()


def only(records: Records) -> RequestRecord:
    (record,) = records
    return record


async def test_frames_arrive_in_order_and_the_body_ends() -> None:
    """Each event is counted."""

    async def play(playback: Playback) -> None:
        await playback.play(FRAMES)
        await playback.finish()

    async with serving(play) as (port, records):
        body = await read_all(port)

        assert b"5\r\none\n\n\r\n" in body
        assert body.endswith(b"0\r\n\r\n")
        assert (Outcome.FINISHED, 3) == (only(records).outcome, only(records).events_sent)


@pytest.mark.parametrize(
    "most, writes", [(64, [b"one\n\n", b"two\n\nthree\n\n"]), (1, [b"one\n\n", b"two\n\n", b"three\n\n"])]
)
async def test_what_is_due_together_is_one_write(most: int, writes: list[bytes]) -> None:
    """Unless chunks are to stay apart."""

    async def play(playback: Playback) -> None:
        await playback.play(FRAMES, most)
        await playback.finish()

    async with serving(play) as (port, _):
        _, _, body = (await read_all(port)).partition(b"\r\n\r\n")

        assert b"".join(b"%x\r\n%s\r\n" % (len(each), each) for each in writes) + b"0\r\n\r\n" == body


async def test_an_error_event_ends_cleanly() -> None:
    """As the API does when it is overloaded in the middle."""
    async with serving(lambda playback: playback.fail(Fault(Ending.ERROR_EVENT, 0))) as (port, records):
        body = await read_all(port)

        assert b"event: error\n" in body
        assert body.endswith(b"0\r\n\r\n")
        assert Outcome.FAILED is only(records).outcome


async def test_a_clean_end_says_nothing() -> None:
    """The worst of all: it looks complete."""
    async with serving(lambda playback: playback.fail(Fault(Ending.CLEAN_END, 0))) as (port, records):
        assert (await read_all(port)).endswith(b"\r\n\r\n0\r\n\r\n")
        assert Outcome.FAILED is only(records).outcome


async def test_a_reset_is_a_reset() -> None:
    """The reader has what was sent before, then an error, not an end."""

    async def play(playback: Playback) -> None:
        await playback.play(FRAMES)
        await playback.fail(Fault(Ending.RESET, None))

    async with serving(play) as (port, records):
        reader, writer = await ask(port)
        assert b"three" in await reader.readuntil(b"three")
        with pytest.raises(ConnectionResetError):
            await reader.read()
        writer.close()

        assert Outcome.FAILED is only(records).outcome


async def test_silence_lasts_until_the_reader_leaves() -> None:
    """The reader's leaving is noticed although nothing is written."""
    async with serving(lambda playback: playback.fail(Fault(Ending.SILENCE, None))) as (port, records):
        reader, writer = await ask(port)
        await reader.readuntil(b"\r\n\r\n")
        assert Outcome.OPEN is only(records).outcome
        writer.close()

        await records.wait_for(lambda record: record.outcome is Outcome.DISCONNECTED, timeout_s=5)


@pytest.mark.slow
async def test_pings_go_on_where_nothing_else_does() -> None:
    """A connection that lives and a stream that does not."""
    async with serving(lambda playback: playback.fail(Fault(Ending.PINGS, None))) as (port, _):
        reader, writer = await ask(port)
        assert (await reader.readuntil(PING.frame)).endswith(PING.frame)
        writer.close()


async def test_resetting_a_closed_connection_does_nothing() -> None:
    """The client may have been faster."""
    reset(None)
    here, there = socket.socketpair()
    reader, writer = await asyncio.open_connection(sock=here)
    writer.close()
    await writer.wait_closed()
    reset(writer.transport)  # type: ignore[arg-type]
    there.close()
    assert reader.at_eof()
