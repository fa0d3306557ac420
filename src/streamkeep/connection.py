"""
Hold one HTTP/1.1 connection to a model's API: one request at a time, the body given as it arrives.

Strategy
    httptools reads what the loop received and calls back; the body goes to its taker in the same call, without a
    task, a queue or a future per chunk. A taker that is behind pauses the socket.

Law
    The connection is used again only if the response was read to its end and both sides keep it alive.
"""

import asyncio
import zlib
from collections.abc import Callable, Mapping
from typing import Protocol, cast

import httptools

from streamkeep.errors import UpstreamBroken, UpstreamError, UpstreamGone

MAX_HEADER_BYTES = 64 * 1024
"""Bytes of a response's headers; the vendors' are below 3 KiB."""

MAX_EARLY_BYTES = 1024 * 1024
"""Bytes of a body that are kept before somebody takes them; the socket is paused beyond."""

MAX_INFLATED_BYTES = 16 * 1024 * 1024
"""Bytes that one received piece may inflate to: twice the largest event."""

_INFLATED = frozenset({"gzip", "x-gzip", "deflate"})
_GZIP_OR_ZLIB = 47
"""zlib's window bits for both, told apart by their headers."""
_FORBIDDEN = ("\r", "\n", "\0")


class Taker(Protocol):
    """Takes a response's body."""

    def __call__(self, chunk: bytes, /) -> bool:
        """Take what has arrived; tell whether that was all that is wanted."""


class Exchange:
    """
    One request and its response.

    Attributes:
        status: The response's, once `answered` is done.
        headers: Lower-case names; repeated ones are joined with commas.
        touched: True once a byte of the response has come.
        answered: Done when the response's headers have come; raises UpstreamError.
    """

    def __init__(self, connection: "Connection", loop: asyncio.AbstractEventLoop) -> None:
        self.status = 0
        self.headers: dict[str, str] = {}
        self.touched = False
        self.answered: asyncio.Future[None] = loop.create_future()
        self._connection = connection
        self._loop = loop
        self._take: Taker | None = None
        self._taken: asyncio.Future[bool] | None = None
        self._early = bytearray()
        self._ended = False
        self._error: UpstreamError | None = None

    @property
    def ended(self) -> bool:
        """True once the body has come to its end."""
        return self._ended

    async def each(self, take: Taker) -> bool:
        """
        Give the body, piece by piece as it arrives, until the taker has enough or it ends.

        Returns:
            True if the taker had enough, False if the body ended before.

        Raises:
            UpstreamError: The connection broke, or the body is not what its headers say. What `take` raises comes
                out here too.
        """
        early, self._early = bytes(self._early), bytearray()
        if early and take(early):
            return True
        if self._error is not None:
            raise self._error
        if self._ended:
            return False
        self._take = take
        self._taken = self._loop.create_future()
        self._connection.resume()
        try:
            return await self._taken
        finally:
            self._take = None

    def feed(self, chunk: bytes) -> None:
        """Pass on what arrived of the body."""
        if self._take is None:
            self._early += chunk
            if len(self._early) > MAX_EARLY_BYTES:
                self._connection.pause()
            return
        try:
            if self._take(chunk):
                self._finish(True)
        except Exception as error:
            self._take = None
            if self._taken is not None and not self._taken.done():
                self._taken.set_exception(error)

    def end(self) -> None:
        """Note that the body has come to its end."""
        self._ended = True
        self._finish(False)

    def fail(self, error: UpstreamError) -> None:
        """Note that no more will come."""
        if self._ended or self._error is not None:
            return
        self._error = error
        for future in (self.answered, self._taken):
            if future is not None and not future.done():
                future.set_exception(error)

    def _finish(self, enough: bool) -> None:
        self._take = None
        if self._taken is not None and not self._taken.done():
            self._taken.set_result(enough)


