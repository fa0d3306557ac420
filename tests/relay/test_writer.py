"""The holder of a lease writes: in order, whatever comes in between."""

from collections.abc import Sequence

import pytest

from streamkeep.entry import ACCEPTED, CANCEL_REQUESTED, Entry, Event, event
from streamkeep.errors import Conflict, Fenced, StoreUnavailable, StreamkeepError
from streamkeep.lifecycle import IllegalEntry, State
from streamkeep.relay.tail import Tail
from streamkeep.relay.writer import Writer
from streamkeep.stores.base import Record
from streamkeep.testing.manual_clock import ManualClock
from tests.relay.scripted import read_all
from tests.relay.stubborn_store import StubbornStore

pytestmark = pytest.mark.anyio


class Desk:
    """A writer, its store and what it told."""

    def __init__(self, store: StubbornStore, writer: Writer, tail: Tail) -> None:
        self.store = store
        self.writer = writer
        self.tail = tail
        self.missed: list[Entry] = []
        self.lost: list[StreamkeepError] = []

    async def names(self) -> list[str]:
        return [entry.name for entry in await read_all(self.store, "s")]

    async def stop_from_elsewhere(self, after: int) -> None:
        """Append a stop request as another process would, without a lease."""
        held, self.store.holding = self.store.holding, False
        await self.store.append("s", [Entry(after + 1, 5.0, *event(CANCEL_REQUESTED, {}))], after=after, token=None)
        self.store.holding = held


@pytest.fixture
async def desk() -> Desk:
    store = StubbornStore()
    record = Record(id="s", created_at=0.0, provider="p", model="m", fingerprint="f")
    accepted = Entry(1, 0.0, *event(ACCEPTED, {}))
    stopped = Entry(2, 0.0, *event(CANCEL_REQUESTED, {}))
    created = await store.create(record, accepted, epoch="e", cancelled=stopped, lease_s=10)
    assert created.lease is not None
    tail = Tail(created.head, [accepted])
    made: list[Desk] = []

    def missed(entries: Sequence[Entry]) -> None:
        made[0].missed.extend(entries)

    def lost(error: StreamkeepError) -> None:
        made[0].lost.append(error)

    made.append(Desk(store, Writer(store, created.lease, tail, now=lambda: 1.0, missed=missed, lost=lost), tail))
    return made[0]


def letter(name: str) -> Event:
    return Event(name, b'{"type":"%b"}' % name.encode())


async def test_the_tail_learns_only_what_is_durable(desk: Desk) -> None:
    """I1: nothing is shown before the store has it."""
    desk.store.holding = True

    desk.writer.write([letter("a")])
    before = desk.tail.seq
    desk.store.commit()

    assert (1, 2) == (before, desk.tail.seq)


async def test_what_is_written_during_a_commit_is_the_next_append(desk: Desk) -> None:
    """Group commit: one append is under way, the others gather and go together."""
    desk.store.holding = True
    for name in "abc":
        desk.writer.write([letter(name)])

    first = [[entry.name for entry in append.entries] for append in desk.store.held]
    desk.store.commit()
    second = [[entry.name for entry in append.entries] for append in desk.store.held]
    desk.store.let_go()
    await desk.writer.flush()

    assert ([["a"]], [["b", "c"]]) == (first, second)
    assert [ACCEPTED, "a", "b", "c"] == await desk.names()
    assert 0 == desk.writer.uncommitted_bytes


@pytest.mark.parametrize("written_before", range(4))
@pytest.mark.parametrize("written_after", range(1, 4))
async def test_a_stop_from_elsewhere_costs_no_event_and_no_order(
    desk: Desk, written_before: int, written_after: int
) -> None:
    """I2, I14: whenever another process's stop slips in, every event is logged once, in order, behind or before it."""
    desk.store.holding = True
    names = [f"e{number}" for number in range(written_before + written_after)]
    for name in names[:written_before]:
        desk.writer.write([letter(name)])
    await desk.stop_from_elsewhere(after=1)
    for name in names[written_before:]:
        desk.writer.write([letter(name)])

    desk.store.let_go()
    await desk.writer.flush()

    assert [ACCEPTED, CANCEL_REQUESTED, *names] == await desk.names()
    assert [CANCEL_REQUESTED] == [entry.name for entry in desk.missed]
    assert (State.CANCELLING, 2 + len(names)) == (desk.tail.state, desk.tail.seq)


