"""
Keep the logs in this process's memory: `memory://`.

Strategy
    One `_Log` per stream, appended to at once: `submit` judges, extends the list and calls back before it returns.
    What is in the list is as durable as it will ever be.
"""

import heapq
from collections.abc import Sequence
from typing import ClassVar
from urllib.parse import parse_qsl, urlsplit

from msgspec.structs import replace

from streamkeep.entry import TERMINALS, Entry
from streamkeep.errors import (
    BadRequest,
    LeaseHeld,
    StoreFull,
    StreamClosed,
    StreamExpired,
    StreamkeepError,
    StreamLive,
    StreamNotFound,
)
from streamkeep.lifecycle import State, step
from streamkeep.stores.base import (
    EARLY_CANCEL_S,
    MAX_EARLY_CANCELS,
    MAX_LIST,
    MAX_READ_BYTES,
    TOMBSTONE_S,
    Append,
    Created,
    Head,
    Lease,
    Record,
    Store,
    earlier_start,
    is_repetition,
    judge,
    page,
)

MAX_BYTES = 512 * 1024 * 1024
"""Bytes of entries kept at once; beyond it only stops and endings are taken. A page of text is about 50 KiB of them."""

ENTRY_OVERHEAD_BYTES = 160
"""Bytes that an entry takes besides its data: the object, its number, its time, its place in the list."""


class _Log:
    """One stream."""

    __slots__ = ("entries", "epochs", "lease_until", "record", "size", "state", "token")

    def __init__(self, record: Record, epoch: str, lease_until: float) -> None:
        self.record = record
        self.entries: list[Entry] = []
        self.state = State.NEW
        self.token = 1
        self.epochs: tuple[tuple[int, str], ...] = ((1, epoch),)
        self.lease_until = lease_until
        self.size = 0

    @property
    def seq(self) -> int:
        return len(self.entries)

    def head(self) -> Head:
        last = self.entries[-1]
        ended = self.state.ended
        return Head(
            record=self.record,
            seq=last.seq,
            state=self.state,
            epochs=self.epochs,
            ended_at=last.at if ended else None,
            ending=last.data if ended else None,
        )


