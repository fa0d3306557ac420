"""One writing process."""

import stat
from pathlib import Path

import pytest

from streamkeep.errors import StoreInUse
from streamkeep.stores.sqlite.lock import FileLock


def test_the_second_is_refused_until_the_first_lets_go(tmp_path: Path) -> None:
    """A lock is held by one, and giving it back twice is giving it back once."""
    first, second = FileLock(tmp_path / "a.db"), FileLock(tmp_path / "a.db")
    first.take()
    with pytest.raises(StoreInUse, match=r"a\.db is being written by another process \(pid \d+, .+\)"):
        second.take()
    first.release()
    first.release()
    second.take()
    second.release()


def test_a_file_that_was_left_behind_holds_nobody_up(tmp_path: Path) -> None:
    """After a crash the note is there, the lock is not."""
    stale = tmp_path / "a.db.lock"
    stale.write_text("pid 1, streamkeep, and a rest of a longer note\n")
    lock = FileLock(tmp_path / "a.db")

    lock.take()

    assert "longer" not in stale.read_text()
    lock.release()


def test_the_note_is_its_owners_alone(tmp_path: Path) -> None:
    """The lock file has the mode of the log."""
    lock = FileLock(tmp_path / "a.db")
    lock.take()

    assert 0o600 == stat.S_IMODE((tmp_path / "a.db.lock").stat().st_mode)
    lock.release()
