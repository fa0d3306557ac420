"""The server on its socket: limits on headers, the way down, and ends that are no ends."""

import asyncio
import logging
import signal
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Any

import pytest
import uvicorn

from streamkeep.errors import BadRequest
from streamkeep.server import create_app, serving
from streamkeep.settings import Settings
from streamkeep.stores.memory import MemoryStore
from streamkeep.testing.fake_upstream import Fault
from streamkeep.testing.manual_clock import ManualClock
from tests.relay.scripted import CLOSING, OPENING, Script, ScriptedUpstream, Stage, Wait, delta, paced, staged, whole

pytestmark = pytest.mark.anyio


class House:
    """A server on a socket of this machine."""

    def __init__(self, stage: Stage, settings: Settings) -> None:
        self.stage = stage
        self.clock = stage.clock
        self.app = create_app(stage.relay, settings)
        self.listener = serving.listen("127.0.0.1", 0)
        self.port = self.listener.getsockname()[1]
        self.ready = asyncio.Event()
        self.server: serving.Server | None = None
        self.task: asyncio.Task[None] | None = None

    async def open(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Serve as the command does."""

        def remember(*args: Any) -> serving.Server:
            self.server = real(*args)
            return self.server

        real = serving.Server
        monkeypatch.setattr(serving, "Server", remember)
        self.task = asyncio.create_task(serving.serve(self.app, self.listener, ready=self.ready.set))
        await self.ready.wait()
        monkeypatch.setattr(serving, "Server", real)

    def signal(self) -> None:
        assert self.server is not None
        self.server.handle_exit(signal.SIGTERM, None)

    async def connect(self) -> "Line":
        return Line(*await asyncio.open_connection("127.0.0.1", self.port))

    async def get(self, path: str) -> bytes:
        line = await self.connect()
        line.say(f"GET {path} HTTP/1.1\r\nhost: 127.0.0.1\r\nconnection: close\r\n\r\n".encode())
        return await line.rest()

    async def begin(self, **request: Any) -> "Line":
        """Start a stream and read its events."""
        import msgspec

        body = msgspec.json.encode({"prompt": "x", "stream": True, **request})
        line = await self.connect()
        line.say(b"POST /v1/streams HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body))
        return line


class Line:
    """One connection, spoken by hand."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    def say(self, data: bytes) -> None:
        self.writer.write(data)

    async def rest(self) -> bytes:
        """Read until the server closes."""
        try:
            return await self.reader.read()
        except ConnectionError:
            return b""
        finally:
            self.writer.close()


@pytest.fixture
async def house(clock: ManualClock, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Callable[..., Awaitable[House]]]:
    async with AsyncExitStack() as stack:

        async def make(*answers: Any, **settings: Any) -> House:
            stage = staged(clock, ScriptedUpstream(*answers), store=MemoryStore())
            built = House(stage, Settings(store="memory://", **settings))
            await built.open(monkeypatch)

            async def close() -> None:
                assert built.task is not None
                while not built.task.done():
                    built.signal()
                    await clock.advance(1)
                await built.task

            stack.push_async_callback(close)
            return built

        yield make


Builder = Callable[..., Awaitable[House]]


async def test_a_stream_goes_over_the_socket_to_its_end(house: Builder) -> None:
    """The body is chunked and ends with its last chunk."""
    built = await house(whole("a", "b"))

    line = await built.begin()
    got = await line.reader.readuntil(b"0\r\n\r\n")

    assert got.startswith(b"HTTP/1.1 200")
    assert b"event: stream.completed" in got
    assert b"\r\nserver:" not in got.lower()
    line.writer.close()


async def test_a_text_that_broke_has_no_last_chunk(house: Builder) -> None:
    """I12: the connection closes, the body does not end."""
    built = await house(Script([OPENING + delta("part")]))
    line = await built.begin(id="s")
    await line.reader.readuntil(b"0\r\n\r\n")
    line.writer.close()

    got = await built.get("/v1/streams/s/events?wire=text")

    assert b"part" in got
    assert not got.endswith(b"0\r\n\r\n")


async def test_headers_have_ten_seconds(house: Builder) -> None:
    """I10: a connection that says nothing, or half of it, is closed."""
    built = await house(whole("a"))
    silent, half = await built.connect(), await built.connect()
    half.say(b"GET / HTTP/1.1\r\nhost: 127")
    began = built.clock.time

    assert [b"", b""] == [await silent.rest(), await half.rest()]
    assert serving.HEADER_S == pytest.approx(built.clock.time - began, abs=0.1)


async def test_a_connection_that_asked_in_time_is_kept(house: Builder) -> None:
    """The limit is on the first request's headers, not on the answer."""
    built = await house(Script([OPENING, *paced("a" * 10, 5), CLOSING]))
    line = await built.begin()

    got = await line.reader.readuntil(b"0\r\n\r\n")

    assert b"event: stream.completed" in got
    line.writer.close()


@pytest.mark.parametrize(
    "head",
    [
        b"x-big: " + b"x" * serving.MAX_HEADER_BYTES + b"\r\n",
        b"".join(b"x-%d: %b\r\n" % (number, b"x" * 1000) for number in range(70)),
    ],
    ids=["one", "many"],
)
@pytest.mark.parametrize("first", [True, False], ids=["before the host", "after the host"])
async def test_headers_that_are_too_large_start_nothing(house: Builder, head: bytes, first: bool) -> None:
    """I10: a request whose headers are not read to their end is not served in part."""
    built = await house(whole("a"))
    line = await built.connect()
    body = b'{"prompt":"x","id":"s"}'
    host = b"host: 127.0.0.1\r\ncontent-length: %d\r\n" % len(body)
    line.say(b"POST /v1/streams HTTP/1.1\r\n" + (head + host if first else host + head) + b"\r\n" + body)

    got = await line.rest()

    await built.clock.advance(1)
    assert b"201" not in got
    assert [] == await built.stage.relay.streams()


async def test_a_target_that_is_too_long_starts_nothing(house: Builder) -> None:
    """I10: the request line counts."""
    built = await house(whole("a"))

    got = await built.get("/healthz?" + "x" * serving.MAX_HEADER_BYTES)

    assert b"200 OK" not in got


async def test_the_first_signal_lets_answers_finish(house: Builder) -> None:
    """Nothing new is started, what runs ends well, then the server does."""
    built = await house(Script([OPENING + delta("a"), Wait(8), CLOSING]), drain=20)
    line = await built.begin(id="s")
    await built.clock.advance(1)
    began = built.clock.time

    built.signal()
    await built.clock.advance(1)
    ready = await built.get("/readyz")
    late_line = await built.begin()
    late = await late_line.reader.read(40)
    late_line.writer.close()
    got = await line.rest()
    assert built.task is not None
    await built.task

    assert b"HTTP/1.1 503" in ready
    assert b"HTTP/1.1 503" in late
    assert b"event: stream.completed" in got
    assert got.endswith(b"0\r\n\r\n")
    assert built.clock.time - began < 12


async def test_what_does_not_finish_is_told_so_and_then_the_server_ends(house: Builder) -> None:
    """I3: after the drain a running answer ends as failed, and its reader sees that as an event."""
    built = await house(Script([OPENING + delta("a"), Fault.HANG]), drain=5)
    line = await built.begin(id="s")
    await built.clock.advance(1)
    began = built.clock.time

    built.signal()
    got = await line.rest()

    assert b"server_shutdown" in got
    assert got.endswith(b"0\r\n\r\n")
    assert 5 == pytest.approx(built.clock.time - began, abs=0.5)


async def test_readers_that_do_not_take_their_end_are_cut(house: Builder, caplog: pytest.LogCaptureFixture) -> None:
    """I12: who is stuck comes back with its cursor; the server does not wait for it."""
    built = await house(Script([OPENING, delta("x" * 5_000_000), delta("x" * 5_000_000), Wait(900), CLOSING]), drain=1)
    stuck = await built.begin(id="s")
    stuck.writer.transport.pause_reading()  # type: ignore[attr-defined]
    await built.clock.advance(1)
    began = built.clock.time

    built.signal()
    assert built.task is not None
    await built.task

    assert built.clock.time - began < 1 + serving.FINISH_S + serving.CUT_S + 1
    assert "without completing" not in caplog.text
    stuck.writer.transport.abort()


async def test_a_second_signal_ends_what_runs(house: Builder) -> None:
    """I3: who is in a hurry does not wait for the drain; endings are written and told all the same."""
    built = await house(Script([OPENING + delta("a"), Fault.HANG]), drain=1000, timeout_idle=5000)
    line = await built.begin(id="s")
    await built.clock.advance(1)
    began = built.clock.time

    built.signal()
    await built.clock.advance(0.1)
    built.signal()
    got = await line.rest()
    assert built.task is not None
    await built.task

    assert b"server_shutdown" in got
    assert built.clock.time - began < 1


async def test_a_third_signal_ends_at_once(house: Builder) -> None:
    """Nothing is waited for any more."""
    built = await house(Script([OPENING + delta("a"), Fault.HANG]))
    await built.clock.advance(1)
    assert built.server is not None

    for _ in range(3):
        built.signal()

    assert (True, True) == (built.server.force_exit, built.server.should_exit)


async def test_a_signal_before_the_start_ends_it(clock: ManualClock) -> None:
    """A server that does not serve yet has nothing to drain."""
    stage = staged(clock, ScriptedUpstream(), store=MemoryStore())
    app = create_app(stage.relay, Settings(store="memory://"))
    server = serving.Server(uvicorn.Config(app, log_config=None), app.state.service, lambda: None)

    server.handle_exit(signal.SIGINT, None)

    assert (True, True) == (server.force_exit, server.should_exit)


def test_a_taken_address_is_said_with_what_to_do() -> None:
    """A person who starts a second server learns why it does not start."""
    with serving.listen("127.0.0.1", 0) as first:
        port = first.getsockname()[1]
        with pytest.raises(BadRequest, match=rf"Cannot listen on 127.0.0.1:{port} .*Choose another --port") as caught:
            serving.listen("127.0.0.1", port)

    assert "cannot_listen" == caught.value.code


def test_the_socket_notices_readers_that_vanished() -> None:
    """Silent connections are probed, and unacknowledged data ends one after a while."""
    with serving.listen("127.0.0.1", 0) as listener:
        assert 1 == listener.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
        for name, value in {**serving.KEEPALIVE, "TCP_USER_TIMEOUT": serving.USER_TIMEOUT_MS}.items():
            assert value == listener.getsockopt(socket.IPPROTO_TCP, getattr(socket, name))


def test_an_address_with_colons_is_of_the_sixth_version() -> None:
    """`::1` is this machine too."""
    if not socket.has_ipv6:
        pytest.skip("no IPv6 on this machine")
    with serving.listen("::1", 0) as listener:
        assert socket.AF_INET6 == listener.family


def test_the_loop_is_the_fastest_there_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """uvloop, except where there is none."""
    import uvloop

    fast = serving.loop_factory()
    monkeypatch.setattr("sys.platform", "win32")

    assert (uvloop.new_event_loop, asyncio.new_event_loop) == (fast, serving.loop_factory())


def test_a_cut_on_purpose_is_no_error_in_the_log() -> None:
    """I12: what uvicorn calls an incomplete response is our way to say "come back"."""

    def says(text: str) -> bool:
        return serving._expected(logging.LogRecord("uvicorn.error", 40, "", 0, text, None, None))

    assert [False, True] == [says("ASGI callable returned without completing response."), says("anything else")]


async def test_a_chunk_for_a_reader_that_has_gone_is_dropped() -> None:
    """I6: between the close of a socket and the word of it nothing may be raised into who writes the log."""

    class Gone(asyncio.Transport):
        def is_closing(self) -> bool:
            return True

        def write(self, data: Any) -> None:
            raise RuntimeError("the handler is closed")

    class Connection:
        transport = Gone()
        flow = None

    assert serving.Line(Connection(), None).write(b"x")  # type: ignore[arg-type]
