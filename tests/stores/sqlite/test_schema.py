"""The layout and its versions."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from streamkeep.entry import ACCEPTED, FAILED
from streamkeep.errors import StoreTooNew
from streamkeep.stores.sqlite import SqliteStore, schema
from streamkeep.stores.sqlite.schema import MIGRATIONS, VERSION, connect, migrate, version_of
from streamkeep.stores.sqlite.seal import seal_block, seal_parts
from tests.stores.samples import NOW, entry, read_all, run_of

pytestmark = pytest.mark.anyio

STREAM_1 = """
    INSERT INTO streams (key, id, created_at, provider, model, fingerprint, metadata, ttl_s, token, epochs, state, seq,
                         ended_at, expires_at, ending, request)
    VALUES (?, ?, 1, 'sim', 'm', 'f', x'7b7d', 10, 1, '[[1,"abc"]]', ?, ?, ?, ?, ?, x'')
"""


@pytest.fixture
def version_1(tmp_path: Path) -> Path:
    """A file as version 1 wrote it: a live stream in the journal, an ended one in a block."""
    path = tmp_path / "old.db"
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        for statement in MIGRATIONS[0]:
            connection.execute(statement)
        connection.execute("PRAGMA user_version = 1")
        connection.execute(STREAM_1, (1, "live", "open", None, None, None, None))
        connection.execute(STREAM_1, (2, "over", "failed", 3, NOW, NOW + 10, b"{}"))
        row = seal_parts([(1, [entry(1, ACCEPTED), *run_of(1, 2)])])
        connection.execute("INSERT INTO journal (n, data) VALUES (7, ?)", (row,))
        block = seal_block([entry(1, ACCEPTED), entry(2), entry(3, FAILED)])
        connection.execute("INSERT INTO blocks VALUES (2, 1, 3, 'failed', ?)", (block,))
    return path


async def test_a_file_of_version_1_is_brought_up_to_date(version_1: Path) -> None:
    """What an earlier version wrote is read, gone on with, and expires."""
    store = SqliteStore(version_1)
    await store.open()

    assert [entry(1, ACCEPTED), *run_of(1, 2)] == await read_all(store, "live")
    assert [entry(1, ACCEPTED), entry(2), entry(3, FAILED)] == await read_all(store, "over")
    await store.append("live", run_of(3, 1), after=3, token=1)
    assert 1 == await store.expire(now=NOW + 11)
    await store.close()
    with closing(sqlite3.connect(version_1)) as connection:
        assert VERSION == version_of(connection)


async def test_a_later_versions_file_is_left_alone(tmp_path: Path) -> None:
    """A server that was rolled back says so instead of misreading."""
    path = tmp_path / "new.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(f"PRAGMA user_version = {VERSION + 1}")
    for read_only in (False, True):
        with pytest.raises(StoreTooNew, match="Upgrade Streamkeep"):
            await SqliteStore(path, read_only=read_only).open()


def test_a_migration_is_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A version whose statements fail half-way leaves the version before."""
    path = tmp_path / "a.db"
    broken = (*MIGRATIONS, ("CREATE TABLE extra (a)", "CREATE TABLE streams (a)"))
    monkeypatch.setattr(schema, "MIGRATIONS", broken)
    monkeypatch.setattr(schema, "VERSION", len(broken))

    with closing(connect(path)) as connection:
        with pytest.raises(sqlite3.OperationalError):
            migrate(connection)
        assert len(MIGRATIONS) == version_of(connection)
        assert [] == connection.execute("SELECT name FROM sqlite_master WHERE name = 'extra'").fetchall()


def test_migrating_twice_is_migrating_once(tmp_path: Path) -> None:
    """A file that is up to date is not touched."""
    with closing(connect(tmp_path / "a.db")) as connection:
        migrate(connection)
        before = connection.total_changes
        migrate(connection)

        assert before == connection.total_changes
