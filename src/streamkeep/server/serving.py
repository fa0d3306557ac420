"""
Run the application: sockets, signals and the way down.

Strategy
    uvicorn serves; this file gives it what a server of long streams needs:
    keepalive and `TCP_USER_TIMEOUT` on the listening socket, so that a reader that vanished is noticed; limits on
    headers and on how long they may take; the connection's `close` and `abort` for responses that must not end
    cleanly; and a drain between the signal and the end.

    First signal: nothing new is started, running answers may finish within `drain` seconds, then they end as failed
    and their readers are told. Readers still there are cut, uncleanly, so that they come back (I12). Second signal:
    running answers end now. Third signal: at once, without waiting for anything.
"""

import asyncio
import gc
import logging
import socket
import sys
from collections.abc import Callable
from types import FrameType
from typing import Any

import uvicorn
from fastapi import FastAPI
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from streamkeep.errors import BadRequest
from streamkeep.server.service import Service
from streamkeep.server.stream_response import EXTENSION

BACKLOG = 4096
"""Connections that may wait to be accepted: a crowd that comes back at once."""

USER_TIMEOUT_MS = 30_000
"""How long sent data may stay unacknowledged before the kernel ends the connection, in ms."""

KEEPALIVE = {"TCP_KEEPIDLE": 15, "TCP_KEEPINTVL": 5, "TCP_KEEPCNT": 3}
"""Silent connections are probed after 15 s, every 5 s, 3 times."""

MAX_HEADER_BYTES = 64 * 1024
"""A request line and headers that pass this are not read to their end, in bytes."""

HEADER_S = 10.0
"""Seconds that a connection may take for its first request's headers."""

COLLECT_AFTER = (50_000, 50, 100)
"""Allocations, young and middle collections before the next collection of each generation."""

FINISH_S = 2.0
"""Seconds for readers to take the endings once everything has ended."""

CUT_S = 2
"""Seconds for cut readers to be gone before the process ends."""

_log = logging.getLogger(__name__)


class Connection(HttpToolsProtocol):
    """One connection, with limits on its headers."""

    def connection_made(self, transport: Any) -> None:
        """Begin; the first request's headers have `HEADER_S` to come."""
        self.on_writable: Callable[[], None] | None = None
        super().connection_made(transport)
        self._header_bytes = 0
        self._header_timer = self.loop.call_later(HEADER_S, transport.abort)

    def connection_lost(self, exc: Exception | None) -> None:
        """End."""
        self._header_timer.cancel()
        super().connection_lost(exc)

    def on_message_begin(self) -> None:
        """Count a new request's headers."""
        self._header_bytes = 0
        super().on_message_begin()

    def on_url(self, url: bytes) -> None:
        """Count the target."""
        if self._fits(len(url)):
            super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        """Count a header."""
        if self._fits(len(name) + len(value)):
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """Give the response a way to end the connection."""
        self._header_timer.cancel()
        super().on_headers_complete()
        extensions: dict[Any, Any] = self.scope.setdefault("extensions", {})
        extensions[EXTENSION] = Line(self, self.cycle)

    def resume_writing(self) -> None:
        """Tell a response that held off that the reader has taken enough."""
        super().resume_writing()
        if self.on_writable is not None:
            self.on_writable()

    def _fits(self, size: int) -> bool:
        self._header_bytes += size
        if self._header_bytes > MAX_HEADER_BYTES:
            self.transport.abort()
            return False
        return True


