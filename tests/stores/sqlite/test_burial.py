"""Forgetting in small pieces."""

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from streamkeep.stores.base import TOMBSTONE_S
from streamkeep.stores.sqlite import burial
from streamkeep.stores.sqlite.burial import EXPIRE_STREAMS, SWEEP_BLOCKS
from streamkeep.stores.sqlite.committer import write
from streamkeep.stores.sqlite.schema import connect, migrate

BLOCKS = 2 * SWEEP_BLOCKS + 1


@pytest.fixture
def connection(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    """One more stream than is forgotten at once; the first has many blocks."""
    connection = connect(tmp_path / "a.db")
    migrate(connection)
    insert = """
        INSERT INTO streams VALUES (?, ?, 1, 'sim', 'm', 'f', ?, x'', 1, 1, '[]', 'failed', 1, 1, ?, x'', x'')
    """
    for key in range(1, EXPIRE_STREAMS + 2):
        connection.execute(insert, (key, f"s{key}", f"k{key}", 100.0 + key))
    for seq in range(BLOCKS):
        connection.execute("INSERT INTO blocks VALUES (1, ?, ?, 'open', x'')", (seq, seq))
    yield connection
    connection.close()


def count(connection: sqlite3.Connection, table: str) -> int:
    found: int = connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0]
    return found


def test_what_is_over_is_found_oldest_first_and_bounded(connection: sqlite3.Connection) -> None:
    """I10: one look gives so many, and none whose time is not over."""
    assert [(1, "s1"), (2, "s2")] == burial.expired(connection, 102.0)
    assert EXPIRE_STREAMS == len(burial.expired(connection, 1000.0))


def test_blocks_go_by_pieces(connection: sqlite3.Connection) -> None:
    """I10: however long a stream was, one transaction removes so many blocks of it."""
    write(connection, burial.forget(1))
    left = [count(connection, "blocks")]
    while statements := burial.sweep(connection):
        write(connection, statements)
        left.append(count(connection, "blocks"))

    assert [BLOCKS, BLOCKS - SWEEP_BLOCKS, BLOCKS - 2 * SWEEP_BLOCKS, 0] == left
    assert (EXPIRE_STREAMS, 0, 0) == tuple(count(connection, each) for each in ("streams", "doomed", "tombstones"))


def test_a_grave_is_dug_only_for_what_is_there(connection: sqlite3.Connection) -> None:
    """A stream that was deleted meanwhile leaves its id free."""
    write(connection, burial.forget(2))
    write(connection, burial.bury(2, 500.0))
    write(connection, burial.bury(3, 500.0))

    assert [("s3", "k3", 500.0)] == connection.execute("SELECT * FROM tombstones").fetchall()
    write(connection, [burial.clear_tombstones(500.0 + TOMBSTONE_S - 1)])
    assert 1 == count(connection, "tombstones")
    write(connection, [burial.clear_tombstones(500.0 + TOMBSTONE_S)])
    assert 0 == count(connection, "tombstones")
