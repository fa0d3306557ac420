"""
Follow one log from a cursor, as bytes of one wire.

Strategy
    Replay and live are one path (I4): read from where the cursor stands, from the store while that lies before the
    tail's window, then from the frames all readers share. A wire whose frames depend on the log's beginning is
    replayed from there; the first reader that comes to the end gives its encoder to all others.
"""

import asyncio

from streamkeep.cursor import START, Cursor
from streamkeep.entry import Entry
from streamkeep.errors import StoreUnavailable
from streamkeep.lifecycle import State
from streamkeep.merge import Merger
from streamkeep.relay.tail import Feed, Tail
from streamkeep.stores.base import Store, page
from streamkeep.wire.base import Encoder, Options, Wire

_ENDING_NAMES = {state: f"stream.{state.value}" for state in State if state.ended}


class Subscription:
    """
    One reader. Dropping it stops this reading and nothing else (I6).

    Args:
        tail: The log's shared end.
        store: The log.
        wire: The dialect.
        options: What to leave out.
        cursor: What the reader has; checked against the log already.
        merged: Join runs of deltas in what is there at the start.
        follow: Go on when the end of the log is reached before the stream's.
    """

    def __init__(
        self,
        tail: Tail,
        store: Store,
        wire: Wire,
        options: Options = Options(),
        *,
        cursor: Cursor = START,
        merged: bool = False,
        follow: bool = True,
    ) -> None:
        self.wire = wire
        self.seq = self._start = cursor.seq
        self._tail = tail
        self._store = store
        self._options = options
        self._merger = Merger() if merged else None
        self._merge_until = tail.seq
        self._last = None if follow else tail.seq
        self._encoder: Encoder | None = None
        self._position = 0
        self._shared: Feed | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._beat = False

    @property
    def ends_cleanly(self) -> bool:
        """Tell, after the end, whether the body may end well-formed (I12)."""
        name = _ENDING_NAMES.get(self._tail.state)
        return self._last is not None or (name is not None and self.wire.ends_cleanly(name))

    async def read(self) -> bytes | None:
        """
        Give what comes next, in one piece.

        Returns:
            Frames, bounded by the window or a page of the store; the wire's heartbeat after `beat`; None at the end.

        Raises:
            StoreUnavailable: The log cannot be read now.
        """
        while True:
            if self.seq < self._tail.seq and (self._last is None or self.seq < self._last):
                if chunk := await self._next():
                    return chunk
            elif self._last is not None or self._tail.state.ended:
                return None
            elif self._beat:
                self._beat = False
                return self.wire.heartbeat
            else:
                await self._wait()

    @property
    def at_end(self) -> bool:
        """Tell whether nothing more will come."""
        return self._tail.state.ended and self.seq >= self._tail.seq

    def attach(self) -> bool:
        """Get ready for `take`; tell whether it can follow from here on: caught up, and following."""
        self._shared = self._feed() if self._merger is None and self._last is None else None
        return self._shared is not None and self._shared.reaches(self.seq)

    def take(self) -> bytes | None:
        """Give at once what has come since, if it is in the window; None if it is not and `read` must fetch it."""
        chunk = self._shared.after(self.seq) if self._shared is not None else None
        if chunk is not None:
            self.seq = self._tail.seq
        return chunk

    def beat(self) -> None:
        """Make `read` give a heartbeat if there is nothing else."""
        self._beat = True
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    async def _wait(self) -> None:
        self._waiter = self._tail.waiter()
        try:
            await self._waiter
        finally:
            self._tail.forget(self._waiter)
            self._waiter = None

    async def _next(self) -> bytes:
        self._beat = False
        if self._merger is None and self._last is None:
            feed = self._feed() or self._offer()
            chunk = feed.after(self.seq) if feed is not None else None
            if chunk is not None:
                self.seq = self._tail.seq
                self._encoder = None
                return chunk
        return await self._replay()

    def _feed(self) -> Feed | None:
        return self._tail.feed(self.wire, self._options)

    def _offer(self) -> Feed | None:
        """Share this reader's encoder if it stands within the window."""
        encoder = self._private()
        if self._position + 1 < self._tail.first:
            return None
        return self._tail.adopt(self.wire, self._options, encoder, self._position)

    def _private(self) -> Encoder:
        if self._encoder is None:
            self._encoder = self.wire.encoder(self._options)
            self._start = self.seq
            self._position = self.seq if self.wire.stateless(self._options) else 0
        return self._encoder

    async def _replay(self) -> bytes:
        encoder = self._private()
        await asyncio.sleep(0)  # A store in memory never waits, and a long replay must not hold up everybody else.
        entries = await self._page()
        self._position = entries[-1].seq
        for entry in entries:
            if entry.seq <= self._start:
                encoder.encode(entry, self._tail.epoch(entry.seq))
        shown = self._merge([entry for entry in entries if entry.seq > self._start])
        if shown:
            self.seq = shown[-1].seq
        return b"".join([encoder.encode(entry, self._tail.epoch(entry.seq)) for entry in shown])

    async def _page(self) -> list[Entry]:
        limit = self._tail.seq if self._last is None else self._last
        entries = self._tail.since(self._position) or await self._store.read(self._tail.id, self._position)
        entries = [entry for entry in page(entries) if entry.seq <= limit]
        if not entries:
            raise StoreUnavailable("The log cannot be read to its end now.")
        return entries

    def _merge(self, entries: list[Entry]) -> list[Entry]:
        if self._merger is None:
            return entries
        merged = self._merger.feed(entries)
        if self._position >= self._merge_until:
            merged += self._merger.flush()
            self._merger = None
        return merged
