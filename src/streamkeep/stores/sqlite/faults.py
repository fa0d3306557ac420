"""
Say in our words what SQLite or the disk refused.

Strategy
    By SQLite's own result codes (sqlite.org/rescode.html), never by its texts.
"""

import errno
import sqlite3
from pathlib import Path

from streamkeep.errors import StoreError, StoreFull, StoreUnavailable

_PRIMARY = 0xFF

_NO_SPACE = frozenset({sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR_SHMSIZE})
"""The second is how a full disk shows in the write-ahead log's index."""

_DAMAGE = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})


def is_busy(error: Exception) -> bool:
    """Tell whether another program holds the file for a moment."""
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_OK) & _PRIMARY
    return code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)


def is_full(error: Exception) -> bool:
    """Tell whether there is no space left."""
    if isinstance(error, OSError):
        return error.errno in (errno.ENOSPC, errno.EDQUOT)
    return getattr(error, "sqlite_errorcode", sqlite3.SQLITE_OK) in _NO_SPACE


def fault(error: Exception, path: Path) -> StoreError:
    """Translate; nothing was written."""
    if is_full(error):
        return full(path)
    if is_busy(error):
        return StoreUnavailable(f"Another program keeps the log {path} locked. Close it there, then try again.")
    code = getattr(error, "sqlite_errorcode", None)
    if code is not None and code & _PRIMARY in _DAMAGE:
        return StoreUnavailable(
            f"The log {path} is damaged or no log at all. Move it away and start anew, or restore a copy.",
            code="log_damaged",
        )
    detail = getattr(error, "sqlite_errorname", None) or getattr(error, "strerror", None) or type(error).__name__
    return StoreUnavailable(f"The log {path} cannot be read or written ({detail}). Look at its disk and permissions.")


def full(path: Path) -> StoreFull:
    """Say that there is no space."""
    return StoreFull(
        f"There is no space left for the log {path}. Free some, or let streams expire sooner (ttl); "
        "it goes on by itself when there is."
    )
