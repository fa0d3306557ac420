"""
Keep the end of one log in memory, once per process, for all its readers.

Strategy
    A reader is a cursor (I4). The tail holds a bounded window of the newest entries and, per wire and options, their
    frames, encoded once (I5). Whoever stands before the window reads the store. Waiting readers are a list of
    futures of their own: a shared one with `shield` costs 1.7 times the CPU.
"""

import asyncio
import logging
from collections.abc import Callable, Sequence

from streamkeep.cursor import Cursor, check, epoch_at
from streamkeep.entry import OWN, TERMINALS, Entry
from streamkeep.lifecycle import step
from streamkeep.stores.base import Head
from streamkeep.wire.base import Encoder, Options, Wire

_log = logging.getLogger(__name__)

WINDOW_BYTES = 64 * 1024
"""Data kept per live stream, in bytes: at 150 bytes an event some 400 events, 8 s at 50 events/s."""

FeedKey = tuple[str, Options]
"""The wire's name and the reader's options: what decides a frame besides its entry."""


class Tail:
    """
    The shared end of one log.

    Args:
        head: Where the log stands.
        window: Its newest entries, if they are at hand; else the window begins behind the log's end.

    Attributes:
        readers: How many follow it.
        unwatched_since: Loop time since when nobody follows a live stream.
        reply_headers: What of the upstream's response headers the starter may see.
    """

    def __init__(self, head: Head, window: Sequence[Entry] = ()) -> None:
        self.record = head.record
        self.epochs = list(head.epochs)
        self.seq = head.seq
        self.state = head.state
        self.ended_at = head.ended_at
        self.ending = head.ending
        self.reply_headers: dict[str, str] = {}
        self.readers = 0
        self.unwatched_since: float | None = None
        self._window = list(window)
        self._bytes = sum(len(entry.data) for entry in window)
        self._waiters: set[asyncio.Future[None]] = set()
        self._followers: dict[Callable[[], None], None] = {}
        self._feeds: dict[FeedKey, Feed] = {}

    @property
    def id(self) -> str:
        """Give the stream's id."""
        return self.record.id

    @property
    def first(self) -> int:
        """Give the `seq` of the window's first entry; behind the log's end if it is empty."""
        return self.seq + 1 - len(self._window)

    @property
    def head(self) -> Head:
        """Give the log's state as a store would."""
        return Head(
            record=self.record,
            seq=self.seq,
            state=self.state,
            epochs=tuple(self.epochs),
            ended_at=self.ended_at,
            ending=self.ending,
        )

    def check(self, cursor: Cursor) -> None:
        """
        Refuse a cursor of another history (I7).

        Raises:
            CursorForeign, CursorAhead: See `cursor.check`.
        """
        check(cursor, self.epochs, self.seq)

    def epoch(self, seq: int) -> str:
        """Name the epoch in which an entry was written."""
        return self.epochs[0][1] if len(self.epochs) == 1 else epoch_at(self.epochs, seq)

    def extend(self, entries: Sequence[Entry]) -> None:
        """Take entries that are in the log now (I1), and wake who waits for them."""
        for entry in entries:
            name = entry.name
            if name in OWN:
                self.state = step(self.state, name)
                if name in TERMINALS:
                    self.ended_at, self.ending = entry.at, entry.data
            self._bytes += len(entry.data)
        self._window.extend(entries)
        self.seq = entries[-1].seq
        if self._bytes > 2 * WINDOW_BYTES:
            self._trim()
        for follower in tuple(self._followers):  # One that is done leaves while it is called.
            try:
                follower()
            except Exception:  # One reader's trouble is neither the writer's nor the other readers'.
                _log.exception("stream %s: a reader failed", self.id)
        if self._waiters:
            self.wake()

    def since(self, seq: int) -> Sequence[Entry] | None:
        """Give the entries after `seq`, or None if the window does not reach back so far."""
        return self._window[seq + 1 - self.first :] if seq + 1 >= self.first else None

    def wake(self) -> None:
        """Let everybody who waits look again."""
        for waiter in self._waiters:
            if not waiter.done():
                waiter.set_result(None)
        self._waiters.clear()

    def follow(self, follower: Callable[[], None]) -> None:
        """Call whenever the log has grown."""
        self._followers[follower] = None

    def unfollow(self, follower: Callable[[], None]) -> None:
        """Call no more."""
        self._followers.pop(follower, None)

    def waiter(self) -> asyncio.Future[None]:
        """Give a future that is done when the log has grown. Resolve it yourself to wake its owner alone."""
        waiter = asyncio.get_running_loop().create_future()
        self._waiters.add(waiter)
        return waiter

    async def wait(self) -> None:
        """Wait until the log has grown. Safe to cancel."""
        waiter = self.waiter()
        try:
            await waiter
        finally:
            self._waiters.discard(waiter)

    def forget(self, waiter: asyncio.Future[None]) -> None:
        """Drop a waiter that nobody awaits any more."""
        self._waiters.discard(waiter)

    def feed(self, wire: Wire, options: Options) -> "Feed | None":
        """Give the shared frames of one wire; None until somebody brought an encoder (`adopt`)."""
        feed = self._feeds.get((wire.name, options))
        return feed if feed is not None and feed.next >= self.first else None

    def adopt(self, wire: Wire, options: Options, encoder: Encoder, position: int) -> "Feed":
        """Share an encoder that stands at `position`, which must lie in the window or right before it."""
        feed = self._feeds[(wire.name, options)] = Feed(self, encoder, position)
        return feed

    def _trim(self) -> None:
        drop = 0
        while self._bytes > WINDOW_BYTES and drop < len(self._window) - 1:
            self._bytes -= len(self._window[drop].data)
            drop += 1
        del self._window[:drop]
        for feed in self._feeds.values():
            feed.trim(self.first)


class Feed:
    """The frames of one wire for the entries of a tail's window, encoded when first asked for."""

    __slots__ = ("_encoder", "_first", "_frames", "_tail", "next")

    def __init__(self, tail: Tail, encoder: Encoder, position: int) -> None:
        self._tail = tail
        self._encoder = encoder
        self._frames: list[bytes] = []
        self._first = self.next = position + 1

    def reaches(self, seq: int) -> bool:
        """Tell whether the frames after `seq` are at hand."""
        return seq + 1 >= self._first and self.next >= self._tail.first

    def after(self, seq: int) -> bytes | None:
        """Give the frames after `seq` up to the log's end in one piece, or None if they do not reach back so far."""
        if not self.reaches(seq):
            return None
        if self.next <= self._tail.seq:
            self._encode()
        if seq + 2 == self.next:
            return self._frames[-1]
        frames = self._frames[seq + 1 - self._first :]
        return b"".join(frames)

    def trim(self, first: int) -> None:
        """Drop the frames of entries before `first`."""
        if first > self._first:
            del self._frames[: first - self._first]
            self._first = min(first, self.next)

    def _encode(self) -> None:
        tail, encode = self._tail, self._encoder.encode
        entries = tail.since(self.next - 1) or ()
        self._frames += [encode(entry, tail.epoch(entry.seq)) for entry in entries]
        self.next += len(entries)
