"""
Use a server from afar with the verbs of the relay: start, find, list, follow and stop streams.

Strategy
    A reader is a cursor (I4): when a connection breaks, `events` goes on from the last entry it gave, on a new
    connection, by the rules of `streamkeep.client.reconnect`. Only an ending ends it; a body that merely stops was cut.
    Every request can be repeated without harm, a start because it carries an idempotency key (I15), so what is lost
    on the way is sent again.
"""

import asyncio
import math
import random
import secrets
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Collection, Mapping
from contextlib import asynccontextmanager, suppress
from types import TracebackType
from typing import Any, Final, Self

import aiohttp
import msgspec

from streamkeep.client.reconnect import Reconnect
from streamkeep.client.refusals import refusal
from streamkeep.cursor import Cursor
from streamkeep.entry import TERMINALS, Entry
from streamkeep.errors import BadRequest, ServerUnreachable, StreamkeepError
from streamkeep.sse import Decoder

DEFAULT_URL: Final = "http://127.0.0.1:8000"
"""Where `streamkeep serve` listens unless it is told otherwise."""

CONNECT_S = 10.0
"""Limit for a connection to the server, in seconds."""

ANSWER_S = 30.0
"""Limit for an answer that is no stream, in seconds; a stop takes up to 5."""

SILENCE_S = 60.0
"""Seconds without a byte after which a stream's connection is taken for dead; heartbeats come every 15."""

PAGE = 200
"""Streams asked for at once; the most that the server gives."""

MAX_REFUSAL_BYTES = 64 * 1024
"""Bytes of a refusal that are read; ours have some hundred."""

_LOST = (aiohttp.ClientError, TimeoutError, OSError)


class RemoteEntry(Entry, frozen=True, gc=False, array_like=True, kw_only=True):
    """One event of a log, as a server tells it; `at` is NaN, for the wire does not carry it."""

    cursor: Cursor
    """Where a reader stands that has it."""


