"""
Model a store by plain lists: what it must answer, said as simply as it can be said.

Pure: no I/O, no clock.

Strategy
    Nothing here is shared with the stores but the words (`Record`, `Entry`, `Head`) and the lifecycle's table, so that
    a mistake in `judge` or `earlier_start` is a difference, not an agreement.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Generic, TypeVar

from msgspec.structs import replace

from streamkeep.entry import CANCEL_REQUESTED, Entry
from streamkeep.errors import (
    Conflict,
    Fenced,
    LeaseHeld,
    StreamClosed,
    StreamExists,
    StreamExpired,
    StreamkeepError,
    StreamLive,
    StreamNotFound,
)
from streamkeep.lifecycle import TABLE, State
from streamkeep.stores.base import EARLY_CANCEL_S, TOMBSTONE_S, Head, Lease, Record

T = TypeVar("T")


class ModelStream:
    """One stream, with everything that was ever done to it."""

    def __init__(self, record: Record, epoch: str) -> None:
        self.record = record
        self.entries: list[Entry] = []
        self.state = State.NEW
        self.epochs = [(1, epoch)]
        self.leases: list[Lease] = []
        self.lease_until = 0.0
        self.appends: list[tuple[int, list[Entry]]] = []
        """`(after, entries)` of each that was written."""

    @property
    def seq(self) -> int:
        """Give the last entry's number."""
        return len(self.entries)

    @property
    def token(self) -> int:
        """Give the current fencing token."""
        return self.leases[-1].token

    def head(self) -> Head:
        """Say where it stands."""
        last = self.entries[-1] if self.state.ended else None
        return Head(
            record=replace(self.record, request=b"") if last else self.record,
            seq=self.seq,
            state=self.state,
            epochs=tuple(self.epochs),
            ended_at=last.at if last else None,
            ending=last.data if last else None,
        )

    def write(self, entries: Sequence[Entry]) -> None:
        """Add entries that may be added."""
        self.appends.append((self.seq, list(entries)))
        for entry in entries:
            row = TABLE[self.state]
            self.state = row[entry.name] if entry.name.startswith("stream.") else row["*"]
            self.entries.append(entry)


class StoreModel:
    """A whole store."""

    def __init__(self) -> None:
        self.streams: dict[str, ModelStream] = {}
        self.graves: dict[str, tuple[float, str | None]] = {}
        self.cancels: dict[str, float] = {}

    def find(self, id: str) -> ModelStream:
        """
        Find a stream.

        Raises:
            StreamNotFound, StreamExpired: It is not there.
        """
        if id in self.streams:
            return self.streams[id]
        raise StreamExpired("") if id in self.graves else StreamNotFound("")

    def create(self, record: Record, accepted: Entry, cancelled: Entry, epoch: str, lease_s: float) -> bool:
        """
        Start a stream.

        Returns:
            True if it was there already.

        Raises:
            StreamExists, StreamExpired: It cannot be started.
        """
        earlier = self._earlier(record)
        if earlier is not None:
            if any(each.record.fingerprint != record.fingerprint for each in earlier) or len(earlier) > 1:
                raise StreamExists("")
            return True
        if record.id in self.graves or record.idempotency_key in [key for _, key in self.graves.values() if key]:
            raise StreamExpired("")
        stream = self.streams[record.id] = ModelStream(record, epoch)
        remembered = self.cancels.pop(record.id, None)
        stopped = remembered is not None and record.created_at - remembered <= EARLY_CANCEL_S
        stream.write([accepted, cancelled] if stopped else [accepted])
        stream.lease_until = record.created_at + lease_s
        return False

    def append(self, id: str, entries: Sequence[Entry], after: int, token: int | None) -> None:
        """
        Append, or find it appended.

        Raises:
            StreamNotFound, StreamExpired, Fenced, StreamClosed, Conflict: It may not be.
        """
        stream = self.find(id)
        if stream.entries[after : after + len(entries)] == list(entries):
            return
        if token is None and {entry.name for entry in entries} != {CANCEL_REQUESTED}:
            raise Fenced("")
        if token is not None and token != stream.token:
            raise Fenced("")
        if stream.state.ended:
            raise StreamClosed("")
        if after != stream.seq:
            raise Conflict("", head=stream.seq)
        stream.write(entries)

    def acquire(self, id: str, epoch: str, now: float, lease_s: float) -> ModelStream:
        """
        Take a stream over; the caller notes the lease that the store gave.

        Raises:
            StreamNotFound, StreamExpired, StreamClosed, LeaseHeld: It cannot be taken.
        """
        stream = self.find(id)
        if stream.state.ended:
            raise StreamClosed("")
        if now < stream.lease_until:
            raise LeaseHeld("")
        stream.epochs.append((stream.seq + 1, epoch))
        stream.lease_until = now + lease_s
        return stream

    def renew(self, leases: Iterable[Lease], now: float, lease_s: float) -> list[Lease]:
        """Prolong what can be prolonged, and give the rest."""
        lost = []
        for lease in leases:
            stream = self.streams.get(lease.id)
            if stream is None or stream.state.ended or stream.token != lease.token:
                lost.append(lease)
            else:
                stream.lease_until = now + lease_s
        return lost

    def release(self, lease: Lease) -> None:
        """Give a lease back."""
        stream = self.streams.get(lease.id)
        if stream is not None and stream.token == lease.token:
            stream.lease_until = 0.0

    def remember_cancel(self, id: str, now: float) -> None:
        """Remember a stop, if there is nothing yet to stop."""
        if id not in self.streams and id not in self.graves:
            self.cancels[id] = now

    def delete(self, id: str) -> None:
        """
        Forget an ended stream.

        Raises:
            StreamLive, StreamNotFound, StreamExpired: It cannot be forgotten.
        """
        if not self.find(id).state.ended:
            raise StreamLive("")
        del self.streams[id]

    def expire(self, now: float) -> int:
        """Forget what is over."""
        over = [
            each
            for each in self.streams.values()
            if each.state.ended and each.entries[-1].at + each.record.ttl_s <= now
        ]
        for stream in over:
            del self.streams[stream.record.id]
            self.graves[stream.record.id] = (now, stream.record.idempotency_key)
        self.graves = {id: grave for id, grave in self.graves.items() if now - grave[0] < TOMBSTONE_S}
        return len(over)

    def list(self, states: frozenset[State] | None) -> Sequence[Head]:
        """List everything, newest first."""
        heads = [each.head() for each in self.streams.values() if states is None or each.state in states]
        return sorted(heads, key=lambda head: (head.record.created_at, head.id), reverse=True)

    def _earlier(self, record: Record) -> Sequence[ModelStream] | None:
        key = record.idempotency_key
        found = {
            each.record.id: each
            for each in self.streams.values()
            if each.record.id == record.id or (key is not None and each.record.idempotency_key == key)
        }
        return [*found.values()] or None


class Attempt(Generic[T]):
    """What a call gave, or what it raised."""

    def __init__(self, value: T | None = None, error: Exception | None = None) -> None:
        self.value = value
        self.error = error


def attempt(call: Callable[[], T]) -> Attempt[T]:
    """Ask the model, and keep what it raises."""
    try:
        return Attempt(value=call())
    except StreamkeepError as error:
        return Attempt(error=error)


def outcome(error: BaseException | None) -> str:
    """Name what happened, for comparing: an error's class, a conflict with the head that it tells."""
    if isinstance(error, Conflict):
        return f"Conflict at {error.head}"
    return "done" if error is None else type(error).__name__
