"""Records, entries and writers for the tests of stores."""

from collections.abc import Sequence

from streamkeep.entry import ACCEPTED, CANCEL_REQUESTED, Entry
from streamkeep.errors import StreamkeepError
from streamkeep.stores.base import Append, Created, Lease, Record, Store

NOW = 1_700_000_000.0


def record(id: str = "ada", **changes: object) -> Record:
    members: dict[str, object] = {
        "id": id,
        "created_at": NOW,
        "provider": "sim",
        "model": "m",
        "fingerprint": "f" * 64,
        "request": b'{"messages":[]}',
    }
    return Record(**(members | changes))  # type: ignore[arg-type]


def entry(seq: int, name: str = "content_block_delta", size: int = 20) -> Entry:
    return Entry(seq, NOW + seq, name, (b'{"n":%d}' % seq).ljust(size))


def run_of(after: int, count: int, size: int = 20) -> list[Entry]:
    return [entry(seq, size=size) for seq in range(after + 1, after + count + 1)]


async def start(store: Store, id: str = "ada", *, lease_s: float = 30.0, **changes: object) -> Lease:
    """Begin a stream; its log is entry 1."""
    created = await create(store, id, lease_s=lease_s, **changes)
    assert created.lease is not None
    return created.lease


async def create(store: Store, id: str = "ada", *, lease_s: float = 30.0, **changes: object) -> Created:
    return await store.create(
        record(id, **changes),
        entry(1, ACCEPTED),
        epoch=f"e{id[:4]}",
        cancelled=entry(2, CANCEL_REQUESTED),
        lease_s=lease_s,
    )


async def read_all(store: Store, id: str = "ada") -> list[Entry]:
    found: list[Entry] = []
    while page := await store.read(id, len(found)):
        found += page
    return found


class Answers:
    """Submits appends and keeps the answers."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.errors: list[StreamkeepError | None] = []

    def submit(self, id: str, entries: Sequence[Entry], *, token: int | None = 1) -> None:
        self.store.submit(Append(id, entries, after=entries[0].seq - 1, token=token, done=self._done))

    def _done(self, _: Append, error: StreamkeepError | None) -> None:
        self.errors.append(error)
