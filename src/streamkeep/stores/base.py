"""
Say what a store is: the log of every stream, and the only shared state.

Strategy
    A store keeps `Record`s (what a stream is), entries (what happened) and leases (who may write). Writers hand it
    `Append`s; it gathers those of all streams and makes them durable together (group commit), then calls each one
    back in the event loop. Nothing else is on the hot path.

Laws
    1. An append is whole or not at all, starts right after the log's last entry (`after`), and carries the current
       fencing token. Both are checked in the same atomic step as the write.
    2. Repeating an append that was written (same `seq`s, same bytes) succeeds and writes nothing.
    3. Without a token only `stream.cancel_requested` can be appended: stop needs no lease (I14).
    4. Entry k never changes (I2). After an ending nothing is appended (I3).
    5. Time enters as an argument (`now`, seconds since the Unix epoch), except for waiting.
"""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import ClassVar

import msgspec

from streamkeep.cursor import Cursor, epoch_at
from streamkeep.entry import CANCEL_REQUESTED, OWN, Entry
from streamkeep.errors import Conflict, Fenced, StreamClosed, StreamExists, StreamkeepError
from streamkeep.lifecycle import IllegalEntry, State, step

MAX_READ_BYTES = 256 * 1024
"""Bytes of entries that one `read` gives at most (one entry if it alone is larger): a page, not the stream."""

MAX_LIST = 200
"""Streams that one `list` gives at most."""

EARLY_CANCEL_S = 60.0
"""Seconds for which a stop that overtook its start is remembered."""

MAX_EARLY_CANCELS = 10_000
"""Stops of streams not yet started that are remembered at once; the oldest gives way."""

TOMBSTONE_S = 24 * 3600.0
"""Seconds for which an expired stream's id answers "expired" instead of "not found"."""


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """What a stream is from its start on; written once."""

    id: str
    """Chosen by the caller or minted."""
    created_at: float
    """Seconds since the Unix epoch."""
    provider: str
    """Name of the provider first asked."""
    model: str
    """The model asked for."""
    fingerprint: str
    """SHA-256 in hex of the request: two starts with one id or key must agree in it (I15)."""
    idempotency_key: str | None = None
    """The `Idempotency-Key` of the start; unique in the store."""
    request: bytes = b""
    """The start as JSON, for whoever takes the stream over. The store empties it when the stream ends."""
    metadata: bytes = b"{}"
    """The caller's own members as JSON."""
    ttl_s: float = 3600.0
    """Seconds to keep the stream after its end; never fires on a live one."""


class Head(msgspec.Struct, frozen=True, kw_only=True):
    """Where a stream stands now."""

    record: Record
    seq: int
    """Last entry's number."""
    state: State
    epochs: tuple[tuple[int, str], ...]
    """`(first_seq, epoch)` of each writer, oldest first."""
    ended_at: float | None = None
    """When the ending was written, or None."""
    ending: bytes | None = None
    """The data of the ending, or None."""

    @property
    def id(self) -> str:
        """Give the stream's id."""
        return self.record.id

    @property
    def cursor(self) -> Cursor:
        """Give the position of somebody who has it all."""
        return Cursor(epoch_at(self.epochs, self.seq), self.seq)


class Lease(msgspec.Struct, frozen=True, kw_only=True):
    """The right to write one stream."""

    id: str
    token: int
    """Fencing token: greater than every earlier one of this stream."""
    epoch: str
    """The epoch this writer minted."""
    after: int
    """The log's last entry when the lease was taken."""


class Created(msgspec.Struct, frozen=True, kw_only=True):
    """The answer to `create`."""

    head: Head
    lease: Lease | None
    """The creator's lease; None if the stream was there already (a replayed start)."""

    @property
    def replayed(self) -> bool:
        """True if the start was a repetition of an earlier one."""
        return self.lease is None


class Append(msgspec.Struct, eq=False):
    """One writer's entries on their way into the log."""

    id: str
    """The stream."""
    entries: Sequence[Entry]
    """Numbered from `after + 1`, not empty."""
    after: int
    """The last entry the writer knows."""
    token: int | None
    """The lease's, or None for a `stream.cancel_requested`."""
    done: Callable[["Append", StreamkeepError | None], None]
    """Called once, in the event loop: with None when the entries are as durable as the store promises, else with
    the error."""


