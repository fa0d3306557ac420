"""The rows of `streams`."""

import sqlite3
from contextlib import closing
from pathlib import Path

from streamkeep.entry import ACCEPTED, COMPLETED
from streamkeep.lifecycle import State
from streamkeep.stores.sqlite import streams
from streamkeep.stores.sqlite.live import Live
from streamkeep.stores.sqlite.schema import connect, migrate
from streamkeep.stores.sqlite.streams import COLUMNS
from tests.stores.samples import entry, record

RECORD = record(idempotency_key="k", metadata=b'{"a":1}', ttl_s=7.5)


def written(path: Path, *, over: bool) -> sqlite3.Row:
    live = Live(3, RECORD, token=1, epochs=((1, "abc"),), seq=0, state=State.NEW)
    with closing(connect(path)) as connection:
        migrate(connection)
        connection.row_factory = sqlite3.Row
        connection.execute(*streams.begun(live))
        live.token, live.epochs = 2, ((1, "abc"), (2, "def"))
        connection.execute(*streams.taken(live))
        if over:
            live.offer([entry(1, ACCEPTED), entry(2, COMPLETED)], State.COMPLETED, 100)
            connection.execute(*streams.ended(live))
        row: sqlite3.Row = connection.execute(f"SELECT {COLUMNS} FROM streams").fetchone()
        return row


def test_a_live_stream_comes_back_as_it_was(tmp_path: Path) -> None:
    """Record, token and epochs survive; where it stands is told by its blocks."""
    live = streams.live_of(written(tmp_path / "a.db", over=False), seq=9, state=State.CANCELLING)

    assert RECORD == live.record
    assert (3, 2, ((1, "abc"), (2, "def"))) == (live.key, live.token, live.epochs)
    assert (9, 9, 9, State.CANCELLING) == (live.seq, live.durable, live.blocked, live.state)


def test_an_ended_stream_comes_back_without_its_request(tmp_path: Path) -> None:
    """A head needs nothing but the row."""
    head = streams.head_of(written(tmp_path / "a.db", over=True))

    last = entry(2, COMPLETED)
    assert (2, State.COMPLETED, last.at, last.data) == (head.seq, head.state, head.ended_at, head.ending)
    assert (b"", b'{"a":1}') == (head.record.request, head.record.metadata)
    assert "def.2" == str(head.cursor)
