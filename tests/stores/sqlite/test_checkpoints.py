"""The write-ahead log's size."""

import logging
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from streamkeep.stores.sqlite import SqliteStore, checkpoints
from tests.stores.samples import read_all, run_of, start

pytestmark = pytest.mark.anyio

LIMIT = 256 * 1024


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "log.db"


async def a_store(path: Path, synchronous: str = "normal") -> SqliteStore:
    store = SqliteStore(path, synchronous=synchronous)
    await store.open()
    assert store._ledger is not None
    store._ledger.checkpoints._limit = store._ledger.checkpoints._due = LIMIT
    await start(store)
    return store


async def append_a_lot(store: SqliteStore, count: int, after: int = 1) -> int:
    """Append while checkpoints run; give the largest size of the write-ahead log."""
    wal = store._path.with_name(store._path.name + "-wal")
    largest = 0
    for seq in range(after, after + count):
        await store.append("ada", run_of(seq, 1, size=1000), after=seq, token=1)
        largest = max(largest, wal.stat().st_size)
        assert store._ledger is not None
        task = store._ledger.checkpoints._task
        if seq % 100 == 0 and task is not None:
            await task
    return largest


@pytest.mark.parametrize("synchronous", ["normal", "full"])
async def test_the_write_ahead_log_is_bounded_while_writing(path: Path, synchronous: str) -> None:
    """I10: ten times its limit is written, and it is used again from its beginning."""
    store = await a_store(path, synchronous)

    largest = await append_a_lot(store, 1000)

    assert largest < 8 * LIMIT
    assert 1001 == len(await read_all(store))
    await store.close()
    assert not path.with_name("log.db-wal").exists()


async def test_a_long_reader_is_noticed_and_costs_no_commit(
    path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """I10: a program that keeps the file open lets it grow; somebody is told, and it shrinks afterwards."""
    monkeypatch.setattr(checkpoints, "ALARM_BYTES", LIMIT)
    store = await a_store(path)
    with closing(sqlite3.connect(path, isolation_level=None)) as reader, caplog.at_level(logging.WARNING):
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM streams").fetchone()
        await append_a_lot(store, 300)
        assert "keeps the log open for reading" in caplog.text
    assert store._ledger is not None
    store._ledger.checkpoints.start()
    assert store._ledger.checkpoints._task is not None
    await store._ledger.checkpoints._task
    assert 0 == store._ledger.checkpoints._written
    await store.close()
    assert not path.with_name("log.db-wal").exists()


async def test_a_checkpoint_that_fails_is_tried_again(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A failing checkpoint is a warning: commits do not depend on it."""
    store = await a_store(path)
    assert store._ledger is not None
    ledger = store._ledger
    good, ledger.checkpoints._connection = ledger.checkpoints._connection, sqlite3.connect(":memory:")
    ledger.checkpoints._connection.close()
    await append_a_lot(store, 100)
    assert "checkpoint failed" in caplog.text
    ledger.checkpoints._connection = good

    await store.close()
    assert not path.with_name("log.db-wal").exists()
