"""What the relay does now and then: leases, unwatched streams, expiry, logs of other processes."""

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from streamkeep.entry import CANCELLED, COMPLETED
from streamkeep.errors import StoreUnavailable, StreamExpired
from streamkeep.lifecycle import State
from streamkeep.relay.pulse import BEAT_S, EXPIRE_S, LEASE_S
from streamkeep.stores.base import Head, Lease
from streamkeep.stores.memory import MemoryStore
from streamkeep.testing.fake_upstream import Fault
from tests.relay.scripted import CLOSING, OPENING, Maker, Script, delta, paced, whole

pytestmark = pytest.mark.anyio

LONG = Script([OPENING, *paced("a" * 100), CLOSING])


async def test_a_stream_that_nobody_watches_is_stopped_where_its_policy_says_so(stage: Maker) -> None:
    """I6: `cancel_when_unwatched` is the one case in which leaving stops; its time runs from the last leaving."""
    opened = await stage(LONG)
    stream = await opened.start(policy={"cancel_when_unwatched": 5})
    began = opened.clock.time
    async with opened.relay.watch(stream.id):
        await opened.clock.advance(20)
        watched = (await stream.refresh()).state

    while not (await stream.refresh()).state.ended:
        await opened.clock.advance(BEAT_S)

    ending = await opened.ending(stream)
    assert (State.OPEN, CANCELLED, "unwatched") == (watched, ending["name"], ending["cancel"]["by"])
    assert 25 == pytest.approx(opened.clock.time - began, abs=3 * BEAT_S)


async def test_a_stream_that_never_had_a_reader_is_unwatched_from_its_start(stage: Maker) -> None:
    """I6: the caller of a start that left at once counts as nobody."""
    opened = await stage(LONG)
    stream = await opened.start(policy={"cancel_when_unwatched": 5})

    await opened.clock.advance(5 + 2 * BEAT_S)

    assert CANCELLED == (await opened.ending(stream))["name"]


async def test_without_that_policy_a_stream_goes_on_alone(stage: Maker) -> None:
    """I6: leaving is not stopping."""
    opened = await stage(LONG)
    stream = await opened.start()

    await opened.clock.advance(101)

    assert COMPLETED == (await opened.ending(stream))["name"]


async def test_a_lease_is_renewed_as_long_as_its_stream_lives(stage: Maker, store: MemoryStore) -> None:
    """A producer that lives keeps its log, however long the answer."""
    opened = await stage(LONG)
    stream = await opened.start()

    for _ in range(20):
        await opened.clock.advance(LEASE_S / 3)
        assert store._logs[stream.id].lease_until > opened.clock.now()


async def test_a_producer_whose_lease_is_lost_lets_go(stage: Maker) -> None:
    """I2: two writers of one log there are not; who is told that it lost the lease stops."""

    class Losing(MemoryStore):
        async def renew(self, leases: Sequence[Lease], *, now: float, lease_s: float) -> Sequence[Lease]:
            return [*leases, Lease(id="unknown", token=1, epoch="e", after=1)]

    opened = await stage(Script([OPENING + delta("a"), Fault.HANG]), store=Losing())
    await opened.start()

    await opened.clock.advance(LEASE_S)

    assert {} == opened.relay.producers
    assert opened.upstream.replies[0].closed_at is not None


async def test_ended_streams_are_forgotten_after_their_time(stage: Maker) -> None:
    """I7, I10: what expired is gone and says so; what lives never expires."""
    opened = await stage(whole("a"), Script([Fault.HANG]))
    ended = await opened.run(policy={"ttl": 10})
    live = await opened.start(policy={"ttl": 0, "timeouts": {"first_event": 1000}})

    await opened.clock.advance(2 * EXPIRE_S)

    with pytest.raises(StreamExpired):
        await opened.relay.stream(ended.id)
    assert State.OPEN is (await live.refresh()).state


async def test_a_store_that_is_away_for_a_while_does_not_end_the_pulse(
    stage: Maker, caplog: pytest.LogCaptureFixture
) -> None:
    """What fails at one beat is done at a later one, be it an error of the store or a mistake."""

    class Moody(MemoryStore):
        errors: Any = (StoreUnavailable("away"), RuntimeError("odd"))

        async def renew(self, leases: Sequence[Lease], *, now: float, lease_s: float) -> Sequence[Lease]:
            if self.errors:
                error, *self.errors = self.errors
                raise error
            return await super().renew(leases, now=now, lease_s=lease_s)

    store = Moody()
    opened = await stage(LONG, store=store)
    stream = await opened.start()

    await opened.clock.advance(LEASE_S + 1)

    assert store._logs[stream.id].lease_until > opened.clock.now()
    assert "away" in caplog.text
    assert "odd" in caplog.text


async def test_one_log_that_cannot_be_followed_does_not_hold_up_the_others(stage: Maker, store: MemoryStore) -> None:
    """Of two logs that another process writes, the one that is gone leaves the other's readers alone."""
    writing = await stage(LONG)
    gone, there = await writing.start(id="a-gone"), await writing.start(id="b-there")

    class Reading(MemoryStore):
        blind = False

        async def head(self, id: str) -> Head:
            if self.blind and id == "a-gone":
                raise StoreUnavailable("away")
            return await super().head(id)

    view = Reading()
    view._logs = store._logs
    reading = await stage(store=view, read_only=True)
    async with reading.relay.watch(gone.id), reading.relay.watch(there.id) as tail:
        view.blind = True
        before = tail.seq
        waiting = asyncio.create_task(tail.wait())
        await reading.clock.advance(3)

        assert waiting.done()
        assert tail.seq > before
