"""
Write one log: number what happens, hand it to the store, and give to the tail what is durable.

Strategy
    `write` never waits: one append is under way, and the next events are gathered meanwhile. With two under way a
    stop from elsewhere could come before the first, which is then refused, and make room for the second: the answer
    would lack a piece. The tail learns of entries only from the store's answer (I1). If the log moved on without
    this writer, what was refused is numbered anew behind what was missed.
"""

import asyncio
from collections.abc import Callable, Sequence

from streamkeep.entry import Entry, Event
from streamkeep.errors import Conflict, StoreError, StreamkeepError
from streamkeep.relay.tail import Tail
from streamkeep.stores.base import Append, Lease, Store

MAX_UNCOMMITTED_BYTES = 1024 * 1024
"""Data that waits while the store commits; beyond it the upstream is not read (back-pressure)."""


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
        self._submitted_bytes = 0
        self._id, self._token = lease.id, lease.token
        self._store = store
        self._tail = tail
        self._now = now
        self._missed = missed
        self._lost = lost
        self._pending: list[Event] = []
        self._busy = False
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
        if self._busy:
            self._pending.extend(events)
            self.uncommitted_bytes += sum([len(data) for _, data in events])
        else:
            self._submit(events)

    async def flush(self) -> None:
        """
        Wait until all that was written is durable.

        Raises:
            StreamkeepError: It will not be.
        """
        while self._busy:
            idle = asyncio.get_running_loop().create_future()
            self._idle.append(idle)
            await idle
        if self.error is not None:
            raise self.error

    def when_idle(self, call: Callable[[], None]) -> None:
        """Call once when nothing is under way any more."""
        if not self._busy:
            call()
            return
        idle = asyncio.get_running_loop().create_future()
        idle.add_done_callback(lambda _: call())
        self._idle.append(idle)

    def recover(self) -> None:
        """Forget an error of the store, so that an ending can be tried; what was not written is dropped."""
        self.error = None

    def _submit_pending(self) -> None:
        events, self._pending = self._pending, []
        self._submitted_bytes = self.uncommitted_bytes
        self._submit(events)

    def _submit(self, events: Sequence[Event]) -> None:
        at, after = self._now(), self._tail.seq
        entries = [Entry(seq, at, name, data) for seq, (name, data) in enumerate(events, after + 1)]
        self._busy = True
        try:
            self._store.submit(Append(self._id, entries, after, self._token, self._done))
        except BaseException:
            self._rest()
            raise

    def _done(self, append: Append, error: StreamkeepError | None) -> None:
        if error is None:
            self._tail.extend(append.entries)
            self.uncommitted_bytes -= self._submitted_bytes
            self._submitted_bytes = 0
            if self._pending:
                self._submit_pending()
            else:
                self._busy = False
                if self._idle:
                    self._rest()
        elif isinstance(error, Conflict) and error.head >= self._tail.seq:
            self._pending[:0] = [Event(entry.name, entry.data) for entry in append.entries]
            self._repair = asyncio.get_running_loop().create_task(self._catch_up(), name="writer catch-up")
        elif isinstance(error, Conflict):
            self._fail(StoreError("The log has lost entries that were written already.", code="log_lost"))
        else:
            self._fail(error)

    async def _catch_up(self) -> None:
        try:
            while missed := await self._store.read(self.lease.id, self._tail.seq):
                self._tail.extend(missed)
                self._missed(missed)
        except StreamkeepError as error:
            self._fail(error)
            return
        if self._tail.state.ended:
            self._rest()
        else:
            self._submit_pending()

    def _fail(self, error: StreamkeepError) -> None:
        self.error = error
        self._rest()
        self._lost(error)

    def _rest(self) -> None:
        """Let nothing be under way, and tell who waits for that."""
        self._pending.clear()
        self.uncommitted_bytes = self._submitted_bytes = 0
        self._busy = False
        idle, self._idle = self._idle, []
        for future in idle:
            if not future.done():
                future.set_result(None)
