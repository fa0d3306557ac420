"""
Ask the model's API, and give the raw bytes of its answer as they come.

The only file that makes outgoing model requests.

Strategy
    Connections are pooled by address. The bytes are raw SSE, so pings are seen. A response's connection goes back to
    the pool when its last event came and its body ended by itself soon after; in every other case it is closed.

Laws
    1. No redirect is followed and no proxy variable is read; nothing of the caller's headers goes out except what
       the provider put into its call.
    2. `identity` is asked for; what comes compressed all the same is inflated as it arrives.
    3. Time limits other than the connection's belong to the caller (`relay.watchdog`), which sees the events.
"""

import asyncio
import ssl
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

import msgspec

from streamkeep.connection import Connection, Exchange, Taker, head_of
from streamkeep.errors import UpstreamError, UpstreamGone, UpstreamTimeout
from streamkeep.providers.base import Call

MAX_ERROR_BODY_BYTES = 64 * 1024
"""Bytes read of a response that is no stream; error bodies are below 2 KiB."""

MAX_ERROR_BODY_S = 5.0
"""Seconds to wait for such a body."""

LINGER_S = 1.0
"""Seconds that a finished answer's body may take to end by itself before its connection is closed."""

KEEP_ALIVE_S = 30.0
"""Seconds that an idle connection is kept for the next request."""

STREAM_HEADERS = {"accept": "text/event-stream", "accept-encoding": "identity"}
"""Sent with every request for a stream."""

Address = tuple[str, str, int]
"""Scheme, host, port."""


class Endpoint(msgspec.Struct, frozen=True):
    """Where a provider's API is, and what opens it."""

    base_url: str
    """Origin and path prefix, without a slash at the end."""
    authorization: dict[str, str]
    """Headers that carry the key. Never logged, stored or shown."""

    @property
    def secrets(self) -> tuple[str, ...]:
        """Give the key's texts, for removing them from whatever is shown."""
        return tuple(self.authorization.values())


class Reply:
    """One response whose headers have come."""

    def __init__(self, exchange: Exchange, connection: Connection) -> None:
        self._exchange = exchange
        self._connection = connection
        self.status = exchange.status
        self.headers = exchange.headers

    @property
    def is_event_stream(self) -> bool:
        """True if it is a 200 with the content type of an event stream."""
        media_type = self.headers.get("content-type", "").partition(";")[0].strip().lower()
        return self.status == 200 and media_type == "text/event-stream"

    async def each(self, take: Taker) -> bool:
        """
        Give the body piece by piece, whatever has arrived, until `take` says that it is enough or the body ends.

        Returns:
            True if it was enough, False if the body ended before.

        Raises:
            UpstreamGone: The connection broke.
            UpstreamBroken: The body is not what its headers say.
        """
        return await self._exchange.each(take)

    def pause(self) -> None:
        """Read no more for now (back-pressure)."""
        self._connection.pause()

    def resume(self) -> None:
        """Read on."""
        self._connection.resume()

    async def body(self) -> bytes:
        """Give the first part of a body that is no stream, as far as it comes in time."""
        body = bytearray()

        def take(chunk: bytes) -> bool:
            body.extend(chunk)
            return len(body) >= MAX_ERROR_BODY_BYTES

        try:
            async with asyncio.timeout(MAX_ERROR_BODY_S):
                await self.each(take)
        except (TimeoutError, UpstreamError):
            pass
        return bytes(body[:MAX_ERROR_BODY_BYTES])

    def close(self) -> None:
        """Close the connection now, whatever is still under way; keep it if the response has ended. Idempotent."""
        if not self._exchange.ended:
            self._connection.close()

    def finish(self) -> None:
        """Let the body end by itself, which gives the connection back; close it if that takes too long."""
        if not self._exchange.ended:
            asyncio.get_running_loop().call_later(LINGER_S, self.close)