class MemoryStore(Store):
    """
    The log of one process.

    What a returned append survives: a reader that leaves, a producer that fails. It does not survive the process.

    Args:
        max_bytes: Bytes of entries to keep at once.
    """

    name: ClassVar[str] = "memory"
    single_writer: ClassVar[bool] = True

    def __init__(self, *, max_bytes: int = MAX_BYTES) -> None:
        self._max_bytes = max_bytes
        self._bytes = 0
        self._logs: dict[str, _Log] = {}
        self._keys: dict[str, str] = {}
        self._cancels: dict[str, float] = {}
        self._tombstones: dict[str, tuple[float, str | None]] = {}
        self._tombstone_keys: dict[str, str] = {}

    @classmethod
    def from_url(cls, url: str, **options: object) -> "MemoryStore":
        """Make a store from `memory://`, with `?max_bytes=` if wanted."""
        parts = urlsplit(url)
        query = dict(parse_qsl(parts.query))
        limit = query.pop("max_bytes", str(MAX_BYTES))
        known = parts.scheme == "memory" and not parts.netloc and not parts.path and not query
        if not (known and limit.isascii() and limit.isdigit()):
            raise BadRequest("The store's URL is not of the form memory:// or memory://?max_bytes=536870912.")
        return cls(max_bytes=int(limit))

    async def open(self) -> None:
        """Do nothing: there is nothing to repair."""

    async def close(self) -> None:
        """Do nothing: the logs go with the object."""

    async def create(self, record: Record, accepted: Entry, *, epoch: str, cancelled: Entry, lease_s: float) -> Created:
        """Begin a log, or find the one begun by an earlier start."""
        earlier = self._earlier(record)
        if earlier is not None:
            return Created(head=earlier.head(), lease=None)
        if self._bytes >= self._max_bytes:
            raise self._full()
        log = _Log(record, epoch, record.created_at + lease_s)
        remembered_at = self._cancels.pop(record.id, None)
        stopped = remembered_at is not None and record.created_at - remembered_at <= EARLY_CANCEL_S
        entries = [accepted, cancelled] if stopped else [accepted]
        state = log.state
        for entry in entries:
            state = step(state, entry.name)
        self._add(log, entries, state)
        self._logs[record.id] = log
        if record.idempotency_key is not None:
            self._keys[record.idempotency_key] = record.id
        return Created(head=log.head(), lease=Lease(id=record.id, token=log.token, epoch=epoch, after=log.seq))

    def submit(self, append: Append) -> None:
        """Take an append; `done` is called before this returns."""
        append.done(append, self._try(append))

    async def read(self, id: str, after: int, *, max_bytes: int = MAX_READ_BYTES) -> list[Entry]:
        """Give the entries that follow `after`, a page of them."""
        return page(self._log(id).entries[after:], max_bytes)

    async def head(self, id: str) -> Head:
        """Say where a stream stands."""
        return self._log(id).head()

    async def list(
        self, *, states: frozenset[State] | None = None, before: tuple[float, str] | None = None, limit: int = 50
    ) -> list[Head]:
        """List streams, newest first."""
        wanted = (
            ((log.record.created_at, id), log)
            for id, log in self._logs.items()
            if (states is None or log.state in states) and (before is None or (log.record.created_at, id) < before)
        )
        newest = heapq.nlargest(min(limit, MAX_LIST), wanted, key=lambda each: each[0])
        return [log.head() for _, log in newest]

    async def acquire(self, id: str, *, epoch: str, now: float, lease_s: float) -> Lease:
        """Take a log over."""
        log = self._log(id)
        if log.state.ended:
            raise StreamClosed(f"The stream has ended ({log.state.value}); there is nothing left to write.")
        if now < log.lease_until:
            raise LeaseHeld("Another writer holds this stream; its lease has not run out.")
        log.token += 1
        log.epochs = (*log.epochs, (log.seq + 1, epoch))
        log.lease_until = now + lease_s
        return Lease(id=id, token=log.token, epoch=epoch, after=log.seq)

    async def renew(self, leases: Sequence[Lease], *, now: float, lease_s: float) -> Sequence[Lease]:
        """Prolong leases; return those that are lost."""
        lost = []
        for lease in leases:
            log = self._logs.get(lease.id)
            if log is None or log.state.ended or log.token != lease.token:
                lost.append(lease)
            else:
                log.lease_until = now + lease_s
        return lost

    async def release(self, lease: Lease) -> None:
        """Give a lease back."""
        log = self._logs.get(lease.id)
        if log is not None and log.token == lease.token:
            log.lease_until = 0.0

    async def remember_cancel(self, id: str, *, now: float) -> None:
        """Remember a stop for a stream that does not exist yet."""
        if id in self._logs or id in self._tombstones:
            return
        self._cancels.pop(id, None)
        while len(self._cancels) >= MAX_EARLY_CANCELS:
            del self._cancels[next(iter(self._cancels))]
        self._cancels[id] = now

    async def delete(self, id: str) -> None:
        """Forget an ended stream at once."""
        log = self._log(id)
        if not log.state.ended:
            raise StreamLive("The stream has not ended; stop it first.")
        self._forget(log)

    async def expire(self, *, now: float) -> int:
        """Forget streams whose time is over, leaving tombstones."""
        over = [log for log in self._logs.values() if log.state.ended and log.entries[-1].at + log.record.ttl_s <= now]
        for log in over:
            key = log.record.idempotency_key
            self._forget(log)
            self._tombstones[log.record.id] = (now, key)
            if key is not None:
                self._tombstone_keys[key] = log.record.id
        for id, (buried_at, key) in list(self._tombstones.items()):
            if now - buried_at >= TOMBSTONE_S:
                del self._tombstones[id]
                if key is not None:
                    self._tombstone_keys.pop(key, None)
        self._cancels = {id: at for id, at in self._cancels.items() if now - at <= EARLY_CANCEL_S}
        return len(over)

    def _earlier(self, record: Record) -> _Log | None:
        key = record.idempotency_key
        by_id = self._logs.get(record.id)
        by_key = self._logs[self._keys[key]] if key in self._keys else None
        found = earlier_start(record, by_id.record if by_id else None, by_key.record if by_key else None)
        if found is not None:
            return self._logs[found.id]
        if record.id in self._tombstones or key in self._tombstone_keys:
            raise _expired()
        return None

    def _log(self, id: str) -> _Log:
        log = self._logs.get(id)
        if log is not None:
            return log
        if id in self._tombstones:
            raise _expired()
        raise StreamNotFound("No stream has this id.")

    def _try(self, append: Append) -> StreamkeepError | None:
        try:
            log = self._log(append.id)
        except StreamkeepError as error:
            return error
        try:
            state = judge(append, seq=log.seq, state=log.state, token=log.token)
        except StreamkeepError as refusal:
            return None if is_repetition(append, log.entries[append.after :]) else refusal
        if self._bytes >= self._max_bytes and append.token is not None and append.entries[-1].name not in TERMINALS:
            return self._full()
        self._add(log, append.entries, state)
        return None

    def _add(self, log: _Log, entries: Sequence[Entry], state: State) -> None:
        size = sum([len(entry.data) for entry in entries]) + ENTRY_OVERHEAD_BYTES * len(entries)
        log.entries.extend(entries)
        log.size += size
        self._bytes += size
        log.state = state
        if state.ended:
            log.record = replace(log.record, request=b"")

    def _forget(self, log: _Log) -> None:
        self._bytes -= log.size
        del self._logs[log.record.id]
        if log.record.idempotency_key is not None:
            del self._keys[log.record.idempotency_key]

    def _full(self) -> StoreFull:
        return StoreFull(
            f"The log has {self._max_bytes} bytes, as many as it may keep in memory. "
            "Wait until streams expire, raise max_bytes, or keep the log on disk (sqlite:///)."
        )


def _expired() -> StreamExpired:
    return StreamExpired("The stream ended, its time to live is over and it was forgotten.")


STORE = MemoryStore
