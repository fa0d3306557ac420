"""What the store on disk promises beyond what every store does (tests/testing/test_check_store.py)."""

import asyncio
import os
import shutil
import sqlite3
import stat
import subprocess
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, closing
from pathlib import Path

import pytest

from streamkeep import registry
from streamkeep.entry import CANCEL_REQUESTED, COMPLETED, FAILED, Entry
from streamkeep.errors import (
    BadRequest,
    Conflict,
    StoreFull,
    StoreInUse,
    StoreUnavailable,
    StreamExpired,
    StreamkeepError,
    StreamNotFound,
)
from streamkeep.lifecycle import State
from streamkeep.stores.base import Lease
from streamkeep.stores.sqlite import STORE, SqliteStore, committer
from tests.stores.samples import NOW, Answers, create, entry, read_all, run_of, start

pytestmark = pytest.mark.anyio


@asynccontextmanager
async def opened(path: Path, synchronous: str = "normal", *, read_only: bool = False) -> AsyncIterator[SqliteStore]:
    store = SqliteStore(path, synchronous=synchronous, read_only=read_only)
    await store.open()
    try:
        yield store
    finally:
        await store.close()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "log.db"


def rows(path: Path, sql: str) -> list[tuple[object, ...]]:
    """Look into the file from outside."""
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute(sql).fetchall()


def copy_of(path: Path, folder: Path) -> Path:
    """Copy the files as they are, which is what a killed process leaves."""
    folder.mkdir()
    for each in (path, path.with_name(path.name + "-wal")):
        shutil.copy(each, folder)
    return folder / path.name


# ---------------------------------------------------------------------------------------------------------------------
# Group commit


@pytest.mark.parametrize("synchronous", ["normal", "full"])
async def test_what_is_offered_in_one_turn_is_one_row(path: Path, synchronous: str) -> None:
    """A hundred streams that append in one turn of the event loop share one commit."""
    async with opened(path, synchronous) as store:
        for number in range(100):
            await start(store, f"s{number}")
        before = rows(path, "SELECT count(*) FROM journal")
        answers = Answers(store)

        for number in range(100):
            answers.submit(f"s{number}", run_of(1, 1))
        assert [] == answers.errors
        await store.append("s0", run_of(2, 1), after=2, token=1)

        assert [None] * 100 == answers.errors
        assert [(before[0][0] + 1,)] == rows(path, "SELECT count(*) FROM journal")  # type: ignore[operator]


async def test_nothing_is_seen_before_it_is_committed(path: Path) -> None:
    """I1: offered entries are judged against, but not read."""
    async with opened(path) as store:
        await start(store)
        answers = Answers(store)
        answers.submit("ada", run_of(1, 1))
        answers.submit("ada", run_of(2, 1))

        assert 1 == (await store.head("ada")).seq
        assert [1] == [each.seq for each in await store.read("ada", 0)]

        await store.append("ada", run_of(3, 1), after=3, token=1)
        assert [1, 2, 3, 4] == [each.seq for each in await store.read("ada", 0)]


async def test_a_refusal_waits_for_its_turn(path: Path) -> None:
    """Answers of one stream come in the order of its appends, refusals and repetitions included."""
    async with opened(path) as store:
        await start(store)
        answers = Answers(store)

        answers.submit("ada", run_of(1, 1))
        answers.submit("ada", run_of(5, 1))
        answers.submit("ada", run_of(1, 1))
        assert [] == answers.errors
        await store.append("ada", run_of(2, 1), after=2, token=1)
        answers.submit("ada", run_of(7, 1))

        assert [None, "Conflict", None, "Conflict"] == [error and type(error).__name__ for error in answers.errors]


@pytest.mark.parametrize("synchronous", ["normal", "full"])
async def test_what_was_judged_on_top_of_a_failed_commit_fails_with_it(path: Path, synchronous: str) -> None:
    """After a failure, memory and file agree, and the writer goes on from the durable head; others are not touched."""
    async with opened(path, synchronous) as store:
        await start(store, "ada")
        await start(store, "bea")
        answers, others = Answers(store), Answers(store)
        # Bytes that are none fail when the batch is encoded, as a full disk fails when it is written.
        unencodable = Entry(3, NOW, "ping", object())  # type: ignore[arg-type]
        patch = pytest.MonkeyPatch()
        patch.setattr("streamkeep.stores.sqlite.ledger.size_of", lambda entries: 1)

        answers.submit("ada", run_of(1, 1))
        answers.submit("ada", [unencodable])
        others.submit("bea", [entry(2, FAILED)])
        patch.undo()
        assert store._ledger is not None
        await store._ledger.committer.drained()

        assert [StoreUnavailable, StoreUnavailable] == [type(error) for error in answers.errors]
        assert [StoreUnavailable] == [type(error) for error in others.errors]
        assert 1 == (await store.head("ada")).seq
        await store.append("ada", run_of(1, 1), after=1, token=1)
        await store.append("bea", [entry(2, FAILED)], after=1, token=1)
        assert run_of(1, 1) == await store.read("ada", 1)


