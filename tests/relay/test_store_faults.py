"""A store that is slow, full, away or another's, while an answer is produced."""

import pytest

from streamkeep.entry import ATTEMPT, FAILED, TERMINALS
from streamkeep.errors import StoreFull, StoreUnavailable
from streamkeep.relay.writer import MAX_UNCOMMITTED_BYTES
from streamkeep.testing.fake_upstream import Fault
from tests.relay.scripted import (
    CLOSING,
    NAMES,
    OPENING,
    Maker,
    Script,
    Wait,
    delta,
    whole,
)
from tests.relay.stubborn_store import StubbornStore

pytestmark = pytest.mark.anyio


async def test_a_store_that_is_slow_holds_the_upstream_back(stage: Maker) -> None:
    """I10: what is not durable yet is bounded; beyond that nothing is read of the upstream."""
    store = StubbornStore()
    piece = delta("x" * 100_000)
    opened = await stage(Script([OPENING, *[piece] * 40, CLOSING]), store=store)
    store.holding = True
    stream = await opened.start()
    await opened.clock.settle()
    store.commit()
    await opened.clock.settle()

    producer = opened.relay.producers[stream.id]
    held = producer._writer.uncommitted_bytes
    left = len(opened.upstream.replies[0]._steps)
    store.let_go()
    await stream.ended()

    assert MAX_UNCOMMITTED_BYTES < held < MAX_UNCOMMITTED_BYTES + 2 * len(piece)
    assert left > 25
    assert 4_000_000 == (await opened.ending(stream))["digest"]["blocks"][0]["bytes"]


async def test_a_full_store_fails_the_stream_which_stays_readable(stage: Maker) -> None:
    """A store that takes no more ends the stream as failed, with all that it took before."""
    store = StubbornStore()
    full = StoreFull("no space left")
    store.refusal = lambda append: full if b"third" in append.entries[0].data else None
    opened = await stage(Script([OPENING + delta("first"), delta("third"), delta("fourth") + CLOSING]), store=store)

    stream = await opened.run()

    ending = await opened.ending(stream)
    assert (FAILED, "store_full", "store") == (ending["name"], ending["error"]["code"], ending["error"]["blame"])
    message = await stream.message()
    assert message is not None
    assert "first" == message["content"][0]["text"]
    assert opened.upstream.replies[0].closed_at is not None


async def test_a_store_that_fails_at_the_start_costs_no_request(stage: Maker) -> None:
    """Where the attempt itself cannot be logged, nobody is asked, and nobody pays."""
    store = StubbornStore()
    store.refusal = lambda append: StoreFull("full") if append.entries[0].name == ATTEMPT else None
    opened = await stage(Script(before=[Fault.HANG]), store=store)

    stream = await opened.run()

    assert ("store_full", 0) == ((await opened.ending(stream))["error"]["code"], len(opened.upstream.calls))


async def test_what_is_under_way_when_the_store_fails_is_not_written_behind_the_gap(stage: Maker) -> None:
    """I2: after a lost piece no later piece of the answer is logged as if nothing were missing."""
    store = StubbornStore()
    texts = [f"<{number}>" for number in range(20)]
    opened = await stage(
        Script([OPENING, *[step for text in texts for step in (delta(text), Wait(1))], CLOSING]), store=store
    )
    stream = await opened.start()
    await opened.clock.advance(2.5)
    store.holding = True
    await opened.clock.advance(5)
    down = [StoreUnavailable("down")]
    store.refusal = lambda _: down.pop() if down else None

    store.commit(1)
    await opened.clock.settle()
    store.let_go()
    await stream.ended()

    message = await stream.message()
    assert message is not None
    assert "".join(texts).startswith(message["content"][0]["text"])
    assert "store_unavailable" == (await opened.ending(stream))["error"]["code"]


async def test_an_ending_that_the_store_cannot_take_is_tried_again(stage: Maker) -> None:
    """A whole answer stays completed though the store was away when its ending was to be written."""
    store = StubbornStore()
    failures = [StoreUnavailable("down") for _ in range(5)]
    store.refusal = lambda append: failures.pop() if failures and append.entries[0].name in TERMINALS else None
    opened = await stage(whole("a", "b"), store=store)

    stream = await opened.run()

    assert NAMES == await opened.names(stream)
    assert not failures
    assert opened.clock.time > 3


async def test_a_writer_that_lost_its_lease_lets_go_and_writes_nothing(stage: Maker) -> None:
    """I2, I3: another writer's log is not touched; the upstream is closed and the log left as it is."""
    opened = await stage(Script([OPENING + delta("a"), Wait(60), delta("b") + CLOSING]))
    stream = await opened.start()
    await opened.clock.advance(1)
    lease = opened.relay.producers[stream.id].lease
    opened.relay.store._logs[stream.id].lease_until = 0.0  # type: ignore[attr-defined]
    await opened.relay.store.acquire(stream.id, epoch="other", now=opened.clock.now(), lease_s=60)
    before = await opened.log(stream)

    await opened.clock.advance(5)

    assert 1 == lease.token
    assert before == await opened.log(stream)
    assert {} == opened.relay.producers
    assert opened.upstream.replies[0].closed_at is not None
