"""Looking things up in the file."""

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from streamkeep.entry import FAILED
from streamkeep.errors import StoreUnavailable
from streamkeep.lifecycle import State
from streamkeep.stores.sqlite.live import Live
from streamkeep.stores.sqlite.schema import connect, migrate
from streamkeep.stores.sqlite.seal import seal_block
from streamkeep.stores.sqlite.shelf import Shelf
from streamkeep.stores.sqlite.streams import begun, ended
from tests.stores.samples import entry, record, run_of


@pytest.fixture
def shelf(tmp_path: Path) -> Iterator[Shelf]:
    """Three ended streams a, b, c, of which b failed and has entries 1 to 9 in three blocks."""
    connection = connect(tmp_path / "a.db")
    migrate(connection)
    for key, id in enumerate("abc", 1):
        start = record(id, created_at=float(key), idempotency_key=f"key-{id}")
        live = Live(key, start, token=1, epochs=((1, "abc"),), seq=0, state=State.NEW)
        connection.execute(*begun(live))
        live.offer([entry(1, FAILED)], State.FAILED if id == "b" else State.COMPLETED, 50)
        connection.execute(*ended(live))
    for first in (1, 4, 7):
        block = (first, first + 2, seal_block(run_of(first - 1, 3, size=100)))
        connection.execute("INSERT INTO blocks VALUES (2, ?, ?, 'open', ?)", block)
    connection.execute("INSERT INTO tombstones VALUES ('gone', 'gone-key', 1.0)")
    yield Shelf(connection, tmp_path / "a.db")
    connection.close()


def test_a_stream_is_found_by_id_and_by_key(shelf: Shelf) -> None:
    """What is not there is None."""
    row, by_key = shelf.row("b"), shelf.record_by_key("key-c")

    assert (2, "c") == (row and row["key"], by_key and by_key.id)
    assert (None, None) == (shelf.row("x"), shelf.record_by_key("x"))


def test_a_grave_is_found_by_id_or_key(shelf: Shelf) -> None:
    """A stream without a key is not confused with graves without one."""
    assert [True, True, False, False] == [
        shelf.is_buried("gone"),
        shelf.is_buried("x", "gone-key"),
        shelf.is_buried("x", "x"),
        shelf.is_buried("x", None),
    ]


def test_ended_streams_are_listed_newest_first(shelf: Shelf) -> None:
    """Whatever states are asked for, pages follow one another."""
    every = (State.COMPLETED, State.FAILED, State.CANCELLED)

    assert ["c", "b", "a"] == [head.id for head in shelf.ended(every, None, 10)]
    assert ["c", "b"] == [head.id for head in shelf.ended(every, None, 2)]
    assert ["a"] == [head.id for head in shelf.ended(every, (2.0, "b"), 2)]
    assert ["b"] == [head.id for head in shelf.ended((State.FAILED,), None, 2)]
    assert [] == shelf.ended((), None, 2)


@pytest.mark.parametrize("after", range(10))
def test_entries_are_given_from_the_middle_of_a_block(shelf: Shelf, after: int) -> None:
    """I2: a page is the exact continuation, across blocks."""
    assert run_of(0, 9, size=100)[after:] == shelf.entries(2, after, 10_000)
    assert run_of(0, 9, size=100)[after : after + 2] == shelf.entries(2, after, 250)[:2]


def test_what_comes_before_damage_is_given(shelf: Shelf) -> None:
    """Only where nothing good is left a reader is refused."""
    shelf.connection.execute("UPDATE blocks SET data = x'00' WHERE last_seq = 6")

    assert run_of(0, 3, size=100) == shelf.entries(2, 0, 10_000)
    with pytest.raises(StoreUnavailable, match="after entry 3"):
        shelf.entries(2, 3, 10_000)


def test_no_read_transaction_stays_open(shelf: Shelf) -> None:
    """A page that is not read to its end must not keep the write-ahead log."""
    shelf.entries(2, 0, 1)
    shelf.row("a")

    assert (0,) == tuple(shelf.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone())[:1]
    assert isinstance(shelf.connection, sqlite3.Connection)
