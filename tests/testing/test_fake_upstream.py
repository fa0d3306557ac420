"""The scripted API does what its script says, seen by hand over the socket."""

import asyncio
from typing import Any

import pytest

from streamkeep.testing.fake_upstream import Answer, FakeUpstream, Fault
from streamkeep.testing.manual_clock import ManualClock, VirtualLoop

pytestmark = pytest.mark.anyio

ASK = b"POST /a?b HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nxyz"


@pytest.fixture(scope="module")
def anyio_backend() -> tuple[str, dict[str, Any]]:
    return "asyncio", {"loop_factory": VirtualLoop}


async def connect(api: FakeUpstream) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    host, port = api.base_url.removeprefix("http://").split(":")
    return await asyncio.open_connection(host, int(port))


async def say(api: FakeUpstream, request: bytes = ASK) -> bytes:
    """Ask on a connection of its own and read until it closes."""
    reader, writer = await connect(api)
    writer.write(request)
    writer.write_eof() if request != ASK else None
    try:
        return await reader.read()
    finally:
        writer.close()


async def test_an_answer_is_sent_piece_by_piece_and_ends_properly() -> None:
    """One chunk per piece, then the last chunk; the connection takes the next request."""
    async with FakeUpstream(Answer([b"one", b"three"], headers={"x": "y"}), Answer([b"2"], status=500)) as api:
        reader, writer = await connect(api)
        writer.write(ASK)
        first = await reader.readuntil(b"\r\n0\r\n\r\n")
        writer.write(ASK)
        second = await reader.readuntil(b"\r\n0\r\n\r\n")
        writer.write(ASK)
        third = await reader.readuntil(b"\r\n0\r\n\r\n")
        writer.close()

    assert first == (
        b"HTTP/1.1 200 Scripted\r\ncontent-type: text/event-stream\r\nx: y\r\ntransfer-encoding: chunked\r\n\r\n"
        b"3\r\none\r\n5\r\nthree\r\n0\r\n\r\n"
    )
    assert second.startswith(b"HTTP/1.1 500")
    assert (second, 3, 1) == (third, len(api.requests), api.connections)


async def test_requests_are_kept() -> None:
    """What was asked can be looked at, byte for byte."""
    async with FakeUpstream(Answer([], framed=False)) as api:
        await say(api)

    request = api.requests[0]
    assert ("POST", "/a?b", b"xyz", "x") == (request.method, request.path, request.body, request.headers["host"])
    assert (True, False) == (request.finished.is_set(), request.abandoned)


async def test_an_unframed_body_ends_with_its_connection() -> None:
    """HTTP/1.0's way."""
    async with FakeUpstream(Answer([b"a", b"b"], framed=False)) as api:
        assert (await say(api)).endswith(b"connection: close\r\n\r\nab")


async def test_a_cut_has_no_last_chunk() -> None:
    """The connection ends, the body does not."""
    async with FakeUpstream(Answer([b"a", Fault.CUT])) as api:
        assert (await say(api)).endswith(b"\r\n\r\n1\r\na\r\n")


async def test_a_reset_is_one() -> None:
    """The asker's next read fails."""
    go = asyncio.Event()
    async with FakeUpstream(Answer([b"a", go, Fault.RESET])) as api:
        reader, writer = await connect(api)
        writer.write(ASK)
        await reader.readuntil(b"1\r\na\r\n")
        go.set()
        with pytest.raises(ConnectionResetError):
            await reader.read()
        writer.close()


@pytest.mark.parametrize("steps, head", [([b"a", Fault.HANG], []), ([], [Fault.HANG])])
async def test_who_hangs_up_is_noticed(steps: list[Any], head: list[Any]) -> None:
    """Silence lasts until the asker leaves, and its leaving is known."""
    async with FakeUpstream(Answer(steps, head=head)) as api:
        _, writer = await connect(api)
        writer.write(ASK)
        await ManualClock().advance(1000)
        before = api.requests[0].finished.is_set()
        writer.close()
        await api.requests[0].finished.wait()

    assert (False, True) == (before, api.requests[0].abandoned)


async def test_a_head_can_break_too() -> None:
    """Steps before the status line are sent as they are."""
    async with FakeUpstream(Answer(head=[b"SSH-2.0\r\n", Fault.CUT])) as api:
        assert b"SSH-2.0\r\n" == await say(api)


async def test_a_request_that_never_comes_is_no_request() -> None:
    """Half a head, or half a body, is not answered."""
    async with FakeUpstream() as api:
        assert [b"", b"", b""] == [await say(api, request) for request in (b"", b"GET /", ASK[:-1])]
        assert [] == api.requests


async def test_everything_ends_with_the_server() -> None:
    """An answer that hangs does not outlive the test."""
    async with FakeUpstream(Answer([Fault.HANG])) as api:
        reader, writer = await connect(api)
        writer.write(ASK)
        await ManualClock().settle()
    assert b"" == (await reader.read()).partition(b"\r\n\r\n")[2]
    writer.close()
    await FakeUpstream().__aexit__(None, None, None)