class Line:
    """
    The raw side of one response: its chunks go to the socket without passing through ASGI (2.8 µs less per send).

    Args:
        connection: Whose.
        cycle: uvicorn's state of this response.
    """

    __slots__ = ("_connection", "_cycle", "_flow", "_transport")

    def __init__(self, connection: Connection, cycle: RequestResponseCycle) -> None:
        self._connection = connection
        self._cycle = cycle
        self._flow = connection.flow
        self._transport = connection.transport

    @property
    def open(self) -> bool:
        """True while chunks can be written: the head is sent, the body has no fixed length, the reader is there."""
        cycle = self._cycle
        return bool(cycle.chunked_encoding and cycle.response_started and not cycle.disconnected)

    def write(self, chunk: bytes) -> bool:
        """Send a chunk, which must not be empty; tell whether the reader takes more at once."""
        if self._transport.is_closing():  # The reader has gone, and the response will be told in a moment.
            return True
        self._transport.write(b"%x\r\n%b\r\n" % (len(chunk), chunk))
        return not self._flow.write_paused

    def when_writable(self, call: Callable[[], None] | None) -> None:
        """Call when the reader has taken enough."""
        self._connection.on_writable = call

    def close(self) -> None:
        """End the connection once what was written has gone out, without the last chunk."""
        self._transport.close()

    def abort(self) -> None:
        """End the connection at once."""
        self._transport.abort()


class Server(uvicorn.Server):
    """
    uvicorn, with a drain between the signal and the end.

    Args:
        config: uvicorn's.
        service: What to drain.
        ready: Called once connections are accepted.
    """

    def __init__(self, config: uvicorn.Config, service: Service, ready: Callable[[], None]) -> None:
        super().__init__(config)
        self.loop = asyncio.get_running_loop()
        self._service = service
        self._ready = ready
        self._signals = 0
        self._going_down: list[asyncio.Task[None]] = []

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin, and say so."""
        await super().startup(sockets=sockets)
        if self.started:
            _spare_the_collector()
            self._ready()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Drain at the first signal, end what runs at the second, drop everything at the third."""
        self._signals += 1
        if not self.started or self._signals > 2:
            self.force_exit = self.should_exit = True
        else:
            work = self._go_down if self._signals == 1 else self._hurry
            self.loop.call_soon_threadsafe(lambda: self._going_down.append(self.loop.create_task(work())))

    async def _go_down(self) -> None:
        _log.info("going down: nothing new is started; a second signal ends what runs")
        try:
            await self._service.relay.drain(self._service.settings.drain)
            await self._service.heart.wait_empty(FINISH_S)
            self._service.heart.cut_all()
        finally:
            self.should_exit = True

    async def _hurry(self) -> None:
        await self._service.relay.drain(0)


def _spare_the_collector() -> None:
    """
    Let the garbage collector look less often, and never at what is there from the start.

    Streams are freed by their counts; what it walks through again and again are the many that are open. At 1,000 of
    them it took 20 % of all CPU with its default thresholds.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(*COLLECT_AFTER)


def listen(host: str, port: int) -> socket.socket:
    """
    Open the listening socket.

    Raises:
        BadRequest: The address is taken or none of this machine's.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for name, value in {**KEEPALIVE, "TCP_USER_TIMEOUT": USER_TIMEOUT_MS}.items():
            if hasattr(socket, name):
                listener.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
        listener.bind((host, port))
        listener.listen(BACKLOG)
    except OSError as error:
        listener.close()
        raise BadRequest(
            f"Cannot listen on {host}:{port} ({error.strerror or error}). Choose another --port.", code="cannot_listen"
        ) from error
    return listener


async def serve(app: FastAPI, listener: socket.socket, *, ready: Callable[[], None] = lambda: None) -> None:
    """
    Serve until a signal ends it; return when everything is closed.

    Args:
        app: From `create_app`.
        listener: From `listen`.
        ready: Called once connections are accepted.
    """
    config = uvicorn.Config(
        app,
        http=Connection,
        ws="none",
        lifespan="on",
        access_log=False,
        log_config=None,
        server_header=False,
        date_header=False,
        proxy_headers=False,
        backlog=BACKLOG,
        timeout_graceful_shutdown=CUT_S,
        h11_max_incomplete_event_size=None,
    )
    logging.getLogger("uvicorn.error").addFilter(_expected)
    await Server(config, app.state.service, ready).serve(sockets=[listener])


def loop_factory() -> Any:
    """Give the fastest event loop there is here."""
    if sys.platform == "win32":
        return asyncio.new_event_loop
    import uvloop

    return uvloop.new_event_loop


def _expected(record: logging.LogRecord) -> bool:
    """Drop what uvicorn calls an error and is our way to cut a reader (I12)."""
    return record.getMessage() != "ASGI callable returned without completing response."
