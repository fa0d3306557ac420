"""SQLite's refusals in our words."""

import errno
import sqlite3
from pathlib import Path

import pytest

from streamkeep.errors import StoreError, StoreFull, StoreUnavailable
from streamkeep.stores.sqlite.faults import fault, is_busy, is_full

PATH = Path("a.db")


def an_error(code: int) -> sqlite3.OperationalError:
    error = sqlite3.OperationalError("words that may change")
    error.sqlite_errorcode = code
    error.sqlite_errorname = "SQLITE_SOMETHING"
    return error


@pytest.mark.parametrize(
    "error, expected, code",
    [
        (an_error(sqlite3.SQLITE_FULL), StoreFull, "store_full"),
        (an_error(sqlite3.SQLITE_IOERR_SHMSIZE), StoreFull, "store_full"),
        (OSError(errno.ENOSPC, "full"), StoreFull, "store_full"),
        (an_error(sqlite3.SQLITE_BUSY_SNAPSHOT), StoreUnavailable, "store_unavailable"),
        (an_error(sqlite3.SQLITE_CORRUPT), StoreUnavailable, "log_damaged"),
        (an_error(sqlite3.SQLITE_NOTADB), StoreUnavailable, "log_damaged"),
        (an_error(sqlite3.SQLITE_IOERR_FSYNC), StoreUnavailable, "store_unavailable"),
        (OSError(errno.EACCES, "Permission denied"), StoreUnavailable, "store_unavailable"),
        (TypeError("secret"), StoreUnavailable, "store_unavailable"),
    ],
)
def test_a_fault_is_named_by_its_code(error: Exception, expected: type[StoreError], code: str) -> None:
    """The text says which file and what to do; it repeats no words that were not ours."""
    found = fault(error, PATH)

    assert (expected, code) == (type(found), found.code)
    assert "a.db" in found.message
    assert "secret" not in found.message


def test_a_fault_says_what_it_was() -> None:
    """SQLite's name for it, or the system's, helps whoever looks for the cause."""
    assert "SQLITE_SOMETHING" in fault(an_error(sqlite3.SQLITE_IOERR_FSYNC), PATH).message
    assert "Permission denied" in fault(OSError(errno.EACCES, "Permission denied"), PATH).message


def test_busy_is_not_full() -> None:
    """One is tried again, the other is not."""
    assert is_busy(an_error(sqlite3.SQLITE_LOCKED))
    assert not is_busy(OSError(errno.EBUSY, "busy"))
    assert not is_full(an_error(sqlite3.SQLITE_BUSY))