def judge(append: Append, *, seq: int, state: State, token: int) -> State:
    """
    Decide whether an append that is no repetition may be written; the one rule for all stores.

    Args:
        append: What is asked.
        seq: The log's last entry.
        state: The log's state.
        token: The current fencing token.

    Returns:
        The state after it.

    Raises:
        Fenced: The token is not the current one.
        StreamClosed: The log has its ending.
        Conflict: It does not start right after the last entry.
        IllegalEntry: A mistake of the program: a name that may not follow, or numbers that are not in a row.
    """
    if append.token is None:
        if any(entry.name != CANCEL_REQUESTED for entry in append.entries):
            raise Fenced("Only a stop request may be appended without a lease.")
    elif append.token != token:
        raise Fenced("Another writer has taken this stream over; this one must let go.")
    if state.ended:
        raise StreamClosed(f"The stream has ended ({state.value}); nothing can be added to it.")
    if append.after != seq or append.entries[0].seq != seq + 1:
        raise Conflict(f"The log has moved on to entry {seq}; read it and append again.", head=seq)
    if append.entries[-1].seq != seq + len(append.entries):
        raise IllegalEntry(f"entries after {seq} are not numbered in a row")
    for entry in append.entries:
        if entry.name in OWN or state is State.NEW:
            state = step(state, entry.name)
    return state


def earlier_start(record: Record, by_id: Record | None, by_key: Record | None) -> Record | None:
    """
    Find the start that a start repeats (I15); the one rule for all stores.

    Args:
        record: What is to be started.
        by_id: The stream that has its id.
        by_key: The stream that has its idempotency key, if it gives one; it need not have the same id.

    Returns:
        The stream that was started then, or None if this start is the first.

    Raises:
        StreamExists: Id or key belong to another request, or to two different streams.
    """
    found = by_key or by_id
    if found is None:
        return None
    if found.fingerprint != record.fingerprint or (by_id is not None and by_id.id != found.id):
        what = "idempotency key" if by_key else "id"
        raise StreamExists(f"This {what} belongs to a stream that was started with another request; choose a new one.")
    return found


def is_repetition(append: Append, written: Sequence[Entry]) -> bool:
    """Tell whether `written`, the log's entries after `append.after`, begin with just what is to be appended."""
    count = len(append.entries)
    return len(written) >= count and list(written[:count]) == list(append.entries)


def page(entries: Sequence[Entry], max_bytes: int = MAX_READ_BYTES) -> list[Entry]:
    """Take entries from the front up to `max_bytes` of data, at least one."""
    taken: list[Entry] = []
    size = 0
    for entry in entries:
        size += len(entry.data)
        if taken and size > max_bytes:
            break
        taken.append(entry)
    return taken


