"""
Commit batches one after another.

Strategy
    What is offered in one turn of the event loop is one transaction. With `synchronous = NORMAL` a commit is some
    system calls without waiting for the disk (13 µs measured), less than handing it to a thread costs, so it runs
    on the loop. With FULL it waits for the disk, so it runs in a worker thread while the next batch gathers. It is
    one function in both cases.
"""

import asyncio
import sqlite3
from collections.abc import Callable
from concurrent.futures import Executor

from streamkeep.stores.sqlite.batch import Batch
from streamkeep.stores.sqlite.faults import is_busy
from streamkeep.stores.sqlite.live import Live
from streamkeep.stores.sqlite.streams import Statement

BUSY_LIMIT_S = 2.0
"""Seconds a commit is tried again while another program holds the file; a backup or a shell holds it far shorter."""

BUSY_PAUSE_S = 0.01
"""Seconds between two such tries; the event loop is free in between."""


def write(connection: sqlite3.Connection, statements: list[Statement]) -> None:
    """
    Do it all or nothing.

    Raises:
        sqlite3.Error: Nothing was written.
    """
    if len(statements) == 1:
        connection.execute(*statements[0])
        return
    execute = connection.execute
    execute("BEGIN IMMEDIATE")
    try:
        for statement in statements:
            execute(*statement)
        execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            execute("ROLLBACK")
        raise


class Committer:
    """
    One file's only writer.

    Args:
        connection: Used by nobody else.
        pool: Where to wait for the disk; None to commit on the event loop.
        prepare: Gives the statements of a batch.
        settle: Called with a batch when it is committed, or with what went wrong.
    """

    def __init__(
        self,
        connection: sqlite3.Connection,
        *,
        pool: Executor | None,
        prepare: Callable[[Batch], list[Statement]],
        settle: Callable[[Batch, Exception | None], None],
    ) -> None:
        self.batch = Batch()
        """Where to put what shall be committed; call `wake` afterwards unless `awake`."""
        self.awake = False
        self._connection = connection
        self._pool = pool
        self._prepare = prepare
        self._settle = settle
        self._loop = asyncio.get_running_loop()
        self._in_flight: Batch | None = None
        self._statements: list[Statement] = []
        self._deadline = 0.0
        self._paused = False

    def wake(self) -> None:
        """Commit at the end of this turn of the event loop, or when the present commit is done."""
        self.awake = True
        self._loop.call_soon(self._turn)

    def has_rider(self, live: Live) -> bool:
        """Tell whether an append of this stream waits for its turn to be answered."""
        in_flight = self._in_flight
        return live in self.batch.riders or (in_flight is not None and live in in_flight.riders)

    async def settled(self) -> None:
        """Wait until what is offered now is committed or has failed."""
        batch = self.batch or self._in_flight
        if batch:
            future = self._loop.create_future()
            batch.waiters.append(future)
            await future

    async def drained(self) -> None:
        """Wait until nothing is offered any more."""
        while self.batch or self._in_flight is not None:
            await self.settled()

    async def pause(self) -> None:
        """Hold commits back, once the present one is done; what is offered meanwhile gathers."""
        self._paused = True
        if self._in_flight is not None:
            future = self._loop.create_future()
            self._in_flight.waiters.append(future)
            await future

    def resume(self) -> None:
        """Go on."""
        self._paused = False
        if self.batch and not self.awake:
            self.wake()

    def _turn(self) -> None:
        if self._in_flight is not None:
            return
        if self._paused or not self.batch:
            self.awake = False
            return
        batch, self.batch = self.batch, Batch()
        self._in_flight = batch
        self._deadline = self._loop.time() + BUSY_LIMIT_S
        try:
            self._statements = self._prepare(batch)
        except Exception as error:  # entries of a wrong type: fail those who brought them, not the loop
            self._finish(error)
        else:
            self._attempt()

    def _attempt(self) -> None:
        if self._pool is not None:
            future = self._loop.run_in_executor(self._pool, write, self._connection, self._statements)
            future.add_done_callback(lambda done: self._finish(done.exception()))
            return
        try:
            write(self._connection, self._statements)
        except Exception as error:
            self._finish(error)
        else:
            self._finish(None)

    def _finish(self, error: BaseException | None) -> None:
        if error is not None and not isinstance(error, Exception):
            raise error
        if error is not None and is_busy(error) and self._loop.time() < self._deadline:
            self._loop.call_later(BUSY_PAUSE_S, self._attempt)
            return
        batch, self._in_flight, self._statements = self._in_flight, None, []
        assert batch is not None
        self.awake = False
        self._settle(batch, error)
        for future in batch.waiters:
            if not future.done():
                future.set_result(None)
        if self.batch and not self.awake:
            self.wake()
