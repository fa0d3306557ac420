"""
Find out from the file where the streams that have not ended stand.

Strategy
    Blocks first, then the journal rows behind them; what is known already is passed over. So it can be done again and
    again: once after a start, which repairs what a crash left, and each time a reader without the lock looks.
    A damaged row cuts the streams whose entries it held back to the last good one.
"""

import logging
import sqlite3
from contextlib import closing

import msgspec

from streamkeep.lifecycle import State
from streamkeep.stores.sqlite.live import Live
from streamkeep.stores.sqlite.seal import Damaged, open_block, open_parts
from streamkeep.stores.sqlite.streams import COLUMNS, live_of

_LIVE_ROWS = f"SELECT {COLUMNS} FROM streams WHERE state = 'open'"  # noqa: S608  names of our own
_LAST_BLOCK = "SELECT last_seq, state FROM blocks WHERE stream = ? ORDER BY last_seq DESC LIMIT 1"
_LIVE_BLOCKS = """
    SELECT stream, first_seq, last_seq, data FROM blocks
    WHERE stream IN (SELECT key FROM streams WHERE state = 'open') ORDER BY stream, last_seq
"""

_log = logging.getLogger(__name__)


class Replayed(msgspec.Struct):
    """What a replay read."""

    rows: list[tuple[int, int]]
    """Journal rows: `(number, bytes)`."""
    damaged: bool
    """True if a row could not be read, or entries are missing."""


def cut_damaged_blocks(connection: sqlite3.Connection) -> int:
    """
    Remove, from streams that have not ended, blocks that are damaged and those behind them.

    Returns:
        How many streams were cut.
    """
    expected: dict[int, int] = {}
    cut: dict[int, int] = {}
    with closing(connection.execute(_LIVE_BLOCKS)) as blocks:
        for stream, first_seq, last_seq, data in blocks:
            if stream in cut:
                continue
            if first_seq == expected.get(stream, 1) and _is_whole(data, first_seq, last_seq):
                expected[stream] = last_seq + 1
            else:
                cut[stream] = last_seq
    for stream, last_seq in cut.items():
        connection.execute("DELETE FROM blocks WHERE stream = ? AND last_seq >= ?", (stream, last_seq))
        _log.error("stream number %d: damaged after entry %d; the rest was cut", stream, expected.get(stream, 1) - 1)
    return len(cut)


def absorb(connection: sqlite3.Connection, lives: dict[int, Live], after_row: int = 0) -> Replayed:
    """
    Bring `lives` up to what is committed, in one read transaction.

    Args:
        connection: To read from.
        lives: By key; those that began are added, those that ended removed.
        after_row: The last journal row read before.
    """
    connection.execute("BEGIN")
    try:
        _find_streams(connection, lives)
        return _read_journal(connection, lives, after_row)
    finally:
        connection.execute("COMMIT")


def _find_streams(connection: sqlite3.Connection, lives: dict[int, Live]) -> None:
    rows = {row["key"]: row for row in connection.execute(_LIVE_ROWS)}
    for key in lives.keys() - rows.keys():
        del lives[key]
    for key, row in rows.items():
        block = connection.execute(_LAST_BLOCK, (key,)).fetchone()
        seq, state = (block["last_seq"], State(block["state"])) if block else (0, State.NEW)
        known = lives.get(key)
        fresh = live_of(row, seq=seq, state=state)
        if known is None or known.seq < seq:
            lives[key] = fresh
        else:
            known.token = known.durable_token = fresh.token
            known.epochs = known.durable_epochs = fresh.epochs
            if known.blocked < seq:
                known.put_in_block(seq, 0)


def _read_journal(connection: sqlite3.Connection, lives: dict[int, Live], after_row: int) -> Replayed:
    found = Replayed([], damaged=False)
    for n, data in connection.execute("SELECT n, data FROM journal WHERE n > ? ORDER BY n", (after_row,)):
        found.rows.append((n, len(data)))
        try:
            parts = open_parts(data)
        except (Damaged, msgspec.DecodeError):
            _log.error("journal row %d is damaged; streams are cut to what came before it", n)
            found.damaged = True
            continue
        for key, entries in parts:
            live = lives.get(key)
            if live is not None and not live.advance(entries, n):
                _log.error("stream %s: entries after %d are lost", live.record.id, live.seq)
                found.damaged = True
    return found


def _is_whole(data: bytes, first_seq: int, last_seq: int) -> bool:
    try:
        entries = open_block(data)
    except (Damaged, msgspec.DecodeError):
        return False
    return [entry.seq for entry in entries] == list(range(first_seq, last_seq + 1))
