"""The fold of a whole log, and the one ending behind it."""

import pytest

from streamkeep.entry import ACCEPTED, CANCEL_REQUESTED, COMPLETED, Entry, Event, event
from streamkeep.errors import Fenced, StoreUnavailable, StreamClosed, StreamkeepError, StreamNotFound
from streamkeep.relay.sealing import MAX_PAUSE_S, MAX_SEAL_S, fold_log, write_ending
from streamkeep.relay.tail import Tail
from streamkeep.relay.writer import Writer
from streamkeep.stores.base import MAX_READ_BYTES, Record
from streamkeep.testing.manual_clock import ManualClock
from tests.relay.scripted import OPENING, delta, read_all
from tests.relay.stubborn_store import StubbornStore

pytestmark = pytest.mark.anyio


class Bench:
    """A log with its writer."""

    def __init__(self, store: StubbornStore, writer: Writer, tail: Tail) -> None:
        self.store = store
        self.writer = writer
        self.tail = tail
        self.composed = 0

    def compose(self) -> list[Event]:
        self.composed += 1
        return [event(COMPLETED, {"try": self.composed})]

    async def log(self) -> list[str]:
        return [entry.name for entry in await read_all(self.store, "s")]


@pytest.fixture
async def bench() -> Bench:
    store = StubbornStore()
    record = Record(id="s", created_at=0.0, provider="p", model="m", fingerprint="f")
    accepted, stopped = Entry(1, 0.0, *event(ACCEPTED, {})), Entry(2, 0.0, *event(CANCEL_REQUESTED, {}))
    created = await store.create(record, accepted, epoch="e", cancelled=stopped, lease_s=10)
    assert created.lease is not None
    tail = Tail(created.head, [accepted])
    writer = Writer(store, created.lease, tail, now=lambda: 5.0, missed=lambda _: None, lost=lambda _: None)
    return Bench(store, writer, tail)


def events(frames: bytes) -> list[Event]:
    pairs = (frame.removeprefix(b"event: ").split(b"\ndata: ") for frame in frames.split(b"\n\n")[:-1])
    return [Event(name.decode(), data) for name, data in pairs]


async def test_a_log_of_many_pages_is_folded_whole(bench: Bench) -> None:
    """I2: the digest covers every entry, those that left the window long ago included."""
    piece = "x" * 50_000
    bench.writer.write(events(OPENING))
    for _ in range(3 * MAX_READ_BYTES // 50_000):
        bench.writer.write(events(delta(piece)))

    folded = await fold_log(bench.store, bench.tail)

    assert (15 * 50_000, None) == (len(folded.fold.text()), folded.error)
    assert (5.0, 5.0) == (folded.first_visible, folded.last)


async def test_a_malformed_event_ends_the_fold_there(bench: Bench) -> None:
    """I3: what contradicts the API is kept as an error; the rest is read for its times only."""
    bench.writer.write(events(OPENING + delta("a") + delta("lost", index=3) + delta("b", index=4)))

    folded = await fold_log(bench.store, bench.tail)

    assert "a" == folded.fold.text()
    assert folded.error is not None
    assert "upstream_malformed" == folded.error.code


async def test_a_log_that_cannot_be_read_is_folded_as_far_as_it_can(bench: Bench) -> None:
    """The ending says that the log could not be read, instead of never coming."""
    for _ in range(4):
        bench.writer.write(events(OPENING + delta("x" * 60_000)))
    bench.store.unreadable = StoreUnavailable("away")

    folded = await fold_log(bench.store, bench.tail)

    assert folded.error is not None
    assert "store_unavailable" == folded.error.code


async def test_an_ending_is_tried_until_it_is_durable(bench: Bench) -> None:
    """I3: readers wait for the ending, so it comes as soon as the store can take it, once."""
    failures = [StoreUnavailable("away") for _ in range(7)]
    bench.store.refusal = lambda _: failures.pop() if failures else None

    await write_ending(bench.writer, bench.tail, bench.compose)

    assert [ACCEPTED, COMPLETED] == await bench.log()
    assert 8 == bench.composed
    assert 0.1 + 0.2 + 0.4 + 0.8 + 1.6 + 3.2 + MAX_PAUSE_S == pytest.approx(ManualClock().time, abs=0.01)


async def test_an_ending_is_not_tried_for_ever(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    """I10: after two minutes the log stays open, for who opens the store next."""
    began = ManualClock().time
    bench.store.refusal = lambda _: StoreUnavailable("away")

    await write_ending(bench.writer, bench.tail, bench.compose)

    assert [ACCEPTED] == await bench.log()
    assert "its ending could not be written" in caplog.text
    assert MAX_SEAL_S <= ManualClock().time - began <= MAX_SEAL_S + 2 * MAX_PAUSE_S


@pytest.mark.parametrize("error", [Fenced("taken"), StreamClosed("ended"), StreamNotFound("gone")])
async def test_a_log_that_is_anothers_or_gone_gets_no_ending(bench: Bench, error: StreamkeepError) -> None:
    """I3: where another writer ends the log, or there is none, this one lets go at once."""
    began = ManualClock().time
    bench.store.refusal = lambda _: error

    await write_ending(bench.writer, bench.tail, bench.compose)

    assert (1, began) == (bench.composed, ManualClock().time)


async def test_a_log_that_has_its_ending_gets_no_second(bench: Bench) -> None:
    """I3: the first ending wins."""
    bench.writer.write([event(COMPLETED, {})])

    await write_ending(bench.writer, bench.tail, bench.compose)

    assert ([ACCEPTED, COMPLETED], 0) == (await bench.log(), bench.composed)
