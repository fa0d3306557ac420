"""
Look things up in the file: ended streams, blocks, tombstones.

Strategy
    All on the event loop, over a connection of its own, each in a read transaction of its own that is over when the
    call returns: a long one would keep the write-ahead log from being emptied. On the loop because it is short: a row
    by its id is some 15 µs, a page of 256 KiB with 1,700 entries about 0.5 ms, nearly all of it decoding, which a
    thread would do under the same interpreter lock; handing it over costs 40 to 70 µs besides.
"""

import heapq
import sqlite3
from collections.abc import Iterable
from pathlib import Path

import msgspec

from streamkeep.entry import Entry
from streamkeep.errors import StoreUnavailable
from streamkeep.lifecycle import State
from streamkeep.stores.base import Head, Record, page
from streamkeep.stores.sqlite.seal import Damaged, open_block
from streamkeep.stores.sqlite.streams import COLUMNS, head_of, record_of

# ruff: noqa: S608  the only names put into SQL are our own columns
_BY_ID = f"SELECT {COLUMNS} FROM streams WHERE id = ?"
_BY_KEY = f"SELECT {COLUMNS} FROM streams WHERE idempotency_key = ?"
_BY_STATE = f"SELECT {COLUMNS} FROM streams WHERE state = ? ORDER BY created_at DESC, id DESC LIMIT ?"
_BY_STATE_BEFORE = f"""
    SELECT {COLUMNS} FROM streams WHERE state = ? AND (created_at, id) < (?, ?)
    ORDER BY created_at DESC, id DESC LIMIT ?
"""
_BLOCKS = "SELECT data FROM blocks WHERE stream = ? AND last_seq > ? ORDER BY last_seq"
_BURIED = "SELECT 1 FROM tombstones WHERE id = ? UNION ALL SELECT 1 FROM tombstones WHERE idempotency_key = ?"


class Shelf:
    """
    What is committed in one file.

    Args:
        connection: To read over; nobody else's.
        path: For errors' texts.
    """

    def __init__(self, connection: sqlite3.Connection, path: Path) -> None:
        connection.row_factory = sqlite3.Row
        self.connection = connection
        self._path = path

    def row(self, id: str) -> sqlite3.Row | None:
        """Find a stream's row by its id."""
        found: sqlite3.Row | None = self.connection.execute(_BY_ID, (id,)).fetchone()
        return found

    def record_by_key(self, idempotency_key: str) -> Record | None:
        """Find a stream by its idempotency key."""
        row = self.connection.execute(_BY_KEY, (idempotency_key,)).fetchone()
        return record_of(row) if row else None

    def is_buried(self, id: str, idempotency_key: str | None = None) -> bool:
        """Tell whether a tombstone has this id or this key."""
        return self.connection.execute(_BURIED, (id, idempotency_key)).fetchone() is not None

    def ended(self, states: Iterable[State], before: tuple[float, str] | None, limit: int) -> list[Head]:
        """List ended streams in some states, newest first."""
        found: list[Head] = []
        for state in states:
            rows = (
                self.connection.execute(_BY_STATE, (state.value, limit))
                if before is None
                else self.connection.execute(_BY_STATE_BEFORE, (state.value, *before, limit))
            )
            found += [head_of(row) for row in rows]
        return heapq.nlargest(limit, found, key=lambda head: (head.record.created_at, head.id))

    def entries(self, key: int, after: int, max_bytes: int) -> list[Entry]:
        """
        Read a page from a stream's blocks.

        Raises:
            StoreUnavailable: A block is damaged, and nothing before it is left to give.
        """
        found: list[Entry] = []
        room = max_bytes
        cursor = self.connection.execute(_BLOCKS, (key, after))
        try:
            for (data,) in cursor:
                entries = open_block(data)
                # Blocks have no gaps inside, so the first entry wanted stands at a known place.
                fresh = entries[after + 1 - entries[0].seq :] if not found else entries
                if found and len(fresh[0].data) > room:
                    break
                taken = page(fresh, room)
                found += taken
                if len(taken) < len(fresh):
                    break
                room -= sum([len(entry.data) for entry in taken])
        except (Damaged, msgspec.DecodeError):
            if not found:
                raise StoreUnavailable(
                    f"The log {self._path} is damaged after entry {after} of this stream; the rest cannot be read. "
                    "Restore a copy, or delete the stream.",
                    code="log_damaged",
                ) from None
        finally:
            cursor.close()
        return found
