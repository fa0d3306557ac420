"""
Forget streams, a bounded piece at a time.

Strategy
    First the stream's row goes, in one small transaction, and with it the stream; its blocks, which may be many, are
    noted as doomed and removed by a few per transaction. A crash in between leaves a note, not a leak.
"""

import sqlite3

from streamkeep.stores.base import TOMBSTONE_S
from streamkeep.stores.sqlite.streams import Statement

EXPIRE_STREAMS = 50
"""Streams forgotten in one transaction, about 3 ms of it."""

SWEEP_BLOCKS = 32
"""Blocks removed in one transaction, 2 MiB."""

_EXPIRED = "SELECT key, id FROM streams WHERE expires_at <= ? ORDER BY expires_at LIMIT ?"
_BURY = """
    INSERT OR REPLACE INTO tombstones (id, idempotency_key, buried_at)
    SELECT id, idempotency_key, ? FROM streams WHERE key = ?
"""
_SWEEP = "DELETE FROM blocks WHERE rowid IN (SELECT rowid FROM blocks WHERE stream = ? LIMIT ?)"
_SWEPT = "DELETE FROM doomed WHERE stream = ? AND NOT EXISTS (SELECT 1 FROM blocks WHERE blocks.stream = doomed.stream)"


def forget(key: int) -> list[Statement]:
    """Remove a stream's row."""
    return [
        ("DELETE FROM streams WHERE key = ?", (key,)),
        ("INSERT OR IGNORE INTO doomed (stream) VALUES (?)", (key,)),
    ]


def bury(key: int, now: float) -> list[Statement]:
    """Remove a stream's row and leave a tombstone, if it is still there."""
    return [(_BURY, (now, key)), *forget(key)]


def expired(connection: sqlite3.Connection, now: float) -> list[tuple[int, str]]:
    """Find streams whose time is over: `(key, id)`, `EXPIRE_STREAMS` of them at most."""
    return [tuple(row) for row in connection.execute(_EXPIRED, (now, EXPIRE_STREAMS))]


def sweep(connection: sqlite3.Connection) -> list[Statement]:
    """Remove some blocks of a forgotten stream; empty if there is none left."""
    doomed = connection.execute("SELECT stream FROM doomed LIMIT 1").fetchone()
    if doomed is None:
        return []
    return [(_SWEEP, (doomed[0], SWEEP_BLOCKS)), (_SWEPT, (doomed[0],))]


def clear_tombstones(now: float) -> Statement:
    """Remove the tombstones whose time is over."""
    return "DELETE FROM tombstones WHERE buried_at <= ?", (now - TOMBSTONE_S,)
