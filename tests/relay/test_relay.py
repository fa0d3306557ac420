"""The front: start, find, stop and forget streams, on the way up, in service and on the way down."""

import asyncio
from typing import Any

import pytest

from streamkeep import registry
from streamkeep.cursor import Cursor
from streamkeep.entry import COMPLETED
from streamkeep.errors import (
    BadRequest,
    CursorAhead,
    Overloaded,
    StoreUnavailable,
    StreamExists,
    StreamLive,
    StreamNotFound,
    UpstreamBroken,
    UpstreamError,
)
from streamkeep.lifecycle import State
from streamkeep.relay import Relay, Stream
from streamkeep.relay.subscription import Subscription
from streamkeep.stores.base import Created, Head
from streamkeep.stores.memory import MemoryStore
from streamkeep.testing.fake_upstream import Fault
from streamkeep.testing.manual_clock import ManualClock
from tests.relay.scripted import (
    CLOSING,
    OPENING,
    Maker,
    Script,
    ScriptedUpstream,
    Stage,
    Wait,
    delta,
    paced,
    source,
    staged,
    whole,
)

pytestmark = pytest.mark.anyio

SLOW = Script([OPENING + delta("a"), Wait(1), *paced("b" * 30), CLOSING])


class LateStore(MemoryStore):
    """Answers a `create` only when told; what it wrote can be seen before."""

    def __init__(self) -> None:
        super().__init__()
        self.answering = asyncio.Event()

    async def create(self, *args: Any, **kwargs: Any) -> Created:
        created = await super().create(*args, **kwargs)
        await self.answering.wait()
        return created


# ---------------------------------------------------------------------------------------------------------------------
# Start


async def test_a_stream_exists_from_the_moment_it_is_accepted(stage: Maker) -> None:
    """I13: before the model says a word, the stream can be found, listed and read."""
    opened = await stage(Script(before=[Fault.HANG]))

    stream = await opened.start(id="mine", metadata={"a": 1})

    found = await opened.relay.stream("mine")
    assert ("open", {"a": 1}) == (found.json()["state"], found.json()["metadata"])
    assert ["mine"] == [each.id for each in await opened.relay.streams()]
    assert "stream.accepted" == (await opened.log(stream))[0].name


async def test_the_same_start_is_the_same_stream(stage: Maker) -> None:
    """I15: one id or key and one body give one stream, also at the same time; another body is refused."""
    opened = await stage(SLOW)
    request = {"prompt": "x", "id": "mine"}

    first, *others = await asyncio.gather(*[opened.relay.start(request) for _ in range(5)])
    keyed = await asyncio.gather(*[opened.relay.start({"prompt": "y"}, idempotency_key="k") for _ in range(5)])

    assert ([False] + [True] * 4, {"mine"}) == (
        [each.replayed for each in (first, *others)],
        {each.id for each in others},
    )
    assert 1 == len({each.id for each in keyed})
    assert 2 == len(opened.upstream.calls)
    with pytest.raises(StreamExists):
        await opened.relay.start({"prompt": "other", "id": "mine"})
    with pytest.raises(StreamExists):
        await opened.relay.start({"prompt": "other"}, idempotency_key="k")


async def test_a_caller_that_goes_away_leaves_no_stream_without_a_producer(clock: ManualClock) -> None:
    """I6: a start whose caller leaves at the worst moment is produced all the same."""
    store = LateStore()
    opened = staged(clock, ScriptedUpstream(whole("a")), store=store)
    async with opened.relay:
        starting = asyncio.create_task(opened.start(id="mine"))
        await clock.settle()
        starting.cancel()
        await asyncio.wait([starting])
        store.answering.set()
        await clock.settle()

        assert starting.cancelled()
        assert State.COMPLETED is (await store.head("mine")).state


async def test_a_reader_that_is_faster_than_the_start_follows_the_same_log(clock: ManualClock) -> None:
    """I13: who attaches between the log's first entry and its producer sees what the producer writes."""
    store = LateStore()
    opened = staged(clock, ScriptedUpstream(whole("a")), store=store)
    async with opened.relay:
        starting = asyncio.create_task(opened.start(id="mine"))
        await clock.settle()
        early = asyncio.create_task((await opened.relay.stream("mine")).message())
        await clock.settle()
        store.answering.set()
        await starting

        message = await asyncio.wait_for(early, 5)

        assert message is not None
        assert "a" == message["content"][0]["text"]
        assert {} == opened.relay.tails


