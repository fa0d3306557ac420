"""One commit after another."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from streamkeep.stores.sqlite.batch import Act, Batch
from streamkeep.stores.sqlite.committer import Committer, write
from streamkeep.stores.sqlite.schema import connect
from streamkeep.stores.sqlite.streams import Statement

pytestmark = pytest.mark.anyio


class Bench:
    """A committer on a table of numbers, and what it settled."""

    def __init__(self, path: Path, *, in_thread: bool) -> None:
        self.connection = connect(path)
        self.connection.execute("CREATE TABLE numbers (n INTEGER PRIMARY KEY)")
        self.pool = ThreadPoolExecutor(1)
        self.settled: list[tuple[int, str | None]] = []
        self.committer = Committer(
            self.connection, pool=self.pool if in_thread else None, prepare=self.prepare, settle=self.settle
        )

    def add(self, *numbers: object) -> None:
        statements: list[Statement] = [("INSERT INTO numbers VALUES (?)", (number,)) for number in numbers]
        self.committer.batch.acts.append(Act(statements, lambda _: None))
        if not self.committer.awake:
            self.committer.wake()

    def prepare(self, batch: Batch) -> list[Statement]:
        return [statement for act in batch.acts for statement in act.statements]

    def settle(self, batch: Batch, error: Exception | None) -> None:
        self.settled.append((len(batch.acts), type(error).__name__ if error else None))

    def numbers(self) -> list[int]:
        return [n for (n,) in self.connection.execute("SELECT n FROM numbers ORDER BY n")]


@pytest.fixture(params=[False, True], ids=["on the loop", "in a thread"])
async def bench(tmp_path: Path, request: pytest.FixtureRequest) -> AsyncIterator[Bench]:
    bench = Bench(tmp_path / "a.db", in_thread=request.param)
    yield bench
    await bench.committer.drained()
    bench.connection.close()
    bench.pool.shutdown()


async def test_what_is_offered_together_is_settled_together(bench: Bench) -> None:
    """One turn of the event loop, one commit; what comes later is the next."""
    bench.add(1)
    bench.add(2, 3)
    await bench.committer.settled()
    bench.add(4)
    await bench.committer.settled()

    assert [(2, None), (1, None)] == bench.settled
    assert [1, 2, 3, 4] == bench.numbers()


async def test_a_commit_that_fails_writes_nothing_and_the_next_goes_on(bench: Bench) -> None:
    """All or nothing, and one failure is one failure."""
    bench.add(1, 2, 2)
    await bench.committer.settled()
    bench.add(3)
    await bench.committer.settled()

    assert [(1, "IntegrityError"), (1, None)] == bench.settled
    assert [3] == bench.numbers()


async def test_commits_wait_while_held_back(bench: Bench) -> None:
    """What is offered during a pause gathers, and is one commit afterwards."""
    bench.add(1)
    await bench.committer.pause()
    bench.add(2)
    await asyncio.sleep(0)
    bench.add(3)
    for _ in range(5):
        await asyncio.sleep(0)
    assert 3 not in bench.numbers()

    bench.committer.resume()
    await bench.committer.drained()
    assert [1, 2, 3] == bench.numbers()


async def test_waiting_for_nothing_is_over_at_once(bench: Bench) -> None:
    """Who waits for an idle committer is not left waiting."""
    await bench.committer.settled()
    await bench.committer.drained()
    await bench.committer.pause()
    bench.committer.resume()

    assert [] == bench.settled


def test_a_transaction_that_fails_is_rolled_back(tmp_path: Path) -> None:
    """The connection is free for the next one."""
    connection = connect(tmp_path / "a.db")
    connection.execute("CREATE TABLE numbers (n INTEGER PRIMARY KEY)")
    insert = "INSERT INTO numbers VALUES (?)"

    with pytest.raises(sqlite3.IntegrityError):
        write(connection, [(insert, (1,)), (insert, (1,))])

    assert not connection.in_transaction
    write(connection, [(insert, (1,))])
    assert [(1,)] == connection.execute("SELECT n FROM numbers").fetchall()
    connection.close()