class Upstream:
    """
    The pool of connections to model APIs.

    Args:
        max_connections: Connections open at once; a further request waits for its turn within `connect_s`.
    """

    def __init__(self, *, max_connections: int) -> None:
        self._places = asyncio.Semaphore(max_connections)
        self._idle: dict[Address, list[tuple[float, Connection]]] = {}
        self._open: set[Connection] = set()
        self._addresses: dict[Connection, Address] = {}
        self._tls: ssl.SSLContext | None = None

    async def __aenter__(self) -> Self:
        """Open the pool."""
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close every connection."""
        for connection in list(self._open):
            connection.close()
        await asyncio.sleep(0)

    async def send(self, call: Call, endpoint: Endpoint, *, connect_s: float) -> Reply:
        """
        Make a request and wait for its response headers.

        Args:
            call: What to ask.
            endpoint: Whom.
            connect_s: Seconds for a connection, waiting for a free one included.

        Raises:
            UpstreamGone: No connection could be made: unknown host, refused, TLS failure.
            UpstreamTimeout: No connection within `connect_s`.
            UpstreamBroken: What answered does not speak HTTP.
        """
        call = msgspec.structs.replace(call, headers={**STREAM_HEADERS, **call.headers})
        return await self._request("POST", call, endpoint, connect_s)

    async def get(self, call: Call, endpoint: Endpoint, *, connect_s: float) -> Reply:
        """
        Ask for a small document.

        Raises:
            UpstreamError: As `send`.
        """
        return await self._request("GET", call, endpoint, connect_s)

    async def _request(self, method: str, call: Call, endpoint: Endpoint, connect_s: float) -> Reply:
        url = urlsplit(endpoint.base_url)
        address = (url.scheme, url.hostname or "", url.port or (443 if url.scheme == "https" else 80))
        headers = {"user-agent": "streamkeep", **call.headers, **endpoint.authorization}
        try:
            head = head_of(method, url.path + call.path, url.netloc.rpartition("@")[2], headers, len(call.body))
        except ValueError as error:
            raise UpstreamGone("The request holds a header that cannot be sent.") from error
        if (idle := self._take_idle(address)) is not None:
            exchange = idle.request(head, call.body)
            try:
                return await self._answer(exchange, idle)
            except UpstreamGone:
                if exchange.touched:
                    raise
                # The API closed it in the very moment in which it was used again: nothing was asked yet.
        connection = await self._open_connection(address, connect_s)
        return await self._answer(connection.request(head, call.body), connection)

    async def _answer(self, exchange: Exchange, connection: Connection) -> Reply:
        try:
            await exchange.answered
        except UpstreamGone as error:
            raise UpstreamGone("The connection to the model's API broke before it answered.") from error
        except BaseException:
            connection.close()
            raise
        return Reply(exchange, connection)

    def _take_idle(self, address: Address) -> Connection | None:
        idle = self._idle.get(address)
        while idle:
            connection = idle.pop()[1]
            if connection.usable:
                return connection
        return None

    async def _open_connection(self, address: Address, connect_s: float) -> Connection:
        try:
            async with asyncio.timeout(connect_s):
                await self._places.acquire()
                return await self._connect(address)
        except TimeoutError as error:
            raise UpstreamTimeout(
                f"No connection to the model's API within {connect_s:g} s.", code="upstream_connect_timeout"
            ) from error

    async def _connect(self, address: Address) -> Connection:
        scheme, host, port = address
        tls = self._tls_context() if scheme == "https" else None
        try:
            _, connection = await asyncio.get_running_loop().create_connection(
                lambda: Connection(self._released, self._lost), host, port, ssl=tls
            )
        except (OSError, UnicodeError, ssl.SSLError) as error:
            self._places.release()
            raise UpstreamGone(
                "The model's API cannot be reached: no such host, connection refused or TLS failure. "
                "Check the base URL and the network."
            ) from error
        except BaseException:
            self._places.release()
            raise
        if not connection.usable:  # Lost before this line: `_lost` did not know it yet.
            self._places.release()
            raise UpstreamGone("The connection to the model's API broke before it answered.")
        self._open.add(connection)
        self._addresses[connection] = address
        return connection

    def _tls_context(self) -> ssl.SSLContext:
        if self._tls is None:
            self._tls = ssl.create_default_context()
        return self._tls

    def _released(self, connection: Connection) -> None:
        loop = asyncio.get_running_loop()
        self._idle.setdefault(self._addresses[connection], []).append((loop.time(), connection))
        loop.call_later(KEEP_ALIVE_S, self._retire, connection)

    def _retire(self, connection: Connection) -> None:
        """Close a connection that has been idle for long enough."""
        idle = self._idle.get(self._addresses.get(connection, ("", "", 0)), [])
        now = asyncio.get_running_loop().time()
        for since, each in idle:
            if each is connection and now - since >= KEEP_ALIVE_S:
                idle.remove((since, each))
                connection.close()
                return

    def _lost(self, connection: Connection) -> None:
        if connection in self._open:
            self._open.discard(connection)
            del self._addresses[connection]
            self._places.release()