class Connection(asyncio.Protocol):
    """
    One connection.

    Args:
        released: Called when the connection can be used for another request.
        lost: Called once when it is gone.
    """

    def __init__(self, released: Callable[["Connection"], None], lost: Callable[["Connection"], None]) -> None:
        self._released = released
        self._lost = lost
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._exchange: Exchange | None = None
        self._parser: httptools.HttpResponseParser | None = None
        self._header_bytes = 0
        self._sized = False
        self._headers_done = False
        self._inflate: Callable[[bytes], bytes] | None = None
        self._chunks: list[bytes] = []

    def request(self, head: bytes, body: bytes) -> Exchange:
        """Send a request; the connection must be free."""
        assert self._transport is not None, "closed"
        assert self._exchange is None, "busy"
        self._parser = httptools.HttpResponseParser(self)
        self._header_bytes = 0
        self._sized = self._headers_done = False
        self._inflate = None
        exchange = self._exchange = Exchange(self, self._loop)
        self._transport.write(head + body)
        return exchange

    @property
    def usable(self) -> bool:
        """True if another request can be sent."""
        return self._transport is not None and self._exchange is None and not self._transport.is_closing()

    def pause(self) -> None:
        """Read no more for now."""
        if self._transport is not None and not self._transport.is_closing():
            self._transport.pause_reading()

    def resume(self) -> None:
        """Read on."""
        if self._transport is not None and not self._transport.is_closing():
            self._transport.resume_reading()

    def close(self) -> None:
        """Close now; whoever waits is told. Idempotent."""
        if self._transport is not None:
            self._transport.abort()
        self._fail(UpstreamGone("The connection to the model's API was closed.", code="upstream_reset"))

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        """Read what arrived, and pass the body on in one piece."""
        parser, exchange = self._parser, self._exchange
        if parser is None or exchange is None:
            self.close()  # Nobody asked for this.
            return
        exchange.touched = True
        try:
            parser.feed_data(data)
        except httptools.HttpParserError:
            self._pass_on(exchange)
            self._fail(UpstreamBroken("What answered at the model's address does not speak HTTP."))
            self.close()
            return
        if self._chunks:
            self._pass_on(exchange)

    def eof_received(self) -> None:
        """Let the connection close."""

    def connection_lost(self, exc: Exception | None) -> None:
        """Note the end, which ends a body without a length of its own."""
        self._transport = None
        exchange = self._exchange
        if exchange is not None and exc is None and self._headers_done and not self._sized:
            self._complete()
        elif exc is None and self._headers_done:
            self._fail(
                UpstreamBroken(
                    "The connection to the model's API ended in the middle of the answer.", code="upstream_truncated"
                )
            )
        else:
            self._fail(UpstreamGone("The connection to the model's API broke.", code="upstream_reset"))
        self._lost(self)

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header."""
        self._header_bytes += len(name) + len(value)
        if self._header_bytes > MAX_HEADER_BYTES:
            raise ValueError("headers too large")
        exchange = self._exchange
        if exchange is not None and not self._headers_done:
            key, text = name.decode("latin-1").lower(), value.decode("latin-1")
            exchange.headers[key] = f"{exchange.headers[key]}, {text}" if key in exchange.headers else text

    def on_headers_complete(self) -> None:
        """Tell the requester, unless it is only an interim response."""
        exchange, parser = self._exchange, self._parser
        if exchange is None or parser is None:
            return
        status = parser.get_status_code()
        if status < 200:
            exchange.headers.clear()
            return
        headers = exchange.headers
        exchange.status = status
        self._headers_done = True
        self._sized = "content-length" in headers or "chunked" in headers.get("transfer-encoding", "").lower()
        coding = headers.get("content-encoding", "identity").lower()
        if coding in _INFLATED:
            self._inflate = _inflater()
        if not exchange.answered.done():
            exchange.answered.set_result(None)

    def on_body(self, body: bytes) -> None:
        """Take a piece of the body."""
        if self._headers_done:
            self._chunks.append(body if self._inflate is None else self._inflate(body))

    def on_message_complete(self) -> None:
        """Note the end of a response."""
        if self._headers_done and self._sized:
            if self._exchange is not None and self._chunks:
                self._pass_on(self._exchange)
            self._complete()

    def _pass_on(self, exchange: Exchange) -> None:
        chunks, self._chunks = self._chunks, []
        exchange.feed(chunks[0] if len(chunks) == 1 else b"".join(chunks))

    def _complete(self) -> None:
        exchange, parser = self._exchange, self._parser
        self._exchange = self._parser = None
        if exchange is not None:
            exchange.end()
        if self._transport is None:
            return
        if parser is not None and parser.should_keep_alive():
            self.resume()
            self._released(self)
        else:
            self._transport.close()

    def _fail(self, error: UpstreamError) -> None:
        exchange, self._exchange, self._parser = self._exchange, None, None
        if exchange is not None:
            exchange.fail(error)


def _inflater() -> Callable[[bytes], bytes]:
    inflater = zlib.decompressobj(_GZIP_OR_ZLIB)

    def inflate(piece: bytes) -> bytes:
        inflated = inflater.decompress(piece, MAX_INFLATED_BYTES)
        if inflater.unconsumed_tail:
            raise ValueError(f"a piece inflates to more than {MAX_INFLATED_BYTES} bytes")
        return inflated

    return inflate


def head_of(method: str, target: str, host: str, headers: Mapping[str, str], length: int) -> bytes:
    """
    Give a request's head.

    Raises:
        ValueError: A name or value holds what would end the line.
    """
    lines = [f"{method} {target} HTTP/1.1", f"host: {host}"]
    if length:
        lines.append(f"content-length: {length}")
    lines += [f"{name}: {value}" for name, value in headers.items()]
    if any(mark in line for line in lines for mark in _FORBIDDEN):
        raise ValueError("a header with a line end in it")
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")
