"""
Carry the write-ahead log into the file, off the event loop.

Strategy
    Commits only ever append to the write-ahead log. When it has grown to its limit, a worker thread copies it into
    the file while commits go on (PASSIVE); what came meanwhile, a little, is copied while commits are held back for
    these few milliseconds (RESTART), after which the log is written from its beginning again. The event loop waits
    for neither.
"""

import asyncio
import logging
import sqlite3
from concurrent.futures import Executor

from streamkeep.stores.sqlite.committer import Committer

CHECKPOINT_BYTES = 16 * 1024 * 1024
"""Bytes written to the write-ahead log between two checkpoints, estimated."""

ALARM_BYTES = 256 * 1024 * 1024
"""Bytes of write-ahead log that somebody should hear of: a program keeps the file open for reading."""

PAGE_BYTES = 4096
"""SQLite's page; each commit writes whole ones."""

READER_WAIT_MS = 50
"""How long the second step waits for readers of the file; commits are held back meanwhile."""

_log = logging.getLogger(__name__)


class Checkpoints:
    """
    The write-ahead log's size, kept within bounds.

    Args:
        connection: Used by nobody else.
        pool: Where to wait for the disk.
        committer: Whom to hold back.
        written: Bytes that the write-ahead log holds already: what a killed process left.
        limit: See `CHECKPOINT_BYTES`.
    """

    def __init__(
        self,
        connection: sqlite3.Connection,
        pool: Executor,
        committer: Committer,
        *,
        written: int = 0,
        limit: int = CHECKPOINT_BYTES,
    ) -> None:
        connection.execute(f"PRAGMA busy_timeout = {READER_WAIT_MS}")
        self._connection = connection
        self._pool = pool
        self._committer = committer
        self._limit = limit
        self._due = limit
        self._written = written
        self._task: asyncio.Task[None] | None = None

    def note(self, written: int) -> None:
        """
        Count a commit.

        Args:
            written: Its bytes.
        """
        self._written += written + 2 * PAGE_BYTES
        if self._written > self._due:
            self.start()

    def start(self) -> None:
        """Begin a checkpoint unless one is running."""
        if self._task is None or self._task.done():
            self._task = asyncio.get_running_loop().create_task(self._run(), name="checkpoint")

    async def finish(self) -> None:
        """Wait for a running checkpoint, then empty the write-ahead log."""
        if self._task is not None:
            await self._task
        await self._checkpoint("TRUNCATE")

    async def _run(self) -> None:
        await self._checkpoint("PASSIVE")
        await self._committer.pause()
        try:
            left = await self._checkpoint("RESTART")
        finally:
            self._committer.resume()
        self._written = left
        self._due = left + self._limit
        if left > ALARM_BYTES:
            _log.warning("write-ahead log at %d MiB: a program keeps the log open for reading", left >> 20)

    async def _checkpoint(self, mode: str) -> int:
        """Give the bytes that are still needed in the write-ahead log."""
        loop = asyncio.get_running_loop()
        try:
            return await loop.run_in_executor(self._pool, self._run_pragma, mode)
        except sqlite3.Error as error:
            _log.warning("checkpoint failed (%s); it is tried again later", getattr(error, "sqlite_errorname", error))
            return self._written

    def _run_pragma(self, mode: str) -> int:
        busy, pages, _ = self._connection.execute(f"PRAGMA wal_checkpoint({mode})").fetchone()
        return max(pages, 0) * PAGE_BYTES if busy else 0
