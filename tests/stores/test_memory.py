"""What is particular to the store in memory; the rest is in tests/testing/test_check_store.py."""

import pytest

from streamkeep import registry
from streamkeep.entry import CANCEL_REQUESTED, FAILED
from streamkeep.errors import BadRequest, StoreFull
from streamkeep.lifecycle import State
from streamkeep.stores.base import EARLY_CANCEL_S, MAX_EARLY_CANCELS
from streamkeep.stores.memory import STORE, MemoryStore
from tests.stores.samples import NOW, Answers, create, entry, read_all, run_of, start

pytestmark = pytest.mark.anyio


async def test_an_append_is_answered_before_submit_returns() -> None:
    """I1: what is in memory is as durable as it will be, so nobody waits."""
    store = MemoryStore()
    await start(store)
    answers = Answers(store)

    answers.submit("ada", run_of(1, 2))

    assert [None] == answers.errors
    assert [1, 2, 3] == [each.seq for each in await read_all(store)]


async def test_a_full_store_takes_stops_and_endings_only() -> None:
    """I10: memory is bounded, and a stream can always be ended."""
    store = MemoryStore(max_bytes=1000)
    await start(store)
    answers = Answers(store)

    answers.submit("ada", run_of(1, 1, size=1000))
    answers.submit("ada", [entry(3)])
    answers.submit("ada", [entry(3, CANCEL_REQUESTED)], token=None)
    answers.submit("ada", [entry(4, FAILED)])
    with pytest.raises(StoreFull) as refused:
        await create(store, "bea")

    assert [type(None), StoreFull, type(None), type(None)] == [type(error) for error in answers.errors]
    assert "1000 bytes" in refused.value.message
    assert State.FAILED == (await store.head("ada")).state


async def test_what_is_forgotten_makes_room() -> None:
    """I10: deleting gives back what was counted."""
    store = MemoryStore(max_bytes=1000)
    await start(store)
    await store.append("ada", [*run_of(1, 1, size=1000), entry(3, FAILED)], after=1, token=1)

    await store.delete("ada")

    assert not (await create(store, "bea")).replayed


async def test_remembered_stops_are_bounded() -> None:
    """I10, I14: the oldest remembered stop gives way; the newest wins over its start."""
    store = MemoryStore()
    for number in range(MAX_EARLY_CANCELS + 1):
        await store.remember_cancel(f"s{number}", now=NOW)

    oldest, newest = await create(store, "s0"), await create(store, f"s{MAX_EARLY_CANCELS}")
    late = await create(store, "s5", created_at=NOW + EARLY_CANCEL_S + 1)

    assert [State.OPEN, State.CANCELLING, State.OPEN] == [each.head.state for each in (oldest, newest, late)]


def test_the_url_is_read_strictly() -> None:
    """A mistyped URL is told, not guessed at."""
    assert STORE is registry.store("memory://")
    assert isinstance(STORE.from_url("memory://?max_bytes=5", synchronous="full"), MemoryStore)
    for url in ("memory:///x", "memory://host", "memory://?max_bytes=-1", "memory://?size=1", "sqlite://"):
        with pytest.raises(BadRequest):
            STORE.from_url(url)
