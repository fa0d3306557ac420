"""
Send a log to one reader: bare ASGI, one `send` per wake-up, however many entries that carries.

Strategy
    The response waits on its subscription; a second task waits for the disconnect, which no ASGI server tells a
    sender (uvicorn 0.54 drops what is sent after it in silence). Heartbeats and stuck sends are the heart's business.

    Where a body must not look complete, the connection is closed without the last chunk (I12). ASGI has no word for
    it: our own server puts the connection's `close` and `abort` into the scope (`server.serving`); elsewhere the
    callable just returns, upon which servers close the connection.
"""

import asyncio
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from typing import NamedTuple, Protocol

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from streamkeep.cursor import Cursor
from streamkeep.errors import StreamkeepError
from streamkeep.relay import Relay
from streamkeep.relay.subscription import Subscription
from streamkeep.relay.tail import Tail
from streamkeep.server.errors import describe, error_response
from streamkeep.server.heart import Heart
from streamkeep.wire.base import Options, Wire

EXTENSION = "streamkeep.connection"
"""Key in the scope's `extensions` for the connection's `Line`."""

CUT_S = 1.0
"""Seconds to wait for a cut connection to be gone before returning to the server."""

STREAM_HEADERS = {
    "cache-control": "no-store, no-transform, private",
    "x-accel-buffering": "no",
    "x-content-type-options": "nosniff",
    "cross-origin-resource-policy": "same-origin",
    "referrer-policy": "no-referrer",
    "content-security-policy": "default-src 'none'; sandbox",
}
"""On every stream reply: no cache, no buffering proxy, no sniffing."""


class Line(Protocol):
    """The raw side of a response, where the server has one (`server.serving`)."""

    @property
    def open(self) -> bool:
        """True while chunks can be written."""

    def write(self, chunk: bytes) -> bool:
        """Send a chunk; tell whether the reader takes more at once."""

    def when_writable(self, call: Callable[[], None] | None) -> None:
        """Call when the reader has taken enough."""

    def close(self) -> None:
        """End the connection once what was written has gone out, without the last chunk."""

    def abort(self) -> None:
        """End the connection at once."""


class View(NamedTuple):
    """How a reader wants to see a stream."""

    wire: Wire
    options: Options = Options()
    merged: bool = False
    """Join runs of deltas in what is there at the start."""
    follow: bool = True
    """Wait for what is not there yet."""


class StreamResponse(Response):
    """
    The body is what a subscription gives.

    Args:
        relay: Whose stream.
        heart: Looks after this reader.
        id: The stream's.
        view: How it is shown.
        cursor: What the reader has; checked already.
        headers: Further headers.
    """

    def __init__(
        self,
        relay: Relay,
        heart: Heart,
        id: str,
        view: View,
        *,
        cursor: Cursor,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        self.status_code = 200
        self.background = None
        self.media_type = None
        self.init_headers(
            {"content-type": view.wire.media_type, "x-stream-id": id, **STREAM_HEADERS, **(headers or {})}
        )
        self.sent_at = 0.0
        self.sending = False
        self._relay = relay
        self._heart = heart
        self._id = id
        self._view = view
        self._cursor = cursor
        self._gone = False
        self._subscription: Subscription | None = None
        self._tail: Tail
        self._line: Line | None = None
        self._pushed: asyncio.Future[None] | None = None
        self._loop = asyncio.get_running_loop()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one ASGI request."""
        self._line = scope.get("extensions", {}).get(EXTENSION)
        async with AsyncExitStack() as stack:
            try:
                self._tail = tail = await stack.enter_async_context(self._relay.watch(self._id))
            except StreamkeepError as error:  # It was forgotten in this very instant.
                await error_response(Request(scope), describe(error))(scope, receive, send)
                return
            self._subscription = subscription = Subscription(
                tail,
                self._relay.store,
                self._view.wire,
                self._view.options,
                cursor=self._cursor,
                merged=self._view.merged,
                follow=self._view.follow,
            )
            listener = asyncio.create_task(self._listen(receive), name=f"reader of {self._id}")
            self._heart.join(self)
            try:
                if await self._send_all(subscription, send):
                    await self._send(send, b"", more=False)
                elif not listener.done():
                    if self._line is not None:
                        self._line.close()
                    await asyncio.wait([listener], timeout=CUT_S)
            finally:
                self._heart.leave(self)
                listener.cancel()

    async def _send_all(self, subscription: Subscription, send: Send) -> bool:
        """Send until the end; tell whether the body may end well-formed."""
        self.sent_at = self._loop.time()
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        if self._view.wire.opening:
            await self._send(send, self._view.wire.opening)
        try:
            while not self._gone:
                if self._line is not None and self._line.open and subscription.attach():
                    await self._push(subscription, self._line)
                    if subscription.at_end:
                        break
                elif (chunk := await subscription.read()) is None:
                    break
                elif chunk and not self._gone:
                    await self._send(send, chunk)
        except StreamkeepError:  # The log cannot be read on: the reader comes back with its cursor.
            return False
        return not self._gone and subscription.ends_cleanly

    async def _send(self, send: Send, chunk: bytes, *, more: bool = True) -> None:
        self.sent_at = self._loop.time()
        self.sending = True
        await send({"type": "http.response.body", "body": chunk, "more_body": more})
        self.sending = False

    async def _push(self, subscription: Subscription, line: Line) -> None:
        """Write what comes straight from the log's growth, until the end, a cut, or a reader that fell behind."""
        self._pushed = self._loop.create_future()
        self._tail.follow(self._advance)
        line.when_writable(self._resume)
        try:
            self._advance()
            await self._pushed
        finally:
            self._pushed = None
            self._tail.unfollow(self._advance)
            line.when_writable(None)
            self.sending = False

    def _advance(self) -> None:
        """Write what has come since; the hot path of a reader that keeps up."""
        subscription, line = self._subscription, self._line
        if self.sending or subscription is None or line is None:
            return
        chunk = subscription.take()
        if chunk:
            self.sent_at = self._loop.time()
            self.sending = not line.write(chunk)
        if chunk is None or self._tail.ending is not None:
            self._stop_pushing()

    def _resume(self) -> None:
        self.sending = False
        self._advance()

    def _stop_pushing(self) -> None:
        if self._pushed is not None and not self._pushed.done():
            self._pushed.set_result(None)

    async def _listen(self, receive: Receive) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        self.cut()

    def beat(self) -> None:
        """Send a heartbeat if there is nothing else to send."""
        if self._pushed is None:
            if self._subscription is not None:
                self._subscription.beat()
        elif self._line is not None and not self.sending and self._view.wire.heartbeat:
            self.sent_at = self._loop.time()
            self.sending = not self._line.write(self._view.wire.heartbeat)

    def cut(self) -> None:
        """End the connection uncleanly, soon."""
        self._gone = True
        if self._pushed is not None:
            self._stop_pushing()
        else:
            self.beat()

    def abort(self) -> None:
        """End the connection at once and drop what was not taken."""
        self.cut()
        if self._line is not None:
            self._line.abort()
