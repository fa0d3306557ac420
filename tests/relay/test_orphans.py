"""A producer dies; the next relay ends what it left open, and old cursors stay what they were."""

import asyncio
from typing import Any

import pytest

from streamkeep.cursor import Cursor
from streamkeep.entry import CANCEL_REQUESTED, CANCELLED, COMPLETED, FAILED, Entry, event
from streamkeep.errors import CursorAhead
from streamkeep.lifecycle import State
from streamkeep.relay import Stream, orphans
from streamkeep.stores.base import Head
from streamkeep.stores.memory import MemoryStore
from streamkeep.testing.fake_upstream import Fault
from streamkeep.testing.manual_clock import ManualClock
from tests.relay.scripted import (
    BLOCK_STOP,
    CLOSING,
    MESSAGE_DELTA,
    OPENING,
    Maker,
    Script,
    ScriptedUpstream,
    Stage,
    delta,
    staged,
)

pytestmark = pytest.mark.anyio


async def orphan(clock: ManualClock, store: MemoryStore, *steps: Any, **request: Any) -> Stream:
    """Leave a stream open, as a process that is killed does."""
    dying = staged(clock, ScriptedUpstream(Script([*steps, Fault.HANG])), store=store)
    await dying.relay.__aenter__()
    stream = await dying.start(**request)
    await clock.settle()
    task = dying.relay.producers[stream.id].task
    assert dying.relay._pulse is not None
    for each in (task, dying.relay._pulse):
        each.cancel()
    await asyncio.wait([task, dying.relay._pulse])
    return stream


async def test_what_a_dead_producer_left_open_is_failed_with_its_part(
    stage: Maker, clock: ManualClock, store: MemoryStore
) -> None:
    """I3: a log without a producer gets its one ending when the server starts again; the part is kept."""
    stream = await orphan(clock, store, OPENING + delta("part"))
    await clock.advance(20)

    opened = await stage()

    ending = await opened.ending(stream)
    assert (FAILED, "producer_lost", "server") == (ending["name"], ending["error"]["code"], ending["error"]["blame"])
    message = await (await opened.relay.stream(stream.id)).message()
    assert message is not None
    assert "part" == message["content"][0]["text"]


async def test_cursors_of_the_dead_producers_epoch_stay_good_up_to_where_it_came(
    stage: Maker, clock: ManualClock, store: MemoryStore
) -> None:
    """I7: who read a prefix reads on; who claims more of that epoch than survived is refused."""
    stream = await orphan(clock, store, OPENING + delta("part"))
    died_at = (await store.head(stream.id)).cursor
    await clock.advance(20)

    opened = await stage()

    found = await opened.relay.stream(stream.id)
    rest = [entry.name async for entry in found.events(after=died_at)]
    assert ([FAILED], 2) == (rest, len(found.head.epochs))
    assert died_at.epoch != found.head.cursor.epoch
    with pytest.raises(CursorAhead):
        async for _ in found.events(after=Cursor(died_at.epoch, died_at.seq + 1)):
            pass


async def test_an_orphan_that_was_to_be_stopped_is_cancelled(
    stage: Maker, clock: ManualClock, store: MemoryStore
) -> None:
    """I14: a stop that was logged before the producer died is honoured."""
    stream = await orphan(clock, store, OPENING + delta("part"))
    head = await store.head(stream.id)
    asked = Entry(head.seq + 1, clock.now(), *event(CANCEL_REQUESTED, {"by": "caller"}))
    await store.append(stream.id, [asked], after=head.seq, token=None)
    await clock.advance(20)

    opened = await stage()

    assert CANCELLED == (await opened.ending(stream))["name"]


@pytest.mark.parametrize("last, expected", [(CLOSING, COMPLETED), (BLOCK_STOP + MESSAGE_DELTA, FAILED)])
async def test_an_orphan_is_completed_only_if_its_answer_was_whole(
    stage: Maker, clock: ManualClock, store: MemoryStore, last: bytes, expected: str
) -> None:
    """I3: the provider's last event stands in the log, or the answer is not complete."""
    stream = await orphan(clock, store, OPENING + delta("part"))
    lease_token = store._logs[stream.id].token
    entries = []
    for number, frame in enumerate(last.split(b"\n\n")[:-1], (await store.head(stream.id)).seq + 1):
        name, data = frame.removeprefix(b"event: ").split(b"\ndata: ")
        entries.append(Entry(number, clock.now(), name.decode(), data))
    await store.append(stream.id, entries, after=entries[0].seq - 1, token=lease_token)
    await clock.advance(20)

    opened = await stage()

    assert expected == (await opened.ending(stream))["name"]


async def test_all_orphans_are_ended_however_many(stage: Maker, clock: ManualClock, store: MemoryStore) -> None:
    """I3: more than a page of them, each with one ending."""
    streams = [await orphan(clock, store, id=f"s{number}") for number in range(230)]
    await clock.advance(20)

    await stage()

    heads = [await store.head(stream.id) for stream in streams]
    assert {State.FAILED} == {head.state for head in heads}
    assert {3} == {head.seq for head in heads}


async def test_a_stream_that_somebody_produces_is_no_orphan(
    stage: Maker, clock: ManualClock, store: MemoryStore
) -> None:
    """I2: a lease that runs is respected; an ended stream is left alone."""
    alive: Stage = await stage(Script([OPENING + delta("a"), Fault.HANG]))
    stream = await alive.start()
    await clock.settle()
    before = await alive.log(stream)

    await orphans.end(alive.relay, stream.id)
    during = await alive.log(stream)
    await stream.cancel()
    sealed = await alive.log(stream)
    await orphans.end(alive.relay, stream.id)

    assert before == during
    assert sealed == await alive.log(stream)


async def test_a_reader_who_waits_at_an_orphan_gets_every_entry_once(
    stage: Maker, clock: ManualClock, store: MemoryStore
) -> None:
    """I2, I14: a stop request that the tail did not see and the ending both reach who follows, in order."""
    opened: Stage = await stage(Script([OPENING + delta("a"), Fault.HANG]))
    stream = await opened.start()
    await clock.settle()
    got: list[Entry] = []

    async def follow() -> None:
        got.extend([entry async for entry in stream.events()])

    following = asyncio.create_task(follow())
    await clock.settle()
    task = opened.relay.producers[stream.id].task
    task.cancel()
    await asyncio.wait([task])
    store._logs[stream.id].lease_until = 0.0
    await clock.settle()

    receipt = await stream.cancel()
    await following

    assert "cancelled" == receipt["state"]
    assert await opened.log(stream) == got


async def test_an_orphans_ending_is_told_like_any_other(clock: ManualClock, store: MemoryStore) -> None:
    """Whoever counts what ended counts also what another process began."""
    stream = await orphan(clock, store, OPENING + delta("part"))
    await clock.advance(20)
    told: list[Head] = []
    heir = staged(clock, ScriptedUpstream(), store=store)
    heir.relay.on_ended.append(told.append)

    async with heir.relay:
        pass

    assert [(stream.id, State.FAILED)] == [(head.id, head.state) for head in told]
