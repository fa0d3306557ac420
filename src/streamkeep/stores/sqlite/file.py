"""
Open the file and everything that belongs to it, and close it again.
"""

import logging
import sqlite3
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from streamkeep.errors import StoreError, StoreUnavailable
from streamkeep.stores.sqlite import burial
from streamkeep.stores.sqlite.committer import write
from streamkeep.stores.sqlite.faults import fault
from streamkeep.stores.sqlite.live import Live
from streamkeep.stores.sqlite.lock import FileLock
from streamkeep.stores.sqlite.replay import Replayed, absorb, cut_damaged_blocks
from streamkeep.stores.sqlite.reserve import Reserve
from streamkeep.stores.sqlite.schema import connect, migrate, version_of
from streamkeep.stores.sqlite.shelf import Shelf

WORKERS = 2
"""Threads that wait for the disk: one for commits (`synchronous = FULL`), one for checkpoints."""

_log = logging.getLogger(__name__)


class LogFile:
    """
    One log on disk: the lock, the connections, the reserve.

    Args:
        path: The file.
        full: Wait for the disk at each commit.
    """

    def __init__(self, path: Path, *, full: bool) -> None:
        self.path = path
        self.lock = FileLock(path)
        self.reserve = Reserve(path)
        self.pool = ThreadPoolExecutor(WORKERS, thread_name_prefix="streamkeep-log")
        self._full = full
        self._connections: list[sqlite3.Connection] = []

    def open(self) -> dict[int, Live]:
        """
        Take the lock, bring the file up to date and repair what a crash left.

        Returns:
            The streams that have not ended, by key.

        Raises:
            StoreError: It cannot be done; nothing stays open.
        """
        try:
            self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            self.lock.take()
            return self._open()
        except StoreError:
            self.close()
            raise
        except (sqlite3.Error, OSError) as error:
            self.close()
            raise fault(error, self.path) from error

    @property
    def write_ahead_bytes(self) -> int:
        """Give the size of SQLite's write-ahead log; 0 if there is none."""
        path = Path(f"{self.path}-wal")
        return path.stat().st_size if path.exists() else 0

    def close(self) -> None:
        """Let go of everything. Idempotent."""
        # The writer last: a connection that may not write cannot remove the write-ahead log.
        for connection in reversed(self._connections):
            connection.close()
        self._connections.clear()
        self.pool.shutdown()
        self.lock.release()

    def _open(self) -> dict[int, Live]:
        self.writer = self._connect()
        self.writer.execute(f"PRAGMA synchronous = {'FULL' if self._full else 'NORMAL'}")
        migrate(self.writer)
        self.checkpointer = self._connect()
        self.shelf = Shelf(self._connect(read_only=True), self.path)
        self.reserve.fill()
        cut = cut_damaged_blocks(self.writer)
        by_key: dict[int, Live] = {}
        self.replayed = absorb(self.shelf.connection, by_key)
        for live in [live for live in by_key.values() if not live.durable]:
            _log.error("stream %s: not one entry is left; it is forgotten", live.record.id)
            write(self.writer, burial.bury(live.key, live.record.created_at))
            del by_key[live.key]
        self.replayed.damaged |= cut > 0
        return by_key

    def _connect(self, *, read_only: bool = False) -> sqlite3.Connection:
        connection = connect(self.path, read_only=read_only)
        self._connections.append(connection)
        return connection


class ForeignFile:
    """
    Somebody else's log, only looked at.

    Args:
        path: The file.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._by_key: dict[int, Live] = {}
        self._last_row = 0
        self._version = -1
        self._shelf: Shelf | None = None

    @property
    def shelf(self) -> Shelf:
        """Look things up here."""
        assert self._shelf is not None
        return self._shelf

    def open(self) -> None:
        """
        Open it.

        Raises:
            StoreError: It is not there (`store_missing`), or no log that this version reads.
        """
        if not self._path.exists():
            raise StoreUnavailable(
                f"There is no log {self._path} yet; it is made when the first stream is started.", code="store_missing"
            )
        try:
            connection = connect(self._path, read_only=True)
            self._shelf = Shelf(connection, self._path)
            version_of(connection)
        except (sqlite3.Error, OSError) as error:
            self.close()
            raise fault(error, self._path) from error
        except StoreError:
            self.close()
            raise

    def look(self) -> dict[str, Live] | None:
        """
        See what was committed since the last look.

        Returns:
            The streams that have not ended, by id; None if nothing changed.
        """
        version: int = self.shelf.connection.execute("PRAGMA data_version").fetchone()[0]
        if version == self._version:
            return None
        replayed: Replayed = absorb(self.shelf.connection, self._by_key, self._last_row)
        self._version = version
        if replayed.rows:
            self._last_row = replayed.rows[-1][0]
        return {live.record.id: live for live in self._by_key.values() if live.durable}

    def close(self) -> None:
        """Let go. Idempotent."""
        if self._shelf is not None:
            self._shelf.connection.close()
            self._shelf = None
