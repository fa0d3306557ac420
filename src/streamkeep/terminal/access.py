"""
Reach the streams: those of a running server, or those in the store, by the same verbs.

Strategy
    Which server: the one that was named, else one that answers on the default address. Without any the store that
    `serve` would use is opened in this process, to write or only to read, as the command needs it.
"""

import asyncio
import json
import os
import socket
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import urlsplit

from streamkeep.cursor import Cursor, epoch_at
from streamkeep.entry import Entry
from streamkeep.errors import StoreInUse

if TYPE_CHECKING:
    from streamkeep.client.client import AsyncClient
    from streamkeep.relay import Relay

DEFAULT_PORT = 8000
"""Where `streamkeep serve` listens on this machine unless `STREAMKEEP_PORT` says otherwise."""

PROBE_S = 0.2
"""Seconds for a server on the default address to answer: it is on this machine, or there is none."""

PROBE_BYTES = 4096
"""Bytes of its answer that are read; ours has some 200."""

PAGE = 200
"""Streams that are listed at once; the most that a store gives."""


class Streams(Protocol):
    """What a command can do with streams, wherever they are."""

    remote: bool
    """True if a server has them, so that they go on when this process ends."""

    async def start(self, request: Mapping[str, Any]) -> None:
        """Start a stream; `id` is among the request's members."""

    def follow(self, id: str, after: str = "") -> AsyncGenerator[tuple[Cursor, Entry], None]:
        """Follow a stream's log from a cursor to its end: each entry, and where a reader stands that has it."""

    async def cancel(self, id: str) -> dict[str, Any] | None:
        """Stop a stream; give the receipt, or None if the stop is remembered for a stream to come."""

    async def show(self, id: str) -> dict[str, Any]:
        """Give a stream as JSON, with its message."""

    async def list(self, states: Sequence[str], limit: int) -> list[dict[str, Any]]:
        """Give streams as JSON, newest first; of all states if none are named."""


class ServerStreams:
    """
    The streams of a server.

    Args:
        client: Entered by whoever made it.
    """

    remote = True

    def __init__(self, client: "AsyncClient") -> None:
        self._client = client

    async def start(self, request: Mapping[str, Any]) -> None:
        """Start a stream."""
        await self._client.start(request)

    async def follow(self, id: str, after: str = "") -> AsyncGenerator[tuple[Cursor, Entry], None]:
        """Follow a log, through lost connections."""
        from streamkeep.client.client import RemoteStream

        async with aclosing(RemoteStream(self._client, {"id": id}).events(after=after)) as entries:
            async for entry in entries:
                yield entry.cursor, entry

    async def cancel(self, id: str) -> dict[str, Any] | None:
        """Stop a stream."""
        stream = await self._client.cancel(id)
        return None if stream is None else stream.json()

    async def show(self, id: str) -> dict[str, Any]:
        """Look at a stream."""
        return (await self._client.stream(id)).json()

    async def list(self, states: Sequence[str], limit: int) -> list[dict[str, Any]]:
        """List streams."""
        return [stream.json() for stream in await self._client.streams(states=states, limit=limit)]


class StoreStreams:
    """
    The streams of a relay in this process.

    Args:
        relay: Entered by whoever made it.
    """

    remote = False

    def __init__(self, relay: "Relay") -> None:
        self._relay = relay
        self._started = ""

    async def start(self, request: Mapping[str, Any]) -> None:
        """Start a stream."""
        self._started = str(request.get("id", ""))
        await self._relay.start(request)

    async def follow(self, id: str, after: str = "") -> AsyncGenerator[tuple[Cursor, Entry], None]:
        """Follow a log, also one that another process writes."""
        stream = await self._relay.stream(id)
        async with aclosing(stream.events(after=after)) as entries:
            async for entry in entries:
                if entry.seq > stream.head.seq:
                    await stream.refresh()
                yield Cursor(epoch_at(stream.head.epochs, entry.seq), entry.seq), entry

    async def cancel(self, id: str) -> dict[str, Any] | None:
        """
        Stop a stream.

        Raises:
            StreamNotFound: There is none, and nobody who could start it but this process.
        """
        if id != self._started:
            await self._relay.stream(id)
        stream = await self._relay.cancel(id)
        return None if stream is None else stream.receipt()

    async def show(self, id: str) -> dict[str, Any]:
        """Look at a stream."""
        stream = await self._relay.stream(id)
        fold = await stream.fold()
        await stream.refresh()
        return stream.json(fold)

    async def list(self, states: Sequence[str], limit: int) -> list[dict[str, Any]]:
        """List streams."""
        from streamkeep.lifecycle import State

        wanted = frozenset(State(state) for state in states) or None
        found: list[dict[str, Any]] = []
        before = None
        while len(found) < limit:
            page = await self._relay.streams(states=wanted, before=before, limit=min(PAGE, limit - len(found)))
            found += [stream.json() for stream in page]
            if not page:
                break
            before = (page[-1].head.record.created_at, page[-1].id)
        return found


@asynccontextmanager
async def reach(url: str | None, api_key: str | None, *, read_only: bool, note: Any = None) -> AsyncIterator[Streams]:
    """
    Reach the streams of a server, or of the store if there is none.

    Args:
        url: The server; None to look on the default address.
        api_key: Sent to the server.
        read_only: Enough for the command; the store may then be in use.
        note: Takes a line for people about a lost connection, if they are to know.

    Raises:
        StoreInUse: Another process writes to the store, and it does not answer on the default address.
    """
    if url is None:
        usual = f"http://127.0.0.1:{os.environ.get('STREAMKEEP_PORT') or DEFAULT_PORT}"
        url = usual if await asyncio.to_thread(_answers, usual) else None
    if url is not None:
        from streamkeep.client.client import AsyncClient

        def lost(failures: int, pause_s: float) -> None:
            if note is not None:
                note(f"[connection lost; try {failures} in {pause_s:.1f} s]")

        async with AsyncClient(url, api_key=api_key, on_retry=lost) as client:
            yield ServerStreams(client)
    else:
        async with _own_relay(read_only=read_only) as relay:
            yield StoreStreams(relay)


@asynccontextmanager
async def _own_relay(*, read_only: bool) -> AsyncIterator["Relay"]:
    from streamkeep.embedded import Relay
    from streamkeep.settings import read_settings

    relay = Relay.from_settings(read_settings({}), read_only=read_only)
    try:
        await relay.__aenter__()
    except StoreInUse as error:
        raise StoreInUse(
            f"{error.message} If that one is a server, name it: --url http://HOST:PORT or STREAMKEEP_URL."
        ) from error
    try:
        yield relay
    finally:
        await relay.__aexit__(None, None, None)


def _answers(url: str) -> bool:
    """Tell whether a Streamkeep server is there. Blocks for `PROBE_S` at most; imports no HTTP client for a no."""
    try:
        parts = urlsplit(url)
        with socket.create_connection((parts.hostname or "", parts.port or 80), timeout=PROBE_S) as connection:
            connection.sendall(f"GET /healthz HTTP/1.1\r\nHost: {parts.netloc}\r\nConnection: close\r\n\r\n".encode())
            reply = b""
            while len(reply) < PROBE_BYTES and (more := connection.recv(PROBE_BYTES)):
                reply += more
    except (OSError, ValueError):
        return False
    head, _, body = reply.partition(b"\r\n\r\n")
    try:
        healthy = json.loads(body) == {"status": "ok"}
    except ValueError:
        return False
    return healthy and head.startswith(b"HTTP/1.1 200 ") and b"\r\nrequest-id: req_" in head.lower()