# ---------------------------------------------------------------------------------------------------------------------
# Blocks and the journal


async def test_a_long_stream_is_read_the_same_from_blocks_and_from_memory(path: Path) -> None:
    """I2: where an entry stands makes no difference to who reads it."""
    expected = [entry(1, "stream.accepted"), *run_of(1, 600, size=500)]
    async with opened(path) as store:
        await start(store)
        for after in range(1, 600, 50):
            await store.append("ada", run_of(after, 50, size=500), after=after, token=1)

        assert rows(path, "SELECT count(*) FROM blocks") > [(3,)]
        assert expected == await read_all(store)
        assert [expected[after:][:1] for after in range(601)] == [
            await store.read("ada", after, max_bytes=1) for after in range(601)
        ]
    async with opened(path) as store:
        assert expected == await read_all(store)


async def test_an_ending_stands_in_its_block_only(path: Path) -> None:
    """A stream that ends leaves nothing in the journal of that commit, and its request is emptied."""
    async with opened(path) as store:
        await start(store)
        before = rows(path, "SELECT max(n) FROM journal")

        await store.append("ada", [*run_of(1, 3), entry(5, COMPLETED)], after=1, token=1)

        assert before == rows(path, "SELECT max(n) FROM journal")
        assert [("completed", 5, b"")] == rows(path, "SELECT state, seq, request FROM streams")
        assert [(1, 5)] == rows(path, "SELECT first_seq, last_seq FROM blocks")


async def test_a_quiet_stream_does_not_keep_the_journal(path: Path) -> None:
    """I10: the journal stays within its limit though a live stream has an old entry in it."""
    async with opened(path) as store:
        assert store._ledger is not None
        store._ledger.journal._max_rows = 200
        await start(store, "quiet")
        await start(store, "busy")
        for seq in range(1, 1501):
            await store.append("busy", run_of(seq, 1), after=seq, token=1)

        [(count,)] = rows(path, "SELECT count(*) FROM journal")
        assert isinstance(count, int)
        assert count < 200 + 2 * 64
        assert [1] == [each.seq for each in await store.read("quiet", 0)]
        assert 1501 == len(await read_all(store, "busy"))
    async with opened(path) as store:
        assert 1501 == len(await read_all(store, "busy"))


async def test_closing_puts_everything_away(path: Path) -> None:
    """After a close the file is complete without its companions."""
    async with opened(path) as store:
        await start(store)
        await store.append("ada", run_of(1, 3), after=1, token=1)

    assert [path.name, path.name + ".lock"] == sorted(each.name for each in path.parent.iterdir())
    assert [(1, 4)] == rows(path, "SELECT first_seq, last_seq FROM blocks")
    assert [(1,)] == rows(path, "SELECT count(*) FROM journal")
    async with opened(path) as store:
        assert 4 == (await store.head("ada")).seq


async def test_closing_twice_is_closing_once(path: Path) -> None:
    """Close is idempotent, and what is asked afterwards is answered, not left hanging."""
    store = SqliteStore(path)
    await store.open()
    await start(store)
    await store.close()
    await store.close()
    answers = Answers(store)
    answers.submit("ada", run_of(1, 1))

    assert [StoreUnavailable] == [type(error) for error in answers.errors]
    with pytest.raises(StoreUnavailable):
        await store.head("ada")


# ---------------------------------------------------------------------------------------------------------------------
# Crashes and damage


async def test_a_repair_can_be_repeated(path: Path, tmp_path: Path) -> None:
    """I1: what was answered is there after a crash, and after a crash during the repair."""
    async with opened(path) as store:
        await start(store)
        await store.append("ada", run_of(1, 700, size=100), after=1, token=1)
        await store.append("ada", [*run_of(701, 2), entry(704, CANCEL_REQUESTED)], after=701, token=1)
        expected = await read_all(store)
        first = copy_of(path, tmp_path / "first")
    second = first
    for name in ("second", "third"):
        async with opened(second) as store:
            assert expected == await read_all(store)
            assert State.CANCELLING == (await store.head("ada")).state
            second = copy_of(second, tmp_path / name)


