"""
Hold one stream: read it, wait for it, stop it. The same verbs in process and, through a client, from afar.
"""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import msgspec

from streamkeep.cursor import START, Cursor
from streamkeep.entry import Entry
from streamkeep.errors import StoreUnavailable, UpstreamBroken
from streamkeep.message import MessageFold
from streamkeep.stores.base import Head

if TYPE_CHECKING:
    from streamkeep.relay.relay import Relay


class Stream:
    """
    One stream of a relay.

    Args:
        relay: Whose.
        head: Where it stood when it was looked up; `refresh` looks again.
        replayed: True if it was given as the answer to a repeated start (I15).
    """

    def __init__(self, relay: "Relay", head: Head, *, replayed: bool = False) -> None:
        self.head = head
        self.replayed = replayed
        self._relay = relay

    @property
    def id(self) -> str:
        """Give the stream's id."""
        return self.head.id

    async def refresh(self) -> Head:
        """Look where the stream stands now."""
        self.head = await self._relay.head(self.id)
        return self.head

    async def events(self, *, after: str | Cursor = START) -> AsyncGenerator[Entry, None]:
        """
        Follow the log to its end.

        Args:
            after: Begin behind this cursor.

        Raises:
            BadRequest, CursorForeign, CursorAhead: The cursor is none of this log's.
        """
        async with aclosing(self._pages(Cursor.parse(after) if isinstance(after, str) else after)) as pages:
            async for entries in pages:
                for entry in entries:
                    yield entry

    async def text(self) -> AsyncGenerator[str, None]:
        """Follow the answer's text as it comes; ends with the stream, whichever way (look at `message`)."""
        async with aclosing(self.events()) as events:
            async for entry in events:
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
        await self.ended(wait_s=wait_s)
        return (await self.fold()).message()

    async def ended(self, *, wait_s: float | None = None) -> bool:
        """Wait for the stream's end; tell whether it came in time."""
        try:
            async with asyncio.timeout(wait_s), self._relay.watch(self.id) as tail:
                while not tail.state.ended:
                    await tail.wait()
        except TimeoutError:
            pass
        return (await self.refresh()).state.ended

    async def fold(self) -> MessageFold:
        """Fold what the log holds now, as far as it makes sense."""
        fold = MessageFold()
        async with aclosing(self._pages(START, follow=False)) as pages:
            async for entries in pages:
                try:
                    for entry in entries:
                        fold.add(entry)
                except UpstreamBroken:
                    break
        return fold

    async def cancel(self, by: str = "caller") -> dict[str, Any]:
        """Stop the stream; give the receipt (see `Relay.cancel`). Idempotent (I14)."""
        stream = await self._relay.cancel(self.id, by=by)
        if stream is not None:
            self.head = stream.head
        return self.receipt()

    async def delete(self) -> None:
        """
        Forget the stream.

        Raises:
            StreamLive: It has not ended; stop it first.
        """
        await self._relay.delete(self.id)

    def json(self, fold: MessageFold | None = None) -> dict[str, Any]:
        """
        Give the stream as JSON-like data (PROTOCOL.md, "A stream as JSON").

        Args:
            fold: What the log holds, for the members `message`, `usage` and `attempts` of a live stream.
        """
        head = self.head
        ending = msgspec.json.decode(head.ending) if head.ending else {}
        shown = {
            "id": head.id,
            "object": "stream",
            "state": head.state.value,
            "provider": head.record.provider,
            "model": head.record.model,
            "created_at": rfc3339(head.record.created_at),
            "ended_at": None if head.ended_at is None else rfc3339(head.ended_at),
            "cursor": str(head.cursor),
            **{name: ending.get(name) for name in ("usage", "timing", "stop_reason", "error", "attempts", "digest")},
            "metadata": msgspec.json.decode(head.record.metadata),
        }
        if fold is None:
            return shown
        live = {"usage": fold.usage(), "attempts": fold.attempts, "stop_reason": fold.stop_reason}
        return {**shown, **(live if not head.state.ended else {}), "message": fold.message()}

    def receipt(self) -> dict[str, Any]:
        """Give the stream as JSON-like data with the stop's receipt (I14)."""
        cancel = msgspec.json.decode(self.head.ending).get("cancel", {}) if self.head.ending else {}
        ended_at = self.head.ended_at
        return {
            **self.json(),
            "upstream_closed_ms": cancel.get("upstream_closed_ms"),
            "sealed_at": None if ended_at is None else rfc3339(ended_at),
        }

    async def _pages(self, after: Cursor, *, follow: bool = True) -> AsyncGenerator[list[Entry], None]:
        async with self._relay.watch(self.id, glance=not follow) as tail:
            tail.check(after)
            seq = after.seq
            while True:
                if seq < tail.seq:
                    entries = list(tail.since(seq) or await self._relay.store.read(self.id, seq))
                    if not entries:
                        raise StoreUnavailable("The log cannot be read to its end now.")
                    seq = entries[-1].seq
                    yield entries
                elif not follow or tail.state.ended:
                    return
                else:
                    await tail.wait()


def rfc3339(at: float) -> str:
    """Give a time as RFC 3339 in UTC with milliseconds; `at` in seconds since the Unix epoch."""
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