async def test_a_conflict_before_the_other_entry_is_durable_is_tried_until_it_is(desk: Desk) -> None:
    """A store may refuse because of an entry that it cannot show yet; that is no loss."""
    refusals = [Conflict("moved on", head=2) for _ in range(3)]
    desk.store.refusal = lambda _: refusals.pop() if refusals else None

    desk.writer.write([letter("a")])
    await desk.writer.flush()

    assert [ACCEPTED, "a"] == await desk.names()


async def test_a_log_that_lost_its_end_is_not_written_on(desk: Desk) -> None:
    """I7: where entries that were durable are gone, the writer says so instead of trying for ever."""
    desk.store.refusal = lambda _: Conflict("an older log", head=0)

    desk.writer.write([letter("a")])

    with pytest.raises(StreamkeepError, match="lost entries"):
        await desk.writer.flush()
    assert ["log_lost"] == [error.code for error in desk.lost]


async def test_an_error_drops_what_gathered_and_refuses_what_comes(desk: Desk) -> None:
    """I2: behind a piece that was not written nothing is written."""
    desk.store.holding = True
    for name in "abc":
        desk.writer.write([letter(name)])
    desk.store.refusal = lambda _: Fenced("gone")
    desk.store.let_go()

    with pytest.raises(Fenced):
        await desk.writer.flush()
    with pytest.raises(Fenced):
        desk.writer.write([letter("d")])

    assert [ACCEPTED] == await desk.names()
    assert 1 == len(desk.lost)
    assert 0 == desk.writer.uncommitted_bytes


async def test_after_a_recovery_the_log_goes_on_where_it_stands(desk: Desk) -> None:
    """An ending can follow after the store was away; what was lost meanwhile stays lost."""
    desk.store.refusal = lambda _: StoreUnavailable("down")
    desk.writer.write([letter("a")])
    desk.store.refusal = lambda _: None

    desk.writer.recover()
    desk.writer.write([letter("b")])
    await desk.writer.flush()

    assert [ACCEPTED, "b"] == await desk.names()


async def test_a_log_that_cannot_be_read_after_a_conflict_ends_the_writing(desk: Desk) -> None:
    """Without what it missed a writer cannot go on."""
    await desk.stop_from_elsewhere(after=1)
    desk.store.unreadable = StoreUnavailable("down")

    desk.writer.write([letter("a")])

    with pytest.raises(StoreUnavailable):
        await desk.writer.flush()


async def test_nothing_is_written_behind_an_ending_that_was_missed(desk: Desk) -> None:
    """I3: the ending that another writer wrote is the last entry."""
    await desk.stop_from_elsewhere(after=1)
    await desk.store.append("s", [Entry(3, 5.0, "stream.cancelled", b"{}")], after=2, token=1)
    desk.store.refusal = lambda append: Conflict("moved on", head=3) if append.entries[0].name == "a" else None

    desk.writer.write([letter("a")])
    await desk.writer.flush()

    assert [ACCEPTED, CANCEL_REQUESTED, "stream.cancelled"] == await desk.names()
    assert (State.CANCELLED, 0) == (desk.tail.state, desk.writer.uncommitted_bytes)


async def test_a_mistake_of_the_program_leaves_nothing_waiting(desk: Desk) -> None:
    """An entry that may not follow is refused to its writer; a flush afterwards does not hang."""
    with pytest.raises(IllegalEntry):
        desk.writer.write([letter(ACCEPTED)])

    await desk.writer.flush()

    assert [ACCEPTED] == await desk.names()


async def test_a_flush_that_is_cancelled_disturbs_nobody(desk: Desk) -> None:
    """Who stops waiting does not stop the writing."""
    import asyncio

    desk.store.holding = True
    desk.writer.write([letter("a")])
    waiting = asyncio.create_task(desk.writer.flush())
    other = asyncio.create_task(desk.writer.flush())
    await ManualClock().settle()

    waiting.cancel()
    desk.store.let_go()
    await other

    assert [ACCEPTED, "a"] == await desk.names()