@pytest.mark.parametrize("which", [0, 2, 4])
async def test_a_damaged_journal_row_cuts_to_what_came_before(path: Path, tmp_path: Path, which: int) -> None:
    """A flipped byte costs the entries from there on, of that stream only; what is appended next survives."""
    async with opened(path) as store:
        await start(store, "bea")
        await start(store, "ada")
        for seq in range(1, 5):
            await store.append("ada", run_of(seq, 1), after=seq, token=1)
        left = copy_of(path, tmp_path / "left")
    with closing(sqlite3.connect(left, isolation_level=None)) as connection:
        (n,) = connection.execute("SELECT n FROM journal ORDER BY n LIMIT 1 OFFSET ?", (which + 1,)).fetchone()
        # Typed back to BLOB, since || gives text.
        connection.execute(
            "UPDATE journal SET data = CAST(substr(data, 1, length(data) - 3) || x'000000' AS BLOB) WHERE n = ?", (n,)
        )
    async with opened(left) as store:
        assert 1 == (await store.head("bea")).seq
        if which == 0:
            with pytest.raises(StreamExpired):
                await store.head("ada")
            return
        assert which == (await store.head("ada")).seq
        await store.append("ada", run_of(which, 1), after=which, token=1)
        again = copy_of(left, tmp_path / "again")
    async with opened(again) as store:
        assert which + 1 == len(await read_all(store))


async def test_a_damaged_block_is_told_and_does_not_hang(path: Path) -> None:
    """A reader of a damaged stream gets a named error, not an endless wait; other streams are not touched."""
    async with opened(path) as store:
        for id in ("ada", "bea"):
            await start(store, id)
            await store.append(id, [*run_of(1, 900, size=100), entry(902, COMPLETED)], after=1, token=1)
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("UPDATE blocks SET data = CAST(data || x'00' AS BLOB) WHERE stream = 1")
    async with opened(path) as store:
        with pytest.raises(StoreUnavailable) as refused:
            await store.read("ada", 0)
        assert "log_damaged" == refused.value.code
        assert 902 == len(await read_all(store, "bea"))


def test_a_file_that_is_no_log_is_told(path: Path) -> None:
    """Nothing is overwritten, and the text says what to do."""
    path.write_bytes(b"what is this" * 1000)

    with pytest.raises(StoreUnavailable) as refused:
        asyncio.run(SqliteStore(path).open())

    assert "Move it away" in refused.value.message
    assert b"what is this" * 1000 == path.read_bytes()


# ---------------------------------------------------------------------------------------------------------------------
# Other processes


async def test_a_second_writer_is_told_who_is_first(path: Path) -> None:
    """Two processes do not write one file; the second hears the first one's number, and can have it afterwards."""
    async with opened(path):
        with pytest.raises(StoreInUse) as refused:
            await SqliteStore(path).open()
        assert f"pid {os.getpid()}" in refused.value.message
    async with opened(path):
        pass


async def test_a_reader_follows_a_writer(path: Path) -> None:
    """A store that is opened to read only sees what is committed, from journal and blocks, and writes nothing."""
    async with opened(path) as writer, opened(path, read_only=True) as reader:
        await start(writer)
        assert 1 == (await reader.head("ada")).seq
        for after in range(1, 1000, 37):
            await writer.append("ada", run_of(after, 37, size=200), after=after, token=1)
            assert await writer.head("ada") == await reader.head("ada")
        await writer.append("ada", [entry(1001, CANCEL_REQUESTED)], after=1000, token=None)
        assert await writer.list() == await reader.list()
        assert await read_all(writer) == await read_all(reader)
        await writer.append("ada", [entry(1002, FAILED)], after=1001, token=1)
        assert State.FAILED == (await reader.head("ada")).state
        assert await read_all(writer) == await read_all(reader)
        with pytest.raises(StreamNotFound):
            await reader.head("bea")
        with pytest.raises(StoreInUse):
            await create(reader, "bea")
        with pytest.raises(StoreInUse):
            await reader.append("ada", run_of(1002, 1), after=1002, token=1)