async def test_an_id_that_was_deleted_begins_anew_though_somebody_still_reads_the_old_log(stage: Maker) -> None:
    """I2: an old reader keeps the old log; the new stream has a log of its own."""
    opened = await stage(whole("old"), whole("new"))
    old = await opened.run(id="mine")
    async with opened.relay.watch("mine") as tail:
        await old.delete()
        new = await opened.run(id="mine", prompt="again")
        message = await new.message()

        assert tail.state.ended
        assert message is not None
        assert "new" == message["content"][0]["text"]
    assert {} == opened.relay.tails


async def test_a_store_without_answer_starts_nothing(clock: ManualClock) -> None:
    """Nobody is asked before the start is logged, so nobody pays for an answer that cannot be kept."""

    class Down(MemoryStore):
        async def create(self, *args: Any, **kwargs: Any) -> Created:
            raise StoreUnavailable("down")

    opened = staged(clock, ScriptedUpstream(whole("a")), store=Down())
    async with opened.relay:
        with pytest.raises(StoreUnavailable):
            await opened.start()

    assert [] == opened.upstream.calls


async def test_no_more_streams_are_produced_than_allowed(stage: Maker) -> None:
    """I10: the limit holds for starts that come at the same time, and a place that is free again is given again."""
    opened = await stage(SLOW, max_streams=3)

    results = await asyncio.gather(*[opened.start() for _ in range(8)], return_exceptions=True)
    started = [each for each in results if isinstance(each, Stream)]
    refused = [each for each in results if isinstance(each, Overloaded)]
    await started[0].cancel()
    await opened.clock.settle()
    await opened.start()

    assert (3, 5) == (len(started), len(refused))
    assert "All 3 places" in refused[0].message


async def test_a_provider_that_is_not_set_up_is_refused_by_name(stage: Maker) -> None:
    """The caller learns which providers there are."""
    opened = await stage(SLOW)

    with pytest.raises(BadRequest, match="there are: anthropic"):
        await opened.start(provider="acme")
    async with Relay("memory://", {}) as empty:
        with pytest.raises(BadRequest, match="there are: none"):
            await empty.start({"prompt": "x"})


async def test_an_unknown_stream_is_not_found(stage: Maker) -> None:
    """Nothing is made up for an id that nobody started."""
    opened = await stage(SLOW)

    with pytest.raises(StreamNotFound):
        await opened.relay.stream("nobody")
    with pytest.raises(BadRequest):
        await opened.relay.stream("no/body")
    with pytest.raises(StreamNotFound):
        async with opened.relay.watch("nobody"):
            pass
    assert {} == opened.relay.tails


# ---------------------------------------------------------------------------------------------------------------------
# Read, list, forget


async def test_leaving_is_not_stopping(stage: Maker) -> None:
    """I6: readers come and go; the answer is produced to its end."""
    opened = await stage(SLOW)
    stream = await opened.start()
    for _ in range(3):
        async with opened.relay.watch(stream.id) as tail:
            reader = Subscription(tail, opened.relay.store, registry.wire("native"))
            await reader.read()

    assert await stream.ended()
    assert COMPLETED == (await opened.ending(stream))["name"]


async def test_a_tail_lives_as_long_as_somebody_needs_it(stage: Maker) -> None:
    """I10: an ended stream without readers takes no memory."""
    opened = await stage(whole("a"))
    stream = await opened.run()

    async with opened.relay.watch(stream.id) as one, opened.relay.watch(stream.id) as other:
        assert one is other
    assert {} == opened.relay.tails
    assert [] == await opened.relay.streams(states=frozenset({State.OPEN}))


async def test_only_an_ended_stream_can_be_forgotten(stage: Maker) -> None:
    """What is being written is not taken away."""
    opened = await stage(SLOW)
    stream = await opened.start()

    with pytest.raises(StreamLive):
        await opened.relay.delete(stream.id)
    await stream.cancel()
    await stream.delete()
    with pytest.raises(StreamNotFound):
        await opened.relay.stream(stream.id)


async def test_models_are_the_default_providers(stage: Maker) -> None:
    """The list comes from the provider, and so does the reason why there is none."""
    opened = await stage(Script([b'{"data":[{"id":"m"}]}']), Script([b"{}"], status=401), Script([b"nothing"]))

    assert [{"id": "m"}] == await opened.relay.models()
    with pytest.raises(UpstreamError):
        await opened.relay.models()
    with pytest.raises(UpstreamBroken):
        await opened.relay.models()
    assert all(reply.closed_at is not None for reply in opened.upstream.replies)


# ---------------------------------------------------------------------------------------------------------------------
# Up and down


