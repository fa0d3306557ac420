"""Load on a server: what is measured, what counts as a failure, and what is left behind."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import web

from streamkeep.sse import MAX_LINE_BYTES
from streamkeep.terminal.load import CUT, SILENT, Load

pytestmark = pytest.mark.anyio

DELTA = b'event: content_block_delta\ndata: {"type":"content_block_delta"}\n\n'
COMPLETED = b"event: stream.completed\ndata: {}\n\n"
HANG = b""

PATIENCE_S = 10.0
"""Longer than any of these measurements takes."""


class Server:
    """
    Answers each start with the same pieces; `HANG` waits for the caller to go.

    Attributes:
        url: Where it is.
        starts: The bodies of the starts.
        stopped: The ids of the stops.
        showing: Set once an answer has come to its `HANG`.
    """

    def __init__(self, *pieces: bytes, status: int = 200, content_type: str = "text/event-stream") -> None:
        self.url = ""
        self.starts: list[dict[str, Any]] = []
        self.stopped: list[str] = []
        self.showing = asyncio.Event()
        self._pieces = pieces
        self._status = status
        self._content_type = content_type

    async def start(self, request: web.Request) -> web.StreamResponse:
        self.starts.append(await request.json())
        response = web.StreamResponse(status=self._status, headers={"content-type": self._content_type})
        await response.prepare(request)
        for piece in self._pieces:
            if piece == HANG:
                self.showing.set()
                await asyncio.Event().wait()
            await response.write(piece)
        return response

    async def cancel(self, request: web.Request) -> web.Response:
        self.stopped.append(request.match_info["id"])
        return web.json_response({})


@asynccontextmanager
async def serving(server: Server) -> AsyncIterator[Server]:
    app = web.Application()
    app.router.add_post("/v1/streams", server.start)
    app.router.add_post("/v1/streams/{id}/cancel", server.cancel)
    runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    server.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield server
    finally:
        await runner.cleanup()


def load(server: Server, *, streams: int = 3, duration_s: float = PATIENCE_S, api_key: str | None = None) -> Load:
    return Load(server.url, {"prompt": "x"}, streams=streams, duration_s=duration_s, api_key=api_key)


async def run(measured: Load, tell: Callable[[float], None] = lambda elapsed_s: None) -> Load:
    await measured.run(tell, every_s=PATIENCE_S)
    return measured


async def test_what_readers_saw_is_counted() -> None:
    """One time to the first token per stream, a gap between any two tokens of one, all events and bytes."""
    async with serving(Server(DELTA, DELTA + DELTA, COMPLETED)) as server:
        found = await run(load(server))

    size = len(DELTA * 3 + COMPLETED)
    assert ({"completed": 3}, {}, 0) == (found.endings, found.errors, found.running)
    assert (3, 6) == (found.ttft.count, found.gap.count)
    assert (12, 3 * size) == (found.events, found.size)
    assert 0 < found.ttft.most <= found.elapsed_s < PATIENCE_S
    assert found.json()["events_per_s"] == pytest.approx(12 / found.elapsed_s, rel=0.01)


async def test_the_streams_are_told_apart_and_soon_forgotten() -> None:
    """Each has an id of its own and a short time to live; the last body byte need not come for the end to count."""
    async with serving(Server(DELTA, COMPLETED, HANG)) as server:
        await run(load(server))

    assert 3 == len({start["id"] for start in server.starts})
    assert [("x", {"ttl": 60})] * 3 == [(start["prompt"], start["policy"]) for start in server.starts]
    assert [] == server.stopped


@pytest.mark.parametrize(
    "server, code",
    [
        (Server(b'event: stream.failed\ndata: {"error": {"code": "upstream_timeout"}}\n\n'), "upstream_timeout"),
        (Server(b"event: stream.failed\ndata: what?\n\n"), "failed"),
        (Server(b"event: stream.cancelled\ndata: {}\n\n"), "cancelled"),
        (Server(DELTA), CUT),
        (Server(b'{"error": {"code": "overloaded", "message": "full"}}', status=503), "overloaded"),
        (Server(b"<html>", content_type="text/html"), "not_a_stream"),
        (Server(b"data: " + b"x" * MAX_LINE_BYTES), "line_too_long"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
async def test_what_is_no_whole_answer_is_a_failure(server: Server, code: str) -> None:
    """I3: only `stream.completed` is success; the rest is counted by the code that says what it was."""
    async with serving(server):
        found = await run(load(server, streams=1))

    assert ({}, {code: 1}) == (found.endings, found.errors)


async def test_nobody_there_is_a_failure() -> None:
    """And no exception: the other streams may have better luck."""
    async with serving(Server()) as server:
        measured = load(server)

    found = await run(measured)

    assert {"server_unreachable": 3} == found.errors


async def test_when_the_time_is_up_what_runs_is_stopped() -> None:
    """The figures so far count; a stream that has shown nothing by then failed. Nothing is left running."""
    async with serving(Server(DELTA, DELTA, HANG)) as showing, serving(Server(HANG)) as silent:
        found = await run(load(showing, duration_s=0.3))
        other = await run(load(silent, duration_s=0.3))

    assert ({"stopped": 3}, {}) == (found.endings, found.errors)
    assert ({}, {SILENT: 3}) == (other.endings, other.errors)
    for server in (showing, silent):
        assert {start["id"] for start in server.starts} == set(server.stopped)


async def test_whoever_gives_up_leaves_nothing_running() -> None:
    """Ctrl-C cancels the measurement; its streams are stopped first."""
    async with serving(Server(DELTA, HANG)) as server:
        task = asyncio.create_task(run(load(server, streams=1)))
        await server.showing.wait()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    assert task.cancelled()
    assert [start["id"] for start in server.starts] == server.stopped


async def test_progress_is_told_and_a_mistake_is_no_figure() -> None:
    """What `tell` raises ends the measurement, and what runs is stopped."""
    told: list[float] = []

    def fail(elapsed_s: float) -> None:
        told.append(elapsed_s)
        raise ValueError("a mistake")

    async with serving(Server(DELTA, HANG)) as server:
        with pytest.raises(ValueError, match="a mistake"):
            await run(load(server, duration_s=0.2, api_key="one"), fail)

    assert 0 < told[0] < PATIENCE_S
    assert 3 == len(server.stopped)
