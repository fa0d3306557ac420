"""The books while streams are written."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from streamkeep.entry import COMPLETED, Entry
from streamkeep.errors import StoreUnavailable, StreamExpired, StreamkeepError, StreamNotFound
from streamkeep.stores.base import Append
from streamkeep.stores.sqlite import SqliteStore, committer, ledger
from streamkeep.stores.sqlite.ledger import Ledger
from tests.stores.samples import NOW, Answers, entry, run_of, start

pytestmark = pytest.mark.anyio


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[SqliteStore]:
    store = SqliteStore(tmp_path / "a.db")
    await store.open()
    yield store
    await store.close()


def books(store: SqliteStore) -> Ledger:
    assert store._ledger is not None
    return store._ledger


async def test_late_appends_are_answered_at_once(store: SqliteStore) -> None:
    """I7: who appends to a stream that is gone is told what became of it."""
    await start(store, ttl_s=0.0)
    await store.append("ada", [entry(2, COMPLETED)], after=1, token=1)
    await store.expire(now=NOW + 2)
    answers = Answers(store)

    answers.submit("ada", run_of(4, 1))
    answers.submit("bea", run_of(4, 1))

    assert [StreamExpired, StreamNotFound] == [type(error) for error in answers.errors]


async def test_a_repetition_of_the_ending_is_no_error(store: SqliteStore) -> None:
    """I3: a writer that lost the answer may ask again; one that brings another ending is told it is too late."""
    await start(store)
    last = [*run_of(1, 2), entry(4, COMPLETED)]
    await store.append("ada", last, after=1, token=1)

    answers = Answers(store)
    answers.submit("ada", last)
    answers.submit("ada", [*last[:2], entry(4, COMPLETED, size=21)])
    answers.submit("ada", run_of(4, 1))

    assert [None, "StreamClosed", "StreamClosed"] == [error and type(error).__name__ for error in answers.errors]


async def test_a_repetition_of_what_only_a_block_has_is_found(store: SqliteStore) -> None:
    """Law 2 holds however long ago it was."""
    await start(store)
    first = run_of(1, 5, size=30_000)
    await store.append("ada", first, after=1, token=1)
    await store.append("ada", run_of(6, 5, size=30_000), after=6, token=1)
    assert books(store).lives["ada"].start > 6

    await store.append("ada", first, after=1, token=1)

    assert 11 == (await store.head("ada")).seq


async def test_what_waits_is_bounded(store: SqliteStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """I10: more than a batch may hold is refused, in its turn, and what was offered before is written."""
    monkeypatch.setattr(ledger, "MAX_BATCH_BYTES", 1000)
    await start(store)
    answers = Answers(store)

    answers.submit("ada", run_of(1, 1, size=900))
    answers.submit("ada", run_of(2, 1, size=900))
    await books(store).committer.drained()

    assert [None, StoreUnavailable] == [error and type(error) for error in answers.errors]
    assert 2 == (await store.head("ada")).seq


async def test_a_callback_that_raises_keeps_nobody_from_an_answer(store: SqliteStore) -> None:
    """The others' answers are given, and the mistake is reported."""
    reported: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: reported.append(context["exception"]))
    await start(store)
    mistake = ValueError("planted")

    def fail(_: Append, error: StreamkeepError | None) -> None:
        raise mistake

    store.submit(Append("ada", run_of(1, 1), after=1, token=1, done=fail))
    await store.append("ada", run_of(2, 1), after=2, token=1)
    asyncio.get_running_loop().set_exception_handler(None)

    assert [mistake] == reported
    assert 3 == (await store.head("ada")).seq


async def test_a_callback_may_append(store: SqliteStore) -> None:
    """A writer goes on from the answer; that is the next commit."""
    await start(store)
    finished = asyncio.Event()

    def again(append: Append, error: StreamkeepError | None) -> None:
        assert error is None
        if append.after < 10:
            following: list[Entry] = run_of(append.after + 1, 1)
            store.submit(Append("ada", following, after=append.after + 1, token=1, done=again))
        else:
            finished.set()

    store.submit(Append("ada", run_of(1, 1), after=1, token=1, done=again))
    await finished.wait()

    assert 11 == (await store.head("ada")).seq


async def test_ended_streams_in_memory_are_bounded(store: SqliteStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """I10: the newest ended streams are told from memory, the others from the file, to the same effect."""
    monkeypatch.setattr(ledger, "RECENT_STREAMS", 2)
    for id in ("a", "b", "c"):
        await start(store, id)
        await store.append(id, [entry(2, COMPLETED)], after=1, token=1)

    assert ["b", "c"] == [*books(store).recent]
    assert ["a", "b", "c"] == [(await store.head(id)).id for id in ("a", "b", "c")]
    assert 3 * [[entry(2, COMPLETED)]] == [await store.read(id, 1) for id in ("a", "b", "c")]
    await store.delete("c")
    assert ["b"] == [*books(store).recent]


@pytest.mark.parametrize("synchronous", ["normal", "full"])
async def test_what_gathered_behind_a_failure_is_answered_and_nobody_is_left_waiting(
    tmp_path: Path, synchronous: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Appends on top of a failed one fail with it, in order; other streams' appends are written."""
    monkeypatch.setattr(committer, "BUSY_LIMIT_S", 0.02)
    path = tmp_path / "b.db"
    store = SqliteStore(path, synchronous=synchronous)
    await store.open()
    for id in ("ada", "bea"):
        await start(store, id)
    answers, others = Answers(store), Answers(store)
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    answers.submit("ada", run_of(1, 1))
    await asyncio.sleep(0)
    answers.submit("ada", run_of(2, 1))
    await books(store).committer.settled()
    others.submit("bea", run_of(1, 1))
    other.execute("ROLLBACK")
    other.close()
    await books(store).committer.drained()

    assert [StoreUnavailable, StoreUnavailable] == [type(error) for error in answers.errors]
    assert [None] == others.errors
    assert (1, 2) == ((await store.head("ada")).seq, (await store.head("bea")).seq)
    await store.close()
