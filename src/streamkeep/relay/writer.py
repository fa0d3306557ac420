"""
Write one log: number what happens, hand it to the store, and give to the tail what is durable.

Strategy
    `write` never waits: the next events are gathered while a commit runs. The tail learns of entries only from the
    store's answer (I1). If the log moved on without this writer, which a stop from elsewhere does, what was refused
    is numbered anew behind what was missed.
"""

import asyncio
from collections.abc import Callable, Sequence

from streamkeep.entry import Entry, Event
from streamkeep.errors import Conflict, StreamkeepError
from streamkeep.relay.tail import Tail
from streamkeep.stores.base import Append, Lease, Store

MAX_UNCOMMITTED_BYTES = 1024 * 1024
"""Data handed to the store and not yet durable; beyond it the upstream is not read (back-pressure)."""


class Writer:
    """
    The holder of one stream's lease.

    Args:
        store: The log.
        lease: The right to write.
        tail: The shared end, standing at `lease.after`.
        now: Gives seconds since the Unix epoch.
        missed: Called with entries that others wrote.
        lost: Called once when nothing more can be written.
    """

    def __init__(
        self,
        store: Store,
        lease: Lease,
        tail: Tail,
        *,
        now: Callable[[], float],
        missed: Callable[[Sequence[Entry]], None],
        lost: Callable[[StreamkeepError], None],
    ) -> None:
        self.lease = lease
        self.error: StreamkeepError | None = None
        self.uncommitted_bytes = 0
        self._store = store
        self._tail = tail
        self._now = now
        self._missed = missed
        self._lost = lost
        self._seq = lease.after
        self._in_flight = 0
        self._refused: list[Event] = []
        self._repair: asyncio.Task[None] | None = None
        self._idle: list[asyncio.Future[None]] = []

    def write(self, events: Sequence[Event]) -> None:
        """
        Append events in order; return at once.

        Raises:
            StreamkeepError: An earlier append failed for good.
        """
        if self.error is not None:
            raise self.error
        if self._refused:
            self._refused.extend(events)
            return
        at = self._now()
        after = self._seq
        entries = [Entry(seq, at, name, data) for seq, (name, data) in enumerate(events, after + 1)]
        self._seq = after + len(entries)
        self._in_flight += 1
        self.uncommitted_bytes += sum([len(entry.data) for entry in entries])
        self._store.submit(Append(self.lease.id, entries, after=after, token=self.lease.token, done=self._done))

    async def flush(self) -> None:
        """
        Wait until all that was written is durable.

        Raises:
            StreamkeepError: It will not be.
        """
        while (self._in_flight or self._refused) and self.error is None:
            idle = asyncio.get_running_loop().create_future()
            self._idle.append(idle)
            await idle
        if self.error is not None:
            raise self.error

    def recover(self) -> None:
        """Forget an error of the store, so that an ending can be tried; what was refused is dropped."""
        self.error = None
        self._refused.clear()
        self._seq = self._tail.seq

    def _done(self, append: Append, error: StreamkeepError | None) -> None:
        self._in_flight -= 1
        self.uncommitted_bytes -= sum([len(entry.data) for entry in append.entries])
        if error is None:
            self._tail.extend(append.entries)
        elif isinstance(error, Conflict):
            self._refused.extend(Event(entry.name, entry.data) for entry in append.entries)
        elif self.error is None:
            self.error = error
            self._lost(error)
        if self._in_flight:
            return
        if self._refused and self.error is None and self._repair is None:
            self._repair = asyncio.get_running_loop().create_task(self._catch_up(), name="writer catch-up")
        self._wake()

    async def _catch_up(self) -> None:
        try:
            while missed := await self._store.read(self.lease.id, self._tail.seq):
                self._tail.extend(missed)
                self._missed(missed)
        except StreamkeepError as error:
            self.error = error
            self._lost(error)
        self._repair = None
        self._seq = self._tail.seq
        events, self._refused = self._refused, []
        if self.error is None and not self._tail.state.ended:
            self.write(events)
        self._wake()

    def _wake(self) -> None:
        idle, self._idle = self._idle, []
        for future in idle:
            if not future.done():
                future.set_result(None)
