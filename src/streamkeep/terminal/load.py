"""
Put load on a server: open many streams at once, follow each to its end, and measure what a reader sees.

Strategy
    One connection and one task per stream; what arrives in one read has one time. The streams are short-lived in the
    server's log, and what still runs when the time is up, or after a Ctrl-C, is stopped: nothing is left that costs.
"""

import asyncio
import secrets
import time
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

import aiohttp
import msgspec

from streamkeep.client.refusals import refusal
from streamkeep.entry import FAILED, TERMINALS
from streamkeep.errors import StreamkeepError
from streamkeep.sse import Decoder, SseMessage
from streamkeep.terminal.distribution import Distribution

CONNECT_S = 10.0
"""Limit for one connection, in seconds; on a busy server some wait for others."""

TTL_S = 60
"""Seconds that the server keeps a stream after its end: long enough to look at one, too short to fill the list."""

STOP_S = 10.0
"""Seconds that stopping what still runs may take, all together; a single stop takes 5 at most."""

MAX_REFUSAL_BYTES = 64 * 1024
"""Bytes of a refusal that are read; ours have some hundred."""

SHOWN = "content_block_delta"
"""The event that carries what people see; times are taken between these."""

CUT = "connection_lost"
"""The code of a stream whose body ended before its log did."""

SILENT = "no_answer"
"""The code of a stream that had shown nothing when the time was up."""

_LOST = (aiohttp.ClientError, TimeoutError, OSError)


class _Error(msgspec.Struct):
    code: str


class _Failed(msgspec.Struct):
    error: _Error


class Load:
    """
    One measurement.

    Args:
        url: The server.
        request: A start, without `id` and `policy`.
        streams: How many at once.
        duration_s: After so many seconds what still runs is stopped.
        api_key: Sent to the server.

    Attributes:
        ttft: From each start to its first token.
        gap: Between two tokens of a stream.
        endings: How the streams ended that did not fail: `completed`, or `stopped` because the time was up.
        errors: Streams that failed, by code.
        events: Events that arrived.
        size: Bytes that arrived.
        elapsed_s: From the first start to the last end.
        cpu_share: CPU time of this process per elapsed time; near 1 it measures itself.
    """

    def __init__(
        self, url: str, request: Mapping[str, Any], *, streams: int, duration_s: float, api_key: str | None = None
    ) -> None:
        self.streams = streams
        self.ttft, self.gap = Distribution(), Distribution()
        self.endings: Counter[str] = Counter()
        self.errors: Counter[str] = Counter()
        self.events = self.size = 0
        self.elapsed_s = self.cpu_share = 0.0
        self._url = f"{url.rstrip('/')}/v1/streams"
        self._request = {**request, "policy": {"ttl": TTL_S}}
        self._duration_s = duration_s
        self._headers = {"content-type": "application/json", "accept": "text/event-stream"}
        if api_key is not None:
            self._headers["authorization"] = f"Bearer {api_key}"
        self._name = f"bench_{secrets.token_hex(6)}"
        self._showing: set[str] = set()

    @property
    def running(self) -> int:
        """Give the number of streams that have not ended."""
        return self.streams - self.endings.total() - self.errors.total()

    async def run(self, tell: Callable[[float], None], *, every_s: float) -> None:
        """
        Measure.

        Args:
            tell: Called now and then with the seconds since the start.
            every_s: How often.
        """
        timeout = aiohttp.ClientTimeout(total=None, connect=CONNECT_S)
        connector = aiohttp.TCPConnector(limit=0)
        async with aiohttp.ClientSession(connector=connector, headers=self._headers, timeout=timeout) as session:
            began, cpu = time.perf_counter(), time.process_time()
            readers = {
                asyncio.create_task(self._follow(session, id), name=id): id
                for id in (f"{self._name}_{number}" for number in range(self.streams))
            }
            try:
                elapsed_s, pending = 0.0, set(readers)
                while pending and elapsed_s < self._duration_s:
                    done, pending = await asyncio.wait(pending, timeout=min(every_s, self._duration_s - elapsed_s))
                    elapsed_s = time.perf_counter() - began
                    tell(elapsed_s)
                    for reader in done:
                        reader.result()  # A mistake of ours is no figure.
            finally:
                self.elapsed_s = time.perf_counter() - began
                self.cpu_share = (time.process_time() - cpu) / self.elapsed_s
                await self._stop(session, [id for reader, id in readers.items() if not reader.done()], readers)

    async def _follow(self, session: aiohttp.ClientSession, id: str) -> None:
        """Run one stream to its end, and count how that was."""
        try:
            code = await self._read(session, id)
        except StreamkeepError as error:
            code = error.code
        except aiohttp.ClientConnectorError:
            code = "server_unreachable"
        except _LOST:
            code = CUT
        (self.errors if code != "completed" else self.endings)[code] += 1

    async def _read(self, session: aiohttp.ClientSession, id: str) -> str:
        body = msgspec.json.encode({**self._request, "id": id})
        decoder = Decoder()
        last = time.perf_counter()
        spans = self.ttft
        async with session.post(self._url, data=body, allow_redirects=False) as response:
            if not 200 <= response.status < 300:
                raise refusal(response.status, response.headers, await response.content.read(MAX_REFUSAL_BYTES))
            if response.content_type != "text/event-stream":
                return "not_a_stream"
            async for chunk in response.content.iter_any():
                now = time.perf_counter()
                self.size += len(chunk)
                for message in decoder.feed(chunk):
                    self.events += 1
                    if message.event == SHOWN:
                        spans.add(now - last)
                        last, spans = now, self.gap
                        self._showing.add(id)
                    elif message.event in TERMINALS:
                        return _ending(message)
        return CUT

    async def _stop(
        self, session: aiohttp.ClientSession, ids: list[str], readers: Mapping[asyncio.Task[None], str]
    ) -> None:
        """Stop what still runs; a server that is gone or stuck cannot be told."""
        for reader in readers:
            reader.cancel()
        await asyncio.gather(*readers, return_exceptions=True)
        for id in ids:
            if id in self._showing:
                self.endings["stopped"] += 1
            else:
                self.errors[SILENT] += 1
        stops = [asyncio.create_task(self._cancel(session, id)) for id in ids]
        if stops:
            await asyncio.wait(stops, timeout=STOP_S)

    async def _cancel(self, session: aiohttp.ClientSession, id: str) -> None:
        try:
            async with session.post(f"{self._url}/{id}/cancel") as response:
                await response.read()
        except _LOST:
            pass

    def json(self) -> dict[str, Any]:
        """Give the figures."""
        return {
            "streams": self.streams,
            "endings": dict(self.endings),
            "errors": dict(self.errors),
            "elapsed_s": round(self.elapsed_s, 3),
            "events": self.events,
            "events_per_s": round(self.events / self.elapsed_s, 1) if self.elapsed_s else 0.0,
            "bytes": self.size,
            "ttft": self.ttft.json(),
            "gap": self.gap.json(),
            "cpu_share": round(self.cpu_share, 3),
        }


def _ending(message: SseMessage) -> str:
    if message.event != FAILED:
        return message.event.removeprefix("stream.")
    try:
        return msgspec.json.decode(message.data, type=_Failed).error.code
    except msgspec.DecodeError:
        return "failed"