class AsyncClient:
    """
    A Streamkeep server. Use as an async context manager.

    Args:
        base_url: The server's address; a path in it is kept.
        api_key: One of the server's `api_keys`.
        rules: Makes the reconnection rules of one reader or request.
        jitter: Gives random numbers from 0 up to 1.
        on_retry: Told of each reconnection: how many failed in a row, and the seconds until the next.

    Raises:
        BadRequest: `base_url` is no HTTP address.

    Example:
        async with AsyncClient("http://127.0.0.1:8000") as client:
            stream = await client.start({"prompt": "Say hello"})
            async for piece in stream.text():
                print(piece, end="", flush=True)
    """

    def __init__(
        self,
        base_url: str = DEFAULT_URL,
        *,
        api_key: str | None = None,
        rules: Callable[[], Reconnect] = Reconnect,
        jitter: Callable[[], float] = random.random,
        on_retry: Callable[[int, float], None] = lambda failures, pause_s: None,
    ) -> None:
        if not base_url.startswith(("http://", "https://")):
            raise BadRequest("The server's address must begin with http:// or https://.", code="bad_url")
        self.base_url = base_url.rstrip("/")
        self.rules = rules
        self._jitter = jitter
        self._on_retry = on_retry
        self._headers = {} if api_key is None else {"authorization": f"Bearer {api_key}"}
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        """Open."""
        self._session = aiohttp.ClientSession(headers=self._headers)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close every connection; streams go on (I6)."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def start(self, request: Mapping[str, Any], *, idempotency_key: str | None = None) -> "RemoteStream":
        """
        Start a stream, or find the one that the same start began earlier (I15).

        Args:
            request: A Messages request, and beside its members `id`, `provider`, `policy`, `metadata`, `prompt`.
            idempotency_key: Two starts with one key are one start; a random one if left out.

        Raises:
            StreamkeepError: What the server refuses it with.
            ServerUnreachable: There is no server.
        """
        body = {key: value for key, value in request.items() if key != "stream"}
        key = {"idempotency-key": idempotency_key or secrets.token_hex(16)}
        _, shown = await self.ask("POST", "/v1/streams", body=body, headers=key)
        return RemoteStream(self, shown)

    async def stream(self, id: str) -> "RemoteStream":
        """
        Find a stream.

        Raises:
            StreamNotFound, StreamExpired: There is none.
        """
        return RemoteStream(self, (await self.ask("GET", f"/v1/streams/{checked(id)}"))[1])

    async def streams(self, *, states: Collection[str] = (), limit: int = 50) -> list["RemoteStream"]:
        """List streams, newest first; of all states if none are named."""
        found: list[RemoteStream] = []
        query = {"state": ",".join(sorted(states))} if states else {}
        while len(found) < limit:
            asked = {**query, "limit": str(min(PAGE, limit - len(found)))}
            _, page = await self.ask("GET", "/v1/streams", query=asked)
            found += [RemoteStream(self, shown) for shown in page["data"]]
            if not page["has_more"]:
                break
            query["page"] = page["next"]
        return found

    async def cancel(self, id: str) -> "RemoteStream | None":
        """
        Stop a stream (I14). Idempotent.

        Returns:
            The stream, whose `json` is the receipt; None if there is none yet and the stop is remembered for its start.

        Raises:
            StreamExpired: It is forgotten.
        """
        status, receipt = await self.ask("POST", f"/v1/streams/{checked(id)}/cancel")
        return None if status == 202 else RemoteStream(self, receipt)

    async def ask(
        self,
        method: str,
        path: str,
        *,
        body: Mapping[str, Any] | None = None,
        query: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> tuple[int, dict[str, Any]]:
        """
        Ask for JSON, again if the answer was lost on the way or may come later.

        Returns:
            The status, below 300, and the answer; empty if it has none.

        Raises:
            ServerUnreachable: No connection; at once if there never was one.
            StreamkeepError: What the server refuses it with.
        """
        data = None if body is None else msgspec.json.encode(body)
        given = {**(headers or {}), **({} if body is None else {"content-type": "application/json"})}
        timeout = aiohttp.ClientTimeout(total=ANSWER_S, connect=CONNECT_S)
        rules = self.rules()
        while True:
            try:
                async with self.request(method, path, query, given, data=data, timeout=timeout) as response:
                    text = await response.read()
                    return response.status, msgspec.json.decode(text, type=dict[str, Any]) if text else {}
            except msgspec.DecodeError as error:
                raise self.unreachable("answered with something else than JSON; is it a Streamkeep server?") from error
            except StreamkeepError as error:
                if error.code == ServerUnreachable.code or not error.retryable:
                    raise
                await self.pause(rules, error)

    @asynccontextmanager
    async def request(
        self,
        method: str,
        path: str,
        query: Mapping[str, str] | None,
        headers: Mapping[str, str],
        *,
        data: bytes | None = None,
        timeout: aiohttp.ClientTimeout,
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """
        Make one request and give the response while the body runs.

        Raises:
            ServerUnreachable: There is no connection (`server_unreachable`), or it broke (`connection_lost`).
            StreamkeepError: The status is no success.
        """
        if self._session is None:
            raise RuntimeError("use the client as an async context manager")
        try:
            async with self._session.request(
                method,
                self.base_url + path,
                params=query,
                headers=headers,
                data=data,
                timeout=timeout,
                allow_redirects=False,
            ) as response:
                if not 200 <= response.status < 300:
                    raise refusal(response.status, response.headers, await response.content.read(MAX_REFUSAL_BYTES))
                yield response
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError) as error:
            raise self.unreachable("cannot be reached. Is it running (`streamkeep serve`)?") from error
        except aiohttp.InvalidURL as error:
            raise BadRequest("The server's address is none.", code="bad_url") from error
        except _LOST as error:
            raise self.unreachable("was lost in the middle of its answer.", code="connection_lost") from error

    async def pause(self, rules: Reconnect, error: StreamkeepError, *, lasted_s: float = 0.0) -> None:
        """
        Wait before the next try.

        Raises:
            StreamkeepError: The error given, if the budget is spent.
        """
        pause_s = rules.pause_s(self._jitter(), lasted_s=lasted_s, asked_s=error.retry_after)
        if pause_s is None:
            raise error
        self._on_retry(rules.failures, pause_s)
        await asyncio.sleep(pause_s)

    def unreachable(self, what: str, *, code: str | None = None) -> ServerUnreachable:
        """Make the error that names this server and says what it did."""
        return ServerUnreachable(f"The server at {self.base_url} {what}", code=code)


class RemoteStream:
    """
    One stream of a server.

    Args:
        client: The server.
        shown: The stream as JSON, as the server gave it; `id` is enough.

    Attributes:
        cursor: The last entry that `events` gave, in text; empty before the first.
    """

    def __init__(self, client: AsyncClient, shown: Mapping[str, Any]) -> None:
        self.cursor = ""
        self._client = client
        self._shown = dict(shown)
        self._reached = "state" in shown

    @property
    def id(self) -> str:
        """Give the stream's id."""
        return str(self._shown["id"])

    async def refresh(self) -> dict[str, Any]:
        """Look where the stream stands now, and give it as JSON with the message as far as it got."""
        self._shown = (await self._client.ask("GET", f"/v1/streams/{checked(self.id)}"))[1]
        return self._shown

    def json(self) -> dict[str, Any]:
        """Give the stream as JSON, as it was when it was last looked at."""
        return dict(self._shown)

    async def events(self, *, after: str | Cursor = "") -> AsyncGenerator[RemoteEntry, None]:
        """
        Follow the log to its end, through lost connections: each entry once, none left out.

        Args:
            after: Begin behind this cursor.

        Raises:
            StreamNotFound, StreamExpired: There is no such stream.
            BadRequest, CursorForeign, CursorAhead: The cursor is none of this log's.
            ServerUnreachable: The connection broke and could not be made again.
        """
        position = Cursor.parse(str(after)) if after else Cursor("", 0)
        rules = self._client.rules()
        clock = asyncio.get_running_loop().time
        while True:
            began = clock()
            try:
                async with self._connected(position) as response:
                    if response.status == 204:
                        return
                    async for entry in self._entries(response, position):
                        position = entry.cursor
                        self.cursor = str(position)
                        rules.progressed()
                        yield entry
                        if entry.name in TERMINALS:
                            return
                lost: StreamkeepError = self._client.unreachable("cut the connection.", code="connection_lost")
            except StreamkeepError as error:
                if not error.retryable or not (self._reached or error.code != ServerUnreachable.code):
                    raise
                lost = error
            await self._client.pause(rules, lost, lasted_s=clock() - began)

    @asynccontextmanager
    async def _connected(self, position: Cursor) -> AsyncIterator[aiohttp.ClientResponse]:
        timeout = aiohttp.ClientTimeout(total=None, connect=CONNECT_S, sock_read=SILENCE_S)
        headers = {"accept": "text/event-stream", **({"last-event-id": str(position)} if position.seq else {})}
        path = f"/v1/streams/{checked(self.id)}/events"
        async with self._client.request("GET", path, None, headers, timeout=timeout) as response:
            if response.status != 204 and response.content_type != "text/event-stream":
                raise BadRequest(
                    "The server answered with something that is no event stream; is it a Streamkeep server?",
                    code="not_a_stream",
                )
            self._reached = True
            yield response

    async def _entries(self, response: aiohttp.ClientResponse, position: Cursor) -> AsyncIterator[RemoteEntry]:
        decoder = Decoder()
        last = position.seq
        async for chunk in response.content.iter_any():
            for message in decoder.feed(chunk):
                cursor = Cursor.parse(message.id)
                if cursor.seq <= last:
                    continue
                if cursor.seq != last + 1:
                    raise self._client.unreachable(f"left out entries before {cursor}.", code="connection_lost")
                last = cursor.seq
                yield RemoteEntry(last, math.nan, message.event, message.data, cursor=cursor)

    async def text(self) -> AsyncIterator[str]:
        """Follow the answer's text as it comes; ends with the stream, whichever way (look at `message`)."""
        async for entry in self.events():
            if piece := entry.text():
                yield piece

    async def message(self, *, wait_s: float | None = None) -> dict[str, Any] | None:
        """
        Give the message when the stream has ended, or as far as it got.

        Args:
            wait_s: Seconds to wait for the end; None: as long as it takes.

        Returns:
            A Messages API message; None if the answer has not begun.
        """
        shown = await self.refresh()
        if not shown["ended_at"]:
            with suppress(TimeoutError):
                async with asyncio.timeout(wait_s):
                    async for _ in RemoteStream(self._client, shown).events(after=shown["cursor"]):
                        pass
            shown = await self.refresh()
        message: dict[str, Any] | None = shown["message"]
        return message

    async def cancel(self) -> dict[str, Any]:
        """Stop the stream; give the receipt. Idempotent (I14)."""
        stopped = await self._client.cancel(self.id)
        if stopped is not None:
            self._shown = stopped.json()
        return self.json()

    async def delete(self) -> None:
        """
        Forget the stream.

        Raises:
            StreamLive: It has not ended; stop it first.
        """
        await self._client.ask("DELETE", f"/v1/streams/{checked(self.id)}")


def checked(id: str) -> str:
    """
    Give an id back if it fits into a path.

    Raises:
        BadRequest: It does not.
    """
    if not (id.isascii() and id.replace("-", "").replace("_", "").isalnum() and len(id) <= 64):
        raise BadRequest("id: 1 to 64 of the characters A–Z, a–z, 0–9, _ and -")
    return id
