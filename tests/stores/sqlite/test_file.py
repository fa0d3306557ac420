"""Opening the file and letting go of it."""

import logging
from pathlib import Path

import pytest

from streamkeep.entry import ACCEPTED
from streamkeep.errors import StoreInUse, StoreUnavailable
from streamkeep.lifecycle import State
from streamkeep.stores.sqlite.file import ForeignFile, LogFile
from streamkeep.stores.sqlite.live import Live
from streamkeep.stores.sqlite.seal import seal_parts
from streamkeep.stores.sqlite.streams import begun
from tests.stores.samples import entry, record


def a_stream(file: LogFile, key: int, id: str) -> None:
    live = Live(key, record(id), token=1, epochs=((1, "abc"),), seq=0, state=State.NEW)
    file.writer.execute(*begun(live))


def test_a_refused_file_leaves_nothing_open(tmp_path: Path) -> None:
    """Whoever cannot open it does not keep others from it."""
    path = tmp_path / "a.db"
    first, second = LogFile(path, full=False), LogFile(path, full=False)
    first.open()
    with pytest.raises(StoreInUse):
        second.open()
    first.close()
    first.close()

    path.write_bytes(b"no log" * 1000)
    broken = LogFile(path, full=False)
    with pytest.raises(StoreUnavailable):
        broken.open()
    path.unlink()
    again = LogFile(path, full=True)
    assert {} == again.open()
    again.close()


def test_a_stream_of_which_nothing_is_left_is_forgotten(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A stream without its first entry cannot be gone on with; its id answers "expired"."""
    file = LogFile(tmp_path / "a.db", full=False)
    file.open()
    a_stream(file, 1, "ada")
    file.close()

    with caplog.at_level(logging.ERROR):
        assert {} == file.open()

    assert "stream ada: not one entry is left" in caplog.text
    assert file.shelf.is_buried("ada")
    file.close()


def test_a_foreign_file_is_read_only_when_it_changed(tmp_path: Path) -> None:
    """Looking again at a quiet file is one question."""
    file, foreign = LogFile(tmp_path / "a.db", full=False), ForeignFile(tmp_path / "a.db")
    file.open()
    foreign.open()

    assert {} == foreign.look()
    assert None is foreign.look()
    a_stream(file, 1, "ada")
    file.writer.execute("INSERT INTO journal VALUES (1, ?)", (seal_parts([(1, [entry(1, ACCEPTED)])]),))
    seen = foreign.look()
    assert {"ada": 1} == {id: live.durable for id, live in (seen or {}).items()}
    foreign.close()
    foreign.close()
    file.close()


def test_a_foreign_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    """Nothing is made by looking."""
    with pytest.raises(StoreUnavailable):
        ForeignFile(tmp_path / "a.db").open()
    assert [] == [*tmp_path.iterdir()]