async def test_a_reader_needs_no_writer(path: Path) -> None:
    """A closed log, and one that a crash left, can be looked at."""
    async with opened(path) as store:
        await start(store)
    async with opened(path, read_only=True) as reader:
        assert 1 == (await reader.head("ada")).seq
    with pytest.raises(StoreUnavailable):
        await SqliteStore(path.with_name("missing.db"), read_only=True).open()


async def test_a_short_lock_from_outside_delays_a_commit(path: Path) -> None:
    """A program that holds the file for a moment costs a retry, nothing else."""
    async with opened(path) as store, _held(path) as release:
        starting = asyncio.create_task(start(store))
        for _ in range(3):
            await asyncio.sleep(0)
        assert not starting.done()
        release()
        assert 1 == (await starting).after


@pytest.mark.parametrize("synchronous", ["normal", "full"])
async def test_a_long_lock_from_outside_is_an_error(
    path: Path, synchronous: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """I10: waiting for the file is bounded; afterwards the store goes on from what is durable."""
    monkeypatch.setattr(committer, "BUSY_LIMIT_S", 0.02)
    async with opened(path, synchronous) as store:
        await start(store)
        async with _held(path):
            with pytest.raises(StoreUnavailable):
                await store.append("ada", run_of(1, 1), after=1, token=1)
            with pytest.raises(StoreUnavailable):
                await create(store, "bea")
        await store.append("ada", run_of(1, 1), after=1, token=1)
        assert not (await create(store, "bea")).replayed


@asynccontextmanager
async def _held(path: Path) -> AsyncIterator[Callable[[], object]]:
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield lambda: other.execute("ROLLBACK")
        if other.in_transaction:
            other.execute("ROLLBACK")


# ---------------------------------------------------------------------------------------------------------------------
# Space


async def test_a_file_at_its_limit_refuses_and_goes_on_when_there_is_room(path: Path) -> None:
    """SQLITE_FULL fails that batch whole; when there is space again the log continues where it stood."""
    async with opened(path) as store:
        await start(store)
        assert store._file is not None
        pages = store._file.writer.execute("PRAGMA page_count").fetchone()[0]
        store._file.writer.execute(f"PRAGMA max_page_count = {pages + 5}")
        with pytest.raises(StoreFull) as refused:
            await store.append("ada", run_of(1, 200, size=500), after=1, token=1)
        assert str(path) in refused.value.message
        assert 1 == (await store.head("ada")).seq
        store._file.writer.execute("PRAGMA max_page_count = 1000000")

        await store.append("ada", run_of(1, 200, size=500), after=1, token=1)
        assert 201 == len(await read_all(store))


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "small"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(folder)]
    if shutil.which("mount") is None or subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("mounting a small tmpfs is not permitted here")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


@pytest.mark.parametrize("synchronous", ["normal", "full"])
async def test_a_full_disk_takes_endings_from_the_reserve(small_disk: Path, synchronous: str) -> None:
    """I3, I10: on a full disk streams are still ended; with space the log goes on, and nothing is half-written."""
    ballast = small_disk / "ballast"
    ballast.write_bytes(bytes(4 * 1024 * 1024))
    acknowledged = {f"s{number}": 1 for number in range(20)}
    async with opened(small_disk / "log.db", synchronous) as store:
        for id in acknowledged:
            await start(store, id)
        full = await _fill(store, acknowledged)
        assert full
        for id, seq in acknowledged.items():
            assert seq == (await store.head(id)).seq
        for id, seq in list(acknowledged.items())[:10]:
            await store.append(id, [entry(seq + 1, FAILED)], after=seq, token=1)
        with pytest.raises(StoreFull):
            await create(store, "later")

        ballast.unlink()
        assert store._file is not None
        store._file.reserve._next_probe = 0.0  # a second passes
        for id, seq in list(acknowledged.items())[10:]:
            await store.append(id, run_of(seq, 1), after=seq, token=1)
        expected = {id: await read_all(store, id) for id in acknowledged}
    async with opened(small_disk / "log.db") as store:
        assert expected == {id: await read_all(store, id) for id in acknowledged}
        assert {seq + 1 for seq in acknowledged.values()} == {len(log) for log in expected.values()}


async def _fill(store: SqliteStore, acknowledged: dict[str, int]) -> bool:
    """Append to all streams in turn until the disk is full, counting what was acknowledged."""
    for _ in range(1000):
        for id, seq in acknowledged.items():
            try:
                await store.append(id, run_of(seq, 1, size=1000), after=seq, token=1)
            except StoreFull:
                return True
            acknowledged[id] = seq + 1
    return False


