"""
Lay out the file, and bring an older one up to date.

Strategy
    journal        one row per commit: the new entries of all streams in it; short-lived
    blocks         a stream's own entries, some 64 KiB of them or what there was at its end; kept
    streams        what each stream is, and how it ended
    tombstones     ids of expired streams, so that they answer "expired"
    early_cancels  stops that overtook their start
    doomed         forgotten streams whose blocks are still to be removed, a few at a time

    `key` numbers streams inside the file and is never used twice, so that a journal row of a forgotten stream cannot
    be taken for one of another stream with the same id.
"""

import os
import sqlite3
from pathlib import Path
from urllib.parse import quote

from streamkeep.errors import StoreTooNew

MIGRATIONS: tuple[tuple[str, ...], ...] = (
    (
        """
        CREATE TABLE streams (
            key INTEGER PRIMARY KEY AUTOINCREMENT,
            id TEXT NOT NULL UNIQUE,
            created_at REAL NOT NULL,
            provider TEXT NOT NULL,
            model TEXT NOT NULL,
            fingerprint TEXT NOT NULL,
            idempotency_key TEXT UNIQUE,
            metadata BLOB NOT NULL,
            ttl_s REAL NOT NULL,
            token INTEGER NOT NULL,
            epochs TEXT NOT NULL,
            state TEXT NOT NULL,
            seq INTEGER,
            ended_at REAL,
            expires_at REAL,
            ending BLOB,
            request BLOB NOT NULL
        )
        """,
        "CREATE INDEX streams_by_state ON streams (state, created_at, id)",
        "CREATE TABLE journal (n INTEGER PRIMARY KEY, data BLOB NOT NULL)",
        """
        CREATE TABLE blocks (
            stream INTEGER NOT NULL,
            first_seq INTEGER NOT NULL,
            last_seq INTEGER NOT NULL,
            state TEXT NOT NULL,
            data BLOB NOT NULL
        )
        """,
        "CREATE UNIQUE INDEX blocks_by_stream ON blocks (stream, last_seq)",
        "CREATE TABLE tombstones (id TEXT PRIMARY KEY, idempotency_key TEXT, buried_at REAL NOT NULL) WITHOUT ROWID",
        "CREATE INDEX tombstones_by_key ON tombstones (idempotency_key) WHERE idempotency_key IS NOT NULL",
        "CREATE TABLE early_cancels (id TEXT PRIMARY KEY, at REAL NOT NULL) WITHOUT ROWID",
    ),
    (
        "CREATE TABLE doomed (stream INTEGER PRIMARY KEY)",
        "CREATE INDEX streams_by_expiry ON streams (expires_at) WHERE expires_at IS NOT NULL",
    ),
)
"""What made each version from the one before; the first from nothing. Never edited, only added to."""

VERSION = len(MIGRATIONS)
"""The layout this code reads and writes; `PRAGMA user_version` in the file."""

FILE_MODE = 0o600
"""Of the file and its companions: what people asked and were told is their owner's alone."""

FOLDER_MODE = 0o700
"""Of folders that are made for it."""


def connect(path: Path, *, read_only: bool = False) -> sqlite3.Connection:
    """
    Open one connection; transactions are begun by hand.

    The caller may use it in any thread, in one at a time.

    Raises:
        sqlite3.Error: It cannot be opened.
        OSError: The folder or file cannot be made.
    """
    if not read_only:
        path.parent.mkdir(mode=FOLDER_MODE, parents=True, exist_ok=True)
        os.close(os.open(path, os.O_RDWR | os.O_CREAT, FILE_MODE))
    uri = f"file:{quote(str(path))}?mode={'ro' if read_only else 'rw'}"
    # No waiting in SQLite: whoever finds the file locked waits in the event loop instead.
    connection = sqlite3.connect(uri, uri=True, isolation_level=None, check_same_thread=False, timeout=0)
    if not read_only:
        connection.execute("PRAGMA journal_mode = WAL")
        # A checkpoint inside a commit would stop the event loop for as long as the disk takes.
        connection.execute("PRAGMA wal_autocheckpoint = 0")
    return connection


def version_of(connection: sqlite3.Connection) -> int:
    """
    Read the file's version.

    Raises:
        StoreTooNew: It is greater than ours.
    """
    version: int = connection.execute("PRAGMA user_version").fetchone()[0]
    if version > VERSION:
        raise StoreTooNew(
            f"The log was written by a later version of Streamkeep (layout {version}; this one knows {VERSION}). "
            "Upgrade Streamkeep, or use another file."
        )
    return version


def migrate(connection: sqlite3.Connection) -> None:
    """
    Bring the file to `VERSION`, one version per transaction.

    Raises:
        StoreTooNew: It is newer than that.
        sqlite3.Error: The file cannot be changed.
    """
    for version in range(version_of(connection), VERSION):
        connection.execute("BEGIN IMMEDIATE")
        try:
            for statement in MIGRATIONS[version]:
                connection.execute(statement)
            connection.execute(f"PRAGMA user_version = {version + 1}")
            connection.execute("COMMIT")
        except BaseException:
            connection.execute("ROLLBACK")
            raise
