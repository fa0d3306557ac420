"""The state machine that checks stores: ours pass it, and stores with a planted mistake do not."""

import shutil
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import Phase, settings

from streamkeep.entry import Entry
from streamkeep.stores.base import Append, Lease, Store
from streamkeep.stores.memory import MemoryStore
from streamkeep.stores.sqlite import SqliteStore
from streamkeep.testing.check_store import DEFAULT_SETTINGS, check_store


@asynccontextmanager
async def opened_memory() -> AsyncIterator[Store]:
    store = MemoryStore()
    await store.open()
    yield store
    await store.close()


MEMORY_DISK = Path("/dev/shm") if Path("/dev/shm").is_dir() else None
"""Where the stories keep their files, if there is such a place: they are about order, not about a disk's speed."""


class SqliteStories:
    """SQLite stores in folders of their own, and what a crash leaves of them."""

    def __init__(self, synchronous: str) -> None:
        self.synchronous = synchronous
        self.paths: dict[Store, Path] = {}
        self.current: Store | None = None

    def make(self, path: Path) -> Store:
        store = SqliteStore(path, synchronous=self.synchronous)
        self.paths[store] = path
        self.current = store
        return store

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[Store]:
        with TemporaryDirectory(dir=MEMORY_DISK) as folder:
            store = self.make(Path(folder) / "log.db")
            await store.open()
            yield store
            assert self.current is not None
            await self.current.close()

    @asynccontextmanager
    async def crashed(self, store: Store) -> AsyncIterator[Store]:
        """Copy the files as they are, without telling the store: what `kill -9` leaves."""
        path = self.paths[store]
        with TemporaryDirectory(dir=MEMORY_DISK) as folder:
            for name in (path.name, f"{path.name}-wal"):
                if path.with_name(name).exists():
                    shutil.copy(path.with_name(name), folder)
            survivor = SqliteStore(Path(folder) / path.name)
            await survivor.open()
            yield survivor
            await survivor.close()

    async def reopened(self, store: Store) -> Store:
        await store.close()
        again = self.make(self.paths[store])
        await again.open()
        return again


def test_the_memory_store_keeps_its_promises() -> None:
    """I2, I3, I14, I15: the store in memory does what the model does."""
    check_store(opened_memory)


@pytest.mark.slow
@pytest.mark.parametrize("synchronous", ["normal", "full"])
def test_the_sqlite_store_keeps_its_promises(synchronous: str) -> None:
    """I1, I2, I3, I14, I15: the store on disk does what the model does, across crashes and restarts."""
    stories = SqliteStories(synchronous)

    check_store(stories.opened, crashed=stories.crashed, reopened=stories.reopened)


class Unfenced(MemoryStore):
    """Lets a writer go on whose stream was taken over."""

    def submit(self, append: Append) -> None:
        current = self._logs[append.id].token if append.id in self._logs and append.token is not None else append.token
        super().submit(Append(append.id, append.entries, after=append.after, token=current, done=append.done))


class Forgetful(MemoryStore):
    """Skips the second entry of a page."""

    async def read(self, id: str, after: int, *, max_bytes: int = 1000) -> list[Entry]:
        found = await super().read(id, after, max_bytes=max_bytes)
        return found[:1] + found[2:]


class Doubling(MemoryStore):
    """Answers every other append twice over: a repetition is a conflict."""

    def submit(self, append: Append) -> None:
        log = self._logs.get(append.id)
        if log is not None and append.after < log.seq:
            append = Append(append.id, append.entries, after=log.seq, token=append.token, done=append.done)
        super().submit(append)


class Generous(MemoryStore):
    """Renews what is lost."""

    async def renew(self, leases: Sequence[Lease], *, now: float, lease_s: float) -> Sequence[Lease]:
        await super().renew(leases, now=now, lease_s=lease_s)
        return []


@pytest.mark.parametrize("faulty", [Unfenced, Forgetful, Doubling, Generous])
def test_a_planted_mistake_is_found(faulty: type[MemoryStore]) -> None:
    """A checker that finds nothing in a faulty store proves nothing."""

    @asynccontextmanager
    async def opened() -> AsyncIterator[Store]:
        yield faulty()

    without_shrinking = settings(
        DEFAULT_SETTINGS,
        max_examples=400,
        phases=[Phase.generate],
        report_multiple_bugs=False,
        derandomize=True,
        database=None,
    )
    with pytest.raises(AssertionError):
        check_store(opened, settings=without_shrinking)