class Store(ABC):
    """
    One backend. A subclass states in its docstring what a returned append survives (I1).

    All coroutines are safe to cancel: either the whole effect or none.
    """

    name: ClassVar[str]
    """The scheme of its URL, and the name of its file."""

    single_writer: ClassVar[bool] = True
    """True if one process at a time can write: then every live stream found at the start has lost its producer."""

    @classmethod
    @abstractmethod
    def from_url(cls, url: str, **options: object) -> "Store":
        """
        Make a store from its URL without touching anything yet.

        Args:
            url: Members of its query that the store does not know are refused.
            options: Settings for whatever store it is (`synchronous`, `read_only`); those it has no use for are
                ignored.

        Raises:
            BadRequest: The URL is not one of this store's.
        """

    @abstractmethod
    async def open(self) -> None:
        """
        Make ready to read and write; repair what a crash left.

        Raises:
            StoreInUse: Another process writes here.
            StoreTooNew: A later version wrote here.
            StoreUnavailable: It cannot be opened.
        """

    @abstractmethod
    async def close(self) -> None:
        """Write out what is pending and let go. Idempotent."""

    @abstractmethod
    async def create(self, record: Record, accepted: Entry, *, epoch: str, cancelled: Entry, lease_s: float) -> Created:
        """
        Begin a log with `accepted`, or find the one begun by an earlier start with this id or idempotency key.

        Args:
            record: Its `created_at` is the time of the call.
            accepted: Entry 1.
            epoch: The first writer's.
            cancelled: Entry 2, written in the same step if a stop for this id is remembered (`remember_cancel`).
            lease_s: Seconds the creator may write without renewing.

        Raises:
            StreamExists: Id or key belong to a stream with another fingerprint (I15).
            StreamExpired: The id or key belonged to a stream that expired: it starts nothing new.
            StoreFull, StoreUnavailable: Nothing was written.
        """

    @abstractmethod
    def submit(self, append: Append) -> None:
        """
        Take an append for the next commit; return at once. The hot path.

        `append.done` is called exactly once, possibly before this returns. Appends to one stream are judged in the
        order in which they were submitted, and called back in that order.

        Raises:
            IllegalEntry: A mistake of the program (see `judge`); nothing was taken and `done` is not called.
        """

    async def append(self, id: str, entries: Sequence[Entry], *, after: int, token: int | None) -> None:
        """
        Append and wait until it is durable.

        Raises:
            Fenced, Conflict, StreamClosed, StreamNotFound, StoreFull, StoreUnavailable: See `judge`.
        """
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        def done(_: Append, error: StreamkeepError | None) -> None:
            if future.done():
                return
            if error is None:
                future.set_result(None)
            else:
                future.set_exception(error)

        self.submit(Append(id, entries, after=after, token=token, done=done))
        await future

    @abstractmethod
    async def read(self, id: str, after: int, *, max_bytes: int = MAX_READ_BYTES) -> list[Entry]:
        """
        Give the durable entries that follow `after`, a page of them; empty at the end.

        Raises:
            StreamNotFound, StreamExpired, StoreUnavailable: See `head`.
        """

    @abstractmethod
    async def head(self, id: str) -> Head:
        """
        Say where a stream stands; only durable entries count.

        Raises:
            StreamNotFound: Nothing is known of the id.
            StreamExpired: It expired less than `TOMBSTONE_S` ago.
            StoreUnavailable: The store does not answer.
        """

    @abstractmethod
    async def acquire(self, id: str, *, epoch: str, now: float, lease_s: float) -> Lease:
        """
        Take the log over: raise the fencing token and begin an epoch after its last entry.

        Raises:
            LeaseHeld: The present writer's lease runs on.
            StreamClosed: There is nothing left to write.
            StreamNotFound, StoreUnavailable: See `head`.
        """

    @abstractmethod
    async def renew(self, leases: Sequence[Lease], *, now: float, lease_s: float) -> Sequence[Lease]:
        """Prolong leases; return those that are lost."""

    @abstractmethod
    async def release(self, lease: Lease) -> None:
        """Give a lease back, so that another writer need not wait. Idempotent."""

    @abstractmethod
    async def remember_cancel(self, id: str, *, now: float) -> None:
        """
        Remember for `EARLY_CANCEL_S` a stop for a stream that does not exist yet.

        Does nothing if it exists; look with `head` afterwards.
        """

    @abstractmethod
    async def delete(self, id: str) -> None:
        """
        Forget an ended stream at once; its id is free again.

        Raises:
            StreamLive: It has not ended.
            StreamNotFound, StreamExpired: There is nothing to forget.
        """

    @abstractmethod
    async def expire(self, *, now: float) -> int:
        """Forget streams whose `ended_at + ttl_s` is past, leaving a tombstone; return how many. Never a live one."""

    @abstractmethod
    async def list(
        self, *, states: frozenset[State] | None = None, before: tuple[float, str] | None = None, limit: int = 50
    ) -> list[Head]:
        """
        List streams, newest first.

        Args:
            states: Only these.
            before: `(created_at, id)` of the last one of the page before.
            limit: At most `MAX_LIST`.
        """


__all__ = [
    "Append",
    "Created",
    "Head",
    "Lease",
    "Record",
    "Store",
    "earlier_start",
    "is_repetition",
    "judge",
    "page",
]