# ---------------------------------------------------------------------------------------------------------------------
# Forgetting


async def test_what_expired_is_remembered_for_a_day_across_a_restart(path: Path) -> None:
    """An expired stream's id and key start nothing new, and its blocks are gone."""
    async with opened(path) as store:
        await start(store, idempotency_key="k", ttl_s=10.0)
        await store.append("ada", [*run_of(1, 900, size=1000), entry(902, FAILED)], after=1, token=1)
        assert 1 == await store.expire(now=NOW + 2000)
    async with opened(path) as store:
        with pytest.raises(StreamExpired):
            await store.read("ada", 0)
        with pytest.raises(StreamExpired):
            await create(store, "bea", idempotency_key="k")
        assert [(0, 0)] == rows(path, "SELECT (SELECT count(*) FROM blocks), (SELECT count(*) FROM doomed)")
        await store.expire(now=NOW + 2000 + 86_400)
        with pytest.raises(StreamNotFound):
            await store.head("ada")


async def test_a_stop_that_overtakes_its_start_survives_a_restart(path: Path) -> None:
    """I14: the stop wins though the server was restarted in between."""
    async with opened(path) as store:
        await store.remember_cancel("ada", now=NOW - 30)
    async with opened(path) as store:
        created = await create(store)
        assert (State.CANCELLING, 2) == (created.head.state, created.head.seq)
    async with opened(path) as store:
        assert State.CANCELLING == (await store.head("ada")).state


async def test_a_start_is_idempotent_across_a_restart(path: Path) -> None:
    """I15: the same key finds the same stream."""
    async with opened(path) as store:
        await start(store, idempotency_key="k")
    async with opened(path) as store:
        again = await create(store, "bea", idempotency_key="k")
        assert ("ada", True) == (again.head.id, again.replayed)


async def test_a_lease_ends_with_its_process(path: Path) -> None:
    """Whoever opens the file is its only writer, so nobody waits for the lease of a process that is gone."""
    async with opened(path) as store:
        first = await start(store, lease_s=3600.0)
    async with opened(path) as store:
        second = await store.acquire("ada", epoch="second", now=NOW, lease_s=30.0)
        assert Lease(id="ada", token=first.token + 1, epoch="second", after=1) == second
        with pytest.raises(StreamkeepError):
            await store.append("ada", run_of(1, 1), after=1, token=first.token)
        assert [first] == [*await store.renew([first, second], now=NOW, lease_s=30.0)]


# ---------------------------------------------------------------------------------------------------------------------
# The file


async def test_the_file_is_its_owners_alone(tmp_path: Path) -> None:
    """What people asked and were told is nobody else's to read."""
    path = tmp_path / "new" / "folder" / "log.db"
    async with opened(path) as store:
        await start(store)
        modes = {each.name: stat.S_IMODE(each.stat().st_mode) for each in path.parent.iterdir()}

    assert {"log.db", "log.db-wal", "log.db-shm", "log.db.lock", "log.db.reserve"} == modes.keys()
    assert {0o600} == set(modes.values())
    assert 0o700 == stat.S_IMODE(path.parent.stat().st_mode)


def test_the_url_is_read_strictly() -> None:
    """Three slashes are relative, four absolute; a mistyped URL is told, not guessed at."""
    assert STORE is registry.store("sqlite:///log.db")
    assert Path("some log.db") == STORE.from_url("sqlite:///some%20log.db", unknown=1)._path
    assert Path("/var/log.db") == STORE.from_url("sqlite:////var/log.db")._path
    assert STORE.from_url("sqlite:///log.db?synchronous=full")._full
    assert STORE.from_url("sqlite:///log.db", synchronous="full")._full
    assert STORE.from_url("sqlite:///log.db", read_only=True)._read_only
    for url in ("sqlite://", "sqlite:///", "sqlite://log.db", "sqlite:///a?synchronous=off", "sqlite:///a?b=c"):
        with pytest.raises(BadRequest):
            STORE.from_url(url)


async def test_a_conflict_tells_where_the_log_stands(path: Path) -> None:
    """A writer that missed a stop learns where to read on."""
    async with opened(path) as store:
        await start(store)
        await store.append("ada", [entry(2, CANCEL_REQUESTED)], after=1, token=None)
        with pytest.raises(Conflict) as refused:
            await store.append("ada", run_of(1, 1), after=1, token=1)
        assert 2 == refused.value.head