async def test_on_the_way_down_answers_may_finish_and_nothing_new_begins(stage: Maker) -> None:
    """A drain gives running answers their time; what is not done then is told so, and keeps its part."""
    opened = await stage(whole("a"), Script([OPENING + delta("a"), Wait(5), CLOSING]), SLOW)
    short = await opened.run()
    middle, long = await opened.start(), await opened.start()
    await opened.clock.settle()

    draining = asyncio.create_task(opened.relay.drain(10))
    await opened.clock.advance(1)
    with pytest.raises(Overloaded, match="going down"):
        await opened.start()
    await draining

    states = [(await opened.relay.store.head(each.id)).state for each in (short, middle, long)]
    assert [State.COMPLETED, State.COMPLETED, State.FAILED] == states
    assert "server_shutdown" == (await opened.ending(long))["error"]["code"]


async def test_a_start_that_is_under_way_is_ended_with_the_others(clock: ManualClock) -> None:
    """I3: whoever is accepted just before the end still gets an ending."""
    store = LateStore()
    opened = staged(clock, ScriptedUpstream(SLOW), store=store)
    await opened.relay.__aenter__()
    starting = asyncio.create_task(opened.start(id="mine"))
    await clock.settle()
    closing = asyncio.create_task(opened.relay.__aexit__(None, None, None))
    await clock.settle()
    store.answering.set()
    await asyncio.gather(starting, closing)

    assert State.FAILED is (await store.head("mine")).state


async def test_a_relay_that_cannot_open_holds_nothing(clock: ManualClock) -> None:
    """Who tries again after a failed start finds store and connections closed."""

    class Broken(MemoryStore):
        closed = 0

        async def list(self, **_: Any) -> Any:
            raise StoreUnavailable("cannot be read")

        async def close(self) -> None:
            self.closed += 1

    store, upstream = Broken(), ScriptedUpstream()
    with pytest.raises(StoreUnavailable):
        await staged(clock, upstream, store=store).relay.__aenter__()

    assert (1, 1, 1) == (store.closed, upstream.opened, upstream.closed)


async def test_a_read_only_relay_follows_what_another_writes(stage: Maker, store: MemoryStore) -> None:
    """I1: two relays on one log: the one that reads sees what the other wrote, a beat later at most."""
    writing: Stage = await stage(SLOW)
    stream = await writing.start()
    reading = await stage(store=store, read_only=True)

    message = await (await reading.relay.stream(stream.id)).message()

    assert message is not None
    assert "a" + "b" * 30 == message["content"][0]["text"]


async def test_a_cursor_ahead_of_the_log_is_refused(stage: Maker) -> None:
    """I7: nobody is told that he has it all when he has more than there is."""
    opened = await stage(whole("a"))
    stream = await opened.run()

    with pytest.raises(CursorAhead):
        async for _ in stream.events(after=Cursor("", 1000)):
            pass


def test_a_relay_can_be_made_from_a_stores_url() -> None:
    """The URL's scheme names the store."""
    assert "memory" == Relay("memory://", {"anthropic": source()}).store.name


async def test_an_ended_stream_is_told_once(stage: Maker) -> None:
    """After its seal and not before, with the ending; a replayed start tells nothing."""
    told: list[Head] = []
    opened = await stage(SLOW)
    opened.relay.on_ended.append(told.append)
    stream = await opened.start(id="one")
    await opened.clock.advance(3)
    early = list(told)

    await stream.ended()
    await opened.clock.settle()
    await opened.run(id="one")

    ended = await opened.relay.store.head("one")
    assert [] == early
    assert [(ended.id, ended.seq, ended.state, ended.ending)] == [
        (head.id, head.seq, head.state, head.ending) for head in told
    ]


async def test_an_observer_that_fails_disturbs_nobody(stage: Maker, caplog: pytest.LogCaptureFixture) -> None:
    """The stream has its ending, and the other observers are told."""
    told: list[Head] = []

    def fail(head: Head) -> None:
        raise ValueError(head.id)

    opened = await stage(whole("a"))
    opened.relay.on_ended += [fail, told.append]

    stream = await opened.run()

    assert State.COMPLETED is stream.head.state
    assert [stream.id] == [head.id for head in told]
    assert {} == opened.relay.producers
    assert "an observer of its ending failed" in caplog.text


async def test_a_stream_that_got_no_ending_is_not_told(stage: Maker) -> None:
    """Its writer lost the log to another one, whose ending it is."""
    told: list[Head] = []
    opened = await stage(Script([OPENING + delta("a"), Wait(5), delta("b"), Fault.HANG]))
    opened.relay.on_ended.append(told.append)
    stream = await opened.start()
    await opened.clock.advance(1)
    task = opened.relay.producers[stream.id].task

    await opened.relay.store.acquire(stream.id, epoch="abc234", now=opened.clock.now() + 3600, lease_s=3600)
    await opened.clock.advance(30)

    assert task.done()
    assert [] == told
