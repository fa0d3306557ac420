"""From rows back to streams."""

import logging
import sqlite3
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from streamkeep.entry import ACCEPTED, CANCEL_REQUESTED, FAILED, Entry
from streamkeep.lifecycle import State
from streamkeep.stores.sqlite.live import Live
from streamkeep.stores.sqlite.replay import absorb, cut_damaged_blocks
from streamkeep.stores.sqlite.schema import connect, migrate
from streamkeep.stores.sqlite.seal import seal_block, seal_parts
from streamkeep.stores.sqlite.streams import begun, ended
from tests.stores.samples import entry, record, run_of

FIRST = entry(1, ACCEPTED)


@pytest.fixture
def connection(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    connection = connect(tmp_path / "a.db")
    migrate(connection)
    connection.row_factory = sqlite3.Row
    yield connection
    connection.close()


def stream(connection: sqlite3.Connection, key: int, id: str) -> Live:
    live = Live(key, record(id), token=1, epochs=((1, "abc"),), seq=0, state=State.NEW)
    connection.execute(*begun(live))
    return live


def row(connection: sqlite3.Connection, n: int, *parts: tuple[int, Sequence[Entry]]) -> None:
    connection.execute("INSERT INTO journal VALUES (?, ?)", (n, seal_parts(parts)))


def block(connection: sqlite3.Connection, key: int, entries: Sequence[Entry], state: str = "open") -> None:
    values = (key, entries[0].seq, entries[-1].seq, state, seal_block(entries))
    connection.execute("INSERT INTO blocks VALUES (?, ?, ?, ?, ?)", values)


def test_blocks_come_before_the_journal(connection: sqlite3.Connection) -> None:
    """I1: entries that are in both are taken once; a row may be partly known."""
    stream(connection, 1, "ada")
    block(connection, 1, [FIRST, *run_of(1, 3)])
    row(connection, 5, (1, run_of(2, 2)))
    row(connection, 6, (1, run_of(4, 1)), (9, run_of(0, 1)), (1, [entry(6, CANCEL_REQUESTED)]))
    lives: dict[int, Live] = {}

    replayed = absorb(connection, lives)

    live = lives[1]
    assert (4, 4, 6, State.CANCELLING, 6) == (
        live.start,
        live.blocked,
        live.durable,
        live.durable_state,
        live.oldest_row,
    )
    assert ([5, 6], False) == ([n for n, _ in replayed.rows], replayed.damaged)


def test_looking_again_takes_what_is_new(connection: sqlite3.Connection) -> None:
    """A reader follows streams that begin, grow, go into blocks, are taken over and end."""
    ada = stream(connection, 1, "ada")
    row(connection, 1, (1, [FIRST]))
    lives: dict[int, Live] = {}
    absorb(connection, lives)

    stream(connection, 2, "bea")
    row(connection, 2, (1, run_of(1, 2)), (2, [FIRST]))
    connection.execute("UPDATE streams SET token = 2 WHERE id = 'ada'")
    absorb(connection, lives, 1)
    assert {1: (3, 2), 2: (1, 1)} == {key: (live.durable, live.token) for key, live in lives.items()}

    block(connection, 1, [FIRST, *run_of(1, 9)])
    absorb(connection, lives, 2)
    assert (10, 10) == (lives[1].durable, lives[1].blocked)

    ada.offer([FIRST, entry(2, FAILED)], State.FAILED, 100)
    connection.execute(*ended(ada))
    absorb(connection, lives, 2)
    assert [2] == [*lives]


def test_entries_behind_a_damaged_row_are_not_taken(
    connection: sqlite3.Connection, caplog: pytest.LogCaptureFixture
) -> None:
    """I2: a log is cut to its last good entry and that is said; other streams are not touched."""
    stream(connection, 1, "ada")
    stream(connection, 2, "bea")
    row(connection, 1, (1, [FIRST]), (2, [FIRST]))
    connection.execute("INSERT INTO journal VALUES (2, x'0102')")
    row(connection, 3, (1, run_of(2, 1)), (2, run_of(1, 1)))
    lives: dict[int, Live] = {}

    with caplog.at_level(logging.ERROR):
        assert absorb(connection, lives).damaged

    assert {1: 1, 2: 2} == {key: live.durable for key, live in lives.items()}
    assert "row 2 is damaged" in caplog.text
    assert "stream ada: entries after 1 are lost" in caplog.text


def test_damaged_blocks_of_live_streams_are_cut(connection: sqlite3.Connection) -> None:
    """A stream goes on from its last good block, whether a later one is damaged or missing; a whole one is kept."""
    for key, id in enumerate(("damaged", "missing", "whole"), 1):
        stream(connection, key, id)
        for after in (0, 2, 4):
            block(connection, key, [FIRST, entry(2)] if after == 0 else run_of(after, 2))
    connection.execute("UPDATE blocks SET data = x'00' WHERE stream = 1 AND last_seq = 4")
    connection.execute("DELETE FROM blocks WHERE stream = 2 AND last_seq = 2")

    assert 2 == cut_damaged_blocks(connection)

    left = connection.execute("SELECT stream, max(last_seq) FROM blocks GROUP BY stream").fetchall()
    assert [(1, 2), (3, 6)] == [tuple(each) for each in left]
    assert 0 == cut_damaged_blocks(connection)
