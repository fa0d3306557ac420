"""
Put together what a store promises, on one SQLite file.

Strategy
    What changes a stream goes through the `ledger`, which is memory and one writer; what has ended, and entries that
    are not among the newest, are looked up on the `shelf`. A store that is opened to read only has no ledger: before
    each answer it looks what the other process committed.
"""

import heapq
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import ClassVar
from urllib.parse import parse_qsl, unquote, urlsplit

from streamkeep.entry import Entry
from streamkeep.errors import (
    BadRequest,
    LeaseHeld,
    StoreError,
    StoreInUse,
    StoreUnavailable,
    StreamClosed,
    StreamkeepError,
    StreamLive,
)
from streamkeep.lifecycle import State, step
from streamkeep.stores.base import (
    MAX_LIST,
    MAX_READ_BYTES,
    Append,
    Created,
    Head,
    Lease,
    Record,
    Store,
    earlier_start,
    page,
)
from streamkeep.stores.sqlite import burial, streams
from streamkeep.stores.sqlite.early import EarlyCancels
from streamkeep.stores.sqlite.faults import fault
from streamkeep.stores.sqlite.file import ForeignFile, LogFile
from streamkeep.stores.sqlite.ledger import Ledger, expired, not_found
from streamkeep.stores.sqlite.live import Live, size_of
from streamkeep.stores.sqlite.shelf import Shelf

_ENDED = tuple(state for state in State if state.ended)


