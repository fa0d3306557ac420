"""The space kept back."""

from pathlib import Path

import pytest

from streamkeep.stores.sqlite.reserve import PROBE_S, RESERVE_BYTES, Reserve


def test_the_reserve_is_made_spent_and_made_again(tmp_path: Path) -> None:
    """The space is really taken, and really given back."""
    reserve, file = Reserve(tmp_path / "a.db"), tmp_path / "a.db.reserve"

    assert reserve.fill()
    assert RESERVE_BYTES == file.stat().st_size
    reserve.spend()
    assert (True, False) == (reserve.spent, file.exists())
    assert reserve.probe(100.0)
    assert (False, True) == (reserve.spent, file.exists())
    reserve.remove()
    assert not file.exists()


def test_a_disk_that_stays_full_is_asked_once_a_second(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """I10: while there is no space, most appends are refused without touching the disk."""
    attempts: list[int] = []

    def refuse(descriptor: int, data: bytes, offset: int) -> int:
        attempts.append(descriptor)
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.pwrite", refuse)
    reserve = Reserve(tmp_path / "a.db")

    assert not reserve.fill()
    answers = [reserve.probe(100.0 + tenth / 10) for tenth in range(11)]

    assert [False] * 11 == answers
    assert 1 + 2 == len(attempts)
    assert not (tmp_path / "a.db.reserve").exists()
    monkeypatch.undo()
    assert reserve.probe(100.0 + 2 * PROBE_S)


def test_a_short_write_is_no_reserve(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk may take a part without an error."""
    monkeypatch.setattr("os.pwrite", lambda descriptor, data, offset: 10)

    assert not Reserve(tmp_path / "a.db").fill()
