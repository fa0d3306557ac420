"""A stop, in every phase, from anywhere: one receipt, one ending."""

import asyncio

import pytest

from streamkeep.entry import CANCEL_REQUESTED, CANCELLED, FAILED, TERMINALS
from streamkeep.errors import (
    Conflict,
    StoreUnavailable,
)
from streamkeep.lifecycle import State
from streamkeep.providers.base import Call
from streamkeep.relay.policy import Policy, read_start
from streamkeep.stores.base import Append
from streamkeep.testing.fake_upstream import Fault
from streamkeep.testing.manual_clock import ManualClock
from tests.relay.scripted import (
    CLOSING,
    OPENING,
    Maker,
    Script,
    ScriptedUpstream,
    Wait,
    delta,
    paced,
    source,
    staged,
    whole,
)
from tests.relay.stubborn_store import StubbornStore

pytestmark = pytest.mark.anyio

SLOW = Script([OPENING + delta("a"), Wait(1), *paced("b" * 30), CLOSING])


PHASES: dict[str, tuple[list[Script], float]] = {
    "before the headers": ([Script(before=[Wait(9)])], 1),
    "before anything is visible": ([Script([OPENING, Wait(9), delta("a") + CLOSING])], 1),
    "while text comes": ([SLOW], 2.5),
    "while the upstream is silent": ([Script([OPENING + delta("a"), Fault.HANG])], 1),
    "between two attempts": ([Script([b"{}"], status=529, headers={"retry-after": "9"})], 1),
    "while an error's body comes": ([Script([Wait(4), b"{}"], status=500)], 1),
}


@pytest.mark.parametrize("phase", PHASES)
async def test_a_stop_ends_a_stream_in_every_phase_with_one_ending(stage: Maker, phase: str) -> None:
    """I3, I14: asked, upstream closed, sealed; nothing follows; a second stop finds the same end."""
    scripts, after = PHASES[phase]
    opened = await stage(*scripts)
    stream = await opened.start()
    await opened.clock.advance(after)

    receipt = await stream.cancel()
    again = await stream.cancel()
    await opened.clock.advance(30)

    names = await opened.names(stream)
    assert ([CANCELLED], CANCELLED) == ([name for name in names if name in TERMINALS], names[-1])
    assert 1 == names.count(CANCEL_REQUESTED)
    assert ("cancelled", 0.0) == (receipt["state"], receipt["upstream_closed_ms"])
    assert receipt["sealed_at"] is not None
    assert receipt == again
    assert all(reply.closed_at is not None for reply in opened.upstream.replies)
    assert {} == opened.relay.producers


async def test_a_stop_in_the_same_moment_as_the_start_asks_nobody(stage: Maker) -> None:
    """I14: before the first request is made there is nothing to close and nothing to pay."""
    opened = await stage(SLOW)
    start = read_start({"prompt": "x"}, default=Policy(), headers={}, idempotency_key=None)
    start.request["model"] = "m"
    stream = await opened.relay._begin(start, source(), Call(path="/", headers={}, body=b""))

    receipt = await stream.cancel()

    assert ("cancelled", None) == (receipt["state"], receipt["upstream_closed_ms"])
    assert [] == opened.upstream.calls


async def test_a_stop_that_overtakes_its_start_wins(stage: Maker) -> None:
    """I14: the stop is remembered for a minute, and no longer."""
    opened = await stage(SLOW)

    assert None is await opened.relay.cancel("early")
    assert None is await opened.relay.cancel("late")
    early = await opened.run(id="early")
    await opened.clock.advance(61)
    late = await opened.start(id="late")
    await opened.clock.settle()

    assert ["stream.accepted", CANCEL_REQUESTED, CANCELLED] == await opened.names(early)
    assert State.OPEN is (await late.refresh()).state
    assert 1 == len(opened.upstream.calls)


async def test_a_stop_after_the_end_changes_nothing(stage: Maker) -> None:
    """I3, I14: what is completed stays completed."""
    opened = await stage(whole("a"))
    stream = await opened.run()
    before = await opened.log(stream)

    receipt = await stream.cancel()

    assert ("completed", None) == (receipt["state"], receipt["upstream_closed_ms"])
    assert before == await opened.log(stream)


@pytest.mark.parametrize("committed", range(4))
async def test_a_stop_that_races_the_ending_gives_one_ending(stage: Maker, committed: int) -> None:
    """I3: whichever comes first, stop or completion, there is one ending and it is the last entry."""
    store = StubbornStore()
    opened = await stage(whole("a"), store=store)
    store.holding = True
    stream = await opened.start()
    for _ in range(committed):
        await opened.clock.settle()
        store.commit(1)

    stopping = asyncio.create_task(stream.cancel())
    await opened.clock.settle()
    store.let_go()
    receipt = await stopping

    names = await opened.names(stream)
    assert 1 == len([name for name in names if name in TERMINALS])
    assert f"stream.{receipt['state']}" == names[-1]


async def test_a_stop_that_cannot_be_logged_is_no_stop(stage: Maker) -> None:
    """I14: a receipt is never given for a request that the log does not hold."""
    store = StubbornStore()
    opened = await stage(SLOW, store=store)
    stream = await opened.start()
    await opened.clock.advance(1.5)
    store.refusal = lambda _: StoreUnavailable("down")
    await opened.clock.advance(1)

    with pytest.raises(StoreUnavailable):
        await stream.cancel()
    store.refusal = lambda _: None
    await stream.ended()

    assert (FAILED, "store_unavailable") == (
        (await opened.ending(stream))["name"],
        (await opened.ending(stream))["error"]["code"],
    )


async def test_another_processs_stop_reaches_the_producer(stage: Maker) -> None:
    """I14: a stop is an entry that anybody may append; the producer finds it with its next entry."""
    opened = await stage(SLOW)
    stream = await opened.start()
    await opened.clock.advance(1.5)
    producer = opened.relay.producers.pop(stream.id)  # as in another process, where no producer is

    async def append_a_stop() -> None:
        head = await opened.relay.store.head(stream.id)
        await opened.relay._ask_to_stop(head, "elsewhere")

    await append_a_stop()
    opened.relay.producers[stream.id] = producer
    await stream.ended()

    ending = await opened.ending(stream)
    names = await opened.names(stream)
    assert (CANCELLED, "elsewhere") == (ending["name"], ending["cancel"]["by"])
    assert ["a", "b", "b"] == [
        each.json()["delta"]["text"] for each in await opened.log(stream) if "delta" in each.name
    ]
    assert 1 == names.count(CANCEL_REQUESTED)


async def test_a_stop_request_is_repeated_while_the_log_moves_on(clock: ManualClock) -> None:
    """I14: a log that grows under the request does not keep it out; an end that came first wins."""

    class Racing(StubbornStore):
        single_writer = False
        conflicts = 3

        def submit(self, append: Append) -> None:
            if append.token is None and self.conflicts:
                self.conflicts -= 1
                append.done(append, Conflict("moved on", head=append.after + 1))
            else:
                super().submit(append)

    store = Racing()
    opened = staged(clock, ScriptedUpstream(SLOW), store=store)
    async with opened.relay:
        stream = await opened.start()
        await clock.advance(1.5)
        opened.relay.producers, kept = {}, opened.relay.producers
        stopping = asyncio.create_task(opened.relay.cancel(stream.id))
        await clock.settle()
        opened.relay.producers = kept
        await stopping
        ended = await stream.refresh()
        await opened.relay._ask_to_stop(ended, "too late")

    assert (0, State.CANCELLED) == (store.conflicts, ended.state)