class SqliteStore(Store):
    """
    The logs of one process, on disk.

    What a returned append survives: with `synchronous="normal"` the process being killed at any instruction; with
    `"full"` also a power cut, if the disk keeps what it says it has. It does not survive the loss of the disk.

    Args:
        path: The file. Beside it stand `-wal` and `-shm` (SQLite's), `.lock` and `.reserve`.
        synchronous: `normal` or `full`.
        read_only: Look at a file that another process may be writing; every write raises `StoreInUse`.
    """

    name: ClassVar[str] = "sqlite"
    single_writer: ClassVar[bool] = True

    def __init__(self, path: str | Path, *, synchronous: str = "normal", read_only: bool = False) -> None:
        if synchronous not in ("normal", "full"):
            raise BadRequest(f"synchronous is {synchronous[:20]!r}; it can be 'normal' or 'full'.")
        self._path = Path(path)
        self._full = synchronous == "full"
        self._read_only = read_only
        self._file: LogFile | None = None
        self._foreign: ForeignFile | None = None
        self._ledger: Ledger | None = None
        self._lives: Mapping[str, Live] = {}
        self._early = EarlyCancels()
        self._last_key = 0

    @classmethod
    def from_url(cls, url: str, **options: object) -> "SqliteStore":
        """Make a store from `sqlite:///relative.db` or `sqlite:////absolute/path.db`, with `?synchronous=full`."""
        parts = urlsplit(url)
        query = dict(parse_qsl(parts.query))
        synchronous = str(query.pop("synchronous", options.get("synchronous", "normal")))
        path = unquote(parts.path.removeprefix("/"))
        if parts.scheme != "sqlite" or parts.netloc or not path or query:
            raise BadRequest(
                "The store's URL is not of the form sqlite:///relative.db, sqlite:////absolute/path.db or "
                "sqlite:///relative.db?synchronous=full."
            )
        return cls(path, synchronous=synchronous, read_only=bool(options.get("read_only")))

    async def open(self) -> None:
        """Take the lock, bring the file up to date, and repair from the journal what a crash left."""
        if self._read_only:
            self._foreign = ForeignFile(self._path)
            self._foreign.open()
            return
        file = LogFile(self._path, full=self._full)
        by_key = file.open()
        self._file = file
        self._lives = lives = {live.record.id: live for live in by_key.values()}
        self._ledger = Ledger(file, lives, commit_in_thread=self._full)
        connection = file.shelf.connection
        self._early = EarlyCancels(
            tuple(row) for row in connection.execute("SELECT id, at FROM early_cancels ORDER BY at")
        )
        last = connection.execute("SELECT seq FROM sqlite_sequence WHERE name = 'streams'").fetchone()
        self._last_key = last[0] if last else 0
        if file.replayed.damaged:
            await self._ledger.put_away()

    async def close(self) -> None:
        """Commit what is pending, put it into blocks, and let go."""
        ledger, file, foreign = self._ledger, self._file, self._foreign
        self._ledger = self._file = self._foreign = None
        if foreign is not None:
            foreign.close()
        if ledger is not None and file is not None:
            try:
                await ledger.close()
            finally:
                file.reserve.remove()
                file.close()

    async def create(self, record: Record, accepted: Entry, *, epoch: str, cancelled: Entry, lease_s: float) -> Created:
        """Begin a log, or find the one begun by an earlier start."""
        ledger = self._writing()
        while self._is_starting(record):
            await ledger.committer.settled()
        earlier = self._earlier(record)
        if earlier is not None:
            return Created(head=await self.head(earlier.id), lease=None)
        ledger.check_space()
        self._last_key += 1
        live = Live(self._last_key, record, token=1, epochs=((1, epoch),), seq=0, state=State.NEW)
        live.lease_until = record.created_at + lease_s
        stopped = self._early.peek(record.id, record.created_at)
        await self._begin(ledger, live, [accepted, cancelled] if stopped else [accepted])
        lease = Lease(id=record.id, token=1, epoch=epoch, after=2 if stopped else 1)
        return Created(head=live.head(), lease=lease)

    def submit(self, append: Append) -> None:
        """Take an append for the next commit."""
        if self._ledger is not None:
            self._ledger.submit(append)
        else:
            append.done(append, self._refusal())

    async def read(self, id: str, after: int, *, max_bytes: int = MAX_READ_BYTES) -> list[Entry]:
        """Give the durable entries that follow `after`, a page of them."""
        if self._ledger is not None:
            live = self._ledger.find(id)
            if live is not None and after >= live.start:
                return page(live.seen(after), max_bytes)
        with self._looking() as shelf:
            live = self._find(id)
            if live is None:
                return shelf.entries(self._ended_row(shelf, id)["key"], after, max_bytes)
            if after >= live.start:
                return page(live.seen(after), max_bytes)
            return shelf.entries(live.key, after, max_bytes)

    async def head(self, id: str) -> Head:
        """Say where a stream stands."""
        with self._looking() as shelf:
            live = self._find(id)
            return live.head() if live is not None else streams.head_of(self._ended_row(shelf, id))

    async def list(
        self, *, states: frozenset[State] | None = None, before: tuple[float, str] | None = None, limit: int = 50
    ) -> list[Head]:
        """List streams, newest first."""
        limit = min(limit, MAX_LIST)
        with self._looking() as shelf:
            lives = [
                (live.record.created_at, id)
                for id, live in self._lives.items()
                if live.durable and (states is None or live.durable_state in states)
            ]
            newest = heapq.nlargest(limit, (place for place in lives if before is None or place < before))
            found = {id: self._lives[id].head() for _, id in newest}
            ended = shelf.ended((state for state in _ENDED if states is None or state in states), before, limit)
        # In the instant between a commit and its answer a stream is in both; the file knows better.
        found |= {head.id: head for head in ended}
        return heapq.nlargest(limit, found.values(), key=lambda head: (head.record.created_at, head.id))

    async def acquire(self, id: str, *, epoch: str, now: float, lease_s: float) -> Lease:
        """Take a log over."""
        ledger = self._writing()
        while (live := ledger.lives.get(id)) is not None and live.durable and live.state.ended:
            await ledger.committer.settled()
        if live is None or not live.durable:
            head = await self.head(id)
            raise StreamClosed(f"The stream has ended ({head.state.value}); there is nothing left to write.")
        if now < live.lease_until:
            raise LeaseHeld("Another writer holds this stream; its lease has not run out.")
        after = live.seq
        token = live.token = live.token + 1
        epochs = live.epochs = (*live.epochs, (after + 1, epoch))
        live.lease_until = now + lease_s

        def done(error: StoreError | None) -> None:
            if error is None:
                live.durable_token, live.durable_epochs = token, epochs
            else:
                live.lease_until = 0.0

        await ledger.act([streams.taken(live)], live, done)
        return Lease(id=id, token=token, epoch=epoch, after=after)

    async def renew(self, leases: Sequence[Lease], *, now: float, lease_s: float) -> Sequence[Lease]:
        """Prolong leases, which are in memory only: who opens this file next is its only writer."""
        lives = self._writing().lives
        lost = []
        for lease in leases:
            live = lives.get(lease.id)
            if live is None or live.durable_state.ended or live.token != lease.token:
                lost.append(lease)
            else:
                live.lease_until = now + lease_s
        return lost

    async def release(self, lease: Lease) -> None:
        """Give a lease back."""
        live = self._writing().lives.get(lease.id)
        if live is not None and live.token == lease.token:
            live.lease_until = 0.0

    async def remember_cancel(self, id: str, *, now: float) -> None:
        """Remember a stop for a stream that does not exist yet."""
        ledger = self._writing()
        while (live := ledger.lives.get(id)) is not None and not live.durable:
            await ledger.committer.settled()
        with self._looking() as shelf:
            exists = self._find(id) is not None or shelf.row(id) is not None or shelf.is_buried(id)
        if not exists:
            await ledger.act(self._early.remember(id, now))

    async def delete(self, id: str) -> None:
        """Forget an ended stream at once."""
        ledger = self._writing()
        live = ledger.lives.get(id)
        if live is not None and live.durable:
            raise StreamLive("The stream has not ended; stop it first.")
        with self._looking() as shelf:
            key = self._ended_row(shelf, id)["key"]
        await ledger.act(burial.forget(key), done=partial(_drop_recent, ledger, [(key, id)]))
        await self._sweep(ledger)

    async def expire(self, *, now: float) -> int:
        """Forget streams whose time is over, leaving tombstones."""
        ledger = self._writing()
        count = 0
        while True:
            with self._looking() as shelf:
                over = burial.expired(shelf.connection, now)
            if not over:
                break
            statements = [statement for key, _ in over for statement in burial.bury(key, now)]
            await ledger.act(statements, done=partial(_drop_recent, ledger, over))
            count += len(over)
        await self._sweep(ledger)
        await ledger.act([burial.clear_tombstones(now), *self._early.expire(now)])
        return count

    async def _begin(self, ledger: Ledger, live: Live, entries: Sequence[Entry]) -> None:
        """Write a stream's row and first entries in one commit."""
        record = live.record
        state = live.state
        for entry in entries:
            state = step(state, entry.name)
        statements = [streams.begun(live)]
        if len(entries) > 1:
            statements.append(("DELETE FROM early_cancels WHERE id = ?", (record.id,)))

        def done(error: StoreError | None) -> None:
            if error is None:
                self._early.forget(record.id)

        ledger.check_open()
        ledger.lives[record.id] = live
        if record.idempotency_key is not None:
            ledger.keys[record.idempotency_key] = record.id
        first = Append(record.id, entries, after=0, token=live.token, done=lambda *_: None)
        live.offer(entries, state, size_of(entries))
        ledger.committer.batch.appends.append((live, first, state))
        await ledger.act(statements, live, done)

    async def _sweep(self, ledger: Ledger) -> None:
        while True:
            with self._looking() as shelf:
                statements = burial.sweep(shelf.connection)
            if not statements:
                return
            await ledger.act(statements)

    def _is_starting(self, record: Record) -> bool:
        """Tell whether a start of this id or key is offered and not yet durable."""
        ledger = self._writing()
        ids = (record.id, ledger.keys.get(record.idempotency_key or ""))
        return any(id in ledger.lives and not ledger.lives[id].durable for id in ids if id is not None)

    def _earlier(self, record: Record) -> Record | None:
        key = record.idempotency_key
        with self._looking() as shelf:
            found = earlier_start(record, self._record(shelf, record.id), self._record_by_key(shelf, key))
            if found is None and shelf.is_buried(record.id, key):
                raise expired()
        return found

    def _record(self, shelf: Shelf, id: str) -> Record | None:
        live = self._find(id)
        if live is not None:
            return live.record
        row = shelf.row(id)
        return streams.record_of(row) if row is not None else None

    def _record_by_key(self, shelf: Shelf, key: str | None) -> Record | None:
        if key is None:
            return None
        id = self._writing().keys.get(key)
        return self._lives[id].record if id is not None else shelf.record_by_key(key)

    def _find(self, id: str) -> Live | None:
        if self._ledger is not None:
            return self._ledger.find(id)
        return self._lives.get(id)

    def _ended_row(self, shelf: Shelf, id: str) -> sqlite3.Row:
        row = shelf.row(id)
        if row is not None and row["seq"] is not None:
            return row
        raise expired() if row is None and shelf.is_buried(id) else not_found()

    def _writing(self) -> Ledger:
        if self._ledger is None:
            raise self._refusal()
        return self._ledger

    def _refusal(self) -> StoreError:
        if self._read_only:
            return StoreInUse(f"The log {self._path} is open to read only; the server that writes it takes requests.")
        return StoreUnavailable("The log is not open: the server is starting or shutting down.")

    @contextmanager
    def _looking(self) -> Iterator[Shelf]:
        """Give the shelf; what SQLite refuses becomes one of our errors."""
        try:
            if self._foreign is not None:
                seen = self._foreign.look()
                self._lives = self._lives if seen is None else seen
                yield self._foreign.shelf
            elif self._file is not None:
                yield self._file.shelf
            else:
                raise self._refusal()
        except sqlite3.Error as error:
            raise fault(error, self._path) from error


def _drop_recent(ledger: Ledger, forgotten: Iterable[tuple[int, str]], error: StreamkeepError | None) -> None:
    recent = ledger.recent
    for key, id in forgotten:
        if error is None and id in recent and recent[id].key == key:
            del recent[id]
