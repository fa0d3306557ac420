"""A reader follows a log: the seam between replay and live, at every place and moment."""

import asyncio
import tracemalloc
from contextlib import suppress
from itertools import product
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamkeep import registry
from streamkeep.cursor import START, Cursor
from streamkeep.entry import ACCEPTED, CANCEL_REQUESTED, Entry, Event, event
from streamkeep.errors import StoreUnavailable
from streamkeep.message import fold
from streamkeep.relay.subscription import Subscription
from streamkeep.relay.tail import WINDOW_BYTES, Tail
from streamkeep.stores.base import Lease, Record
from streamkeep.testing.manual_clock import ManualClock, VirtualLoop
from streamkeep.wire.base import Options, Wire
from tests.relay.scripted import read_all
from tests.relay.stubborn_store import StubbornStore

pytestmark = pytest.mark.anyio

HIDE = Options(hide_thinking=True)
VIEWS = [
    (registry.wire(name), Options(hide_thinking=hide)) for name, hide in product(("native", "anthropic"), (False, True))
]
VIEWS.append((registry.wire("text"), Options()))


def block_events(text: str, size: int = 0) -> list[Event]:
    """Give a thinking block and a text block, `size` bytes of padding in each delta."""
    pad = "." * size
    return [
        Event("message_start", b'{"type":"message_start","message":{"content":[],"usage":{}}}'),
        Event("content_block_start", b'{"index":0,"content_block":{"type":"thinking","thinking":""}}'),
        Event("content_block_delta", b'{"index":0,"delta":{"type":"thinking_delta","thinking":"%b"}}' % pad.encode()),
        Event("content_block_stop", b'{"index":0}'),
        Event("content_block_start", b'{"index":1,"content_block":{"type":"text","text":""}}'),
        *[
            Event(
                "content_block_delta",
                b'{"type":"content_block_delta","index":1,"delta":{"type":"text_delta","text":"%b"}}'
                % (letter + pad).encode(),
            )
            for letter in text
        ],
        Event("content_block_stop", b'{"index":1}'),
        Event("message_stop", b"{}"),
        event("stream.completed", {}),
    ]


class Log:
    """A log that grows by hand, with its tail."""

    def __init__(self, store: StubbornStore, tail: Tail, lease: Lease) -> None:
        self.store = store
        self.tail = tail
        self.lease = lease

    @classmethod
    async def begin(cls) -> "Log":
        store = StubbornStore()
        record = Record(id="s", created_at=0.0, provider="p", model="m", fingerprint="f")
        accepted = Entry(1, 0.0, *event(ACCEPTED, {}))
        stopped = Entry(2, 0.0, *event(CANCEL_REQUESTED, {}))
        created = await store.create(record, accepted, epoch="e", cancelled=stopped, lease_s=10)
        assert created.lease is not None
        return cls(store, Tail(created.head, [accepted]), created.lease)

    async def grow(self, *events: Event) -> None:
        entries = [Entry(seq, float(seq), *each) for seq, each in enumerate(events, self.tail.seq + 1)]
        await self.store.append("s", entries, after=self.tail.seq, token=self.lease.token)
        self.tail.extend(entries)

    def reader(self, wire: Wire, options: Options = Options(), *, seq: int = 0, **how: Any) -> Subscription:
        return Subscription(self.tail, self.store, wire, options, cursor=Cursor("", seq), **how)

    async def frames(self, wire: Wire, options: Options = Options(), *, after: int = 0) -> bytes:
        """Encode the log with an encoder of our own, from its beginning."""
        encoder = wire.encoder(options)
        frames = [(each.seq, encoder.encode(each, "e")) for each in await read_all(self.store, "s")]
        return b"".join(frame for seq, frame in frames if seq > after)


async def all_of(reader: Subscription) -> bytes:
    """Read to the end."""
    got = []
    while (chunk := await reader.read()) is not None:
        got.append(chunk)
    return b"".join(got)


@pytest.mark.parametrize("wire, options", VIEWS, ids=lambda value: getattr(value, "name", ""))
@pytest.mark.parametrize("size", [0, WINDOW_BYTES // 2], ids=["in the window", "beyond the window"])
async def test_replay_and_live_meet_without_gap_or_repetition(wire: Wire, options: Options, size: int) -> None:
    """I2, I4, I5: for each cursor and each moment of joining, a reader gets exactly what follows its cursor."""
    events = block_events("abc", size)
    for joins_at in range(len(events) + 1):
        log = await Log.begin()
        await log.grow(*events[:joins_at]) if joins_at else None
        readers = [log.reader(wire, options, seq=seq) for seq in range(log.tail.seq + 1)]
        tasks = [asyncio.create_task(all_of(reader)) for reader in readers]
        for each in events[joins_at:]:
            await ManualClock().settle()
            await log.grow(each)

        got = await asyncio.gather(*tasks)

        assert [await log.frames(wire, options, after=seq) for seq in range(joins_at + 2)] == got


@pytest.mark.parametrize("wire, options", VIEWS, ids=lambda value: getattr(value, "name", ""))
async def test_a_reader_that_falls_behind_the_window_catches_up_exactly(wire: Wire, options: Options) -> None:
    """I4, I5: who stalls past the window reads on from the store, and repeats and misses nothing."""
    log = await Log.begin()
    events = block_events("abcdefghijklmnopqrstuvwxyz", WINDOW_BYTES // 4)
    reader = log.reader(wire, options)
    got = []
    for at, each in enumerate(events):
        await log.grow(each)
        if at in (3, 4, 9, 24):
            with suppress(TimeoutError):  # the plain text has nothing to say of the first ones
                async with asyncio.timeout(1):
                    got.append(await reader.read() or b"")

    got.append(await all_of(reader))

    assert await log.frames(wire, options) == b"".join(got)


async def test_readers_of_one_wire_share_one_encoding() -> None:
    """I5: the first who comes to the end of a log brings the encoder for all, also where it has to know the log."""
    log = await Log.begin()
    await log.grow(*block_events("abc")[:6])
    made = []
    native = registry.wire("native")

    class Watched:
        name, media_type, opening, heartbeat = "native", "", b"", b""
        ends_cleanly, stateless = native.ends_cleanly, native.stateless

        def encoder(self, options: Options) -> Any:
            made.append(options)
            return native.encoder(options)

    readers = [log.reader(Watched(), HIDE) for _ in range(20)]
    first = [await reader.read() for reader in readers]
    await log.grow(*block_events("abc")[6:])
    rest = [await all_of(reader) for reader in readers]

    assert (1, 1, 1) == (len(set(first)), len(set(rest)), len(made))
    assert await log.frames(native, HIDE) == (first[0] or b"") + rest[0]


async def test_a_stalled_reader_holds_a_cursor_and_nothing_else() -> None:
    """I4: two hundred readers that take nothing cost no memory while the log grows by megabytes."""
    log = await Log.begin()
    await log.grow(*block_events("a")[:5])
    readers = [log.reader(registry.wire("native")) for _ in range(200)]
    for reader in readers:
        await reader.read()
    event_of_a_kilobyte = block_events("x", 1000)[5]

    tracemalloc.start()
    for seq in range(log.tail.seq + 1, log.tail.seq + 5001):
        log.tail.extend([Entry(seq, 0.0, *event_of_a_kilobyte)])
    used, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert used < 1_000_000
    assert {6} == {reader.seq for reader in readers}


@pytest.mark.parametrize("cursor", range(11))
async def test_a_merged_catch_up_tells_the_same_message(cursor: int) -> None:
    """A late reader gets one frame per run of deltas; what it folds is what the log says."""
    log = await Log.begin()
    native = registry.wire("native")
    events = block_events("abcdef")
    await log.grow(*events[:8])
    reader = log.reader(native, seq=min(cursor, log.tail.seq), merged=True)
    first = asyncio.create_task(all_of(reader))
    await ManualClock().settle()
    await log.grow(*events[8:10])
    await ManualClock().settle()
    await log.grow(*events[10:])

    got = parse(await first)

    after = [each for each in await read_all(log.store, "s") if each.seq > min(cursor, 9)]
    before = [each for each in await read_all(log.store, "s") if each.seq <= min(cursor, 9)]
    assert fold([*before, *after]).message() == fold([*before, *got]).message()
    assert after[-1].seq == got[-1].seq
    if cursor == 0:
        assert "abc" == got[6].json()["delta"]["text"]


def parse(frames: bytes) -> list[Entry]:
    """Read native frames back, by hand."""
    entries = []
    for frame in frames.split(b"\n\n")[:-1]:
        fields = dict(line.split(b": ", 1) for line in frame.split(b"\n"))
        entries.append(Entry(int(fields[b"id"].split(b".")[1]), 0.0, fields[b"event"].decode(), fields[b"data"]))
    return entries


@pytest.mark.parametrize("merged", [False, True])
@pytest.mark.parametrize("wire, options", VIEWS, ids=lambda value: getattr(value, "name", ""))
async def test_without_following_the_end_is_where_the_log_stood(wire: Wire, options: Options, merged: bool) -> None:
    """`follow=0` gives what is there, ends there though the log grows on, and ends well-formed."""
    log = await Log.begin()
    events = block_events("abc")
    await log.grow(*events[:7])
    expected = await log.frames(wire, options)
    reader = log.reader(wire, options, follow=False, merged=merged)
    await log.grow(*events[7:])

    got = await all_of(reader)

    assert reader.ends_cleanly
    if not merged:
        assert expected == got
    elif wire.name == "text":
        assert b"ab" == got


async def test_a_heartbeat_comes_only_while_nothing_else_does() -> None:
    """A comment keeps the connection alive; where there is an event, no comment."""
    log = await Log.begin()
    native = registry.wire("native")
    reader = log.reader(native, seq=1)
    waiting = asyncio.create_task(reader.read())
    await ManualClock().settle()
    reader.beat()
    first = await waiting
    reader.beat()
    await log.grow(block_events("a")[0])
    second = await reader.read()
    waiting = asyncio.create_task(reader.read())
    await ManualClock().settle()

    assert native.heartbeat == first
    assert second is not None
    assert second.startswith(b"id: e.2")
    assert not waiting.done()
    waiting.cancel()
    await asyncio.wait([waiting])
    assert set() == log.tail._waiters


@pytest.mark.parametrize(
    "ending, clean", [("stream.completed", True), ("stream.failed", False), ("stream.cancelled", False)]
)
async def test_a_wire_without_a_word_for_failure_ends_cleanly_only_after_success(ending: str, clean: bool) -> None:
    """I12: plain text that merely ends would be taken for a whole answer."""
    log = await Log.begin()
    reader = log.reader(registry.wire("text"))
    before = reader.ends_cleanly
    if ending == "stream.cancelled":
        await log.grow(event(CANCEL_REQUESTED, {}))
    await log.grow(event(ending, {}))

    assert b"" == await all_of(reader)
    assert (False, clean) == (before, reader.ends_cleanly)


async def test_a_log_that_cannot_be_read_is_said_so() -> None:
    """I2: a reader is never given less than the log without being told."""
    log = await Log.begin()
    for each in block_events("abc", WINDOW_BYTES):
        await log.grow(each)
    reader = log.reader(registry.wire("native"))
    log.store._logs["s"].entries.clear()

    with pytest.raises(StoreUnavailable):
        await reader.read()


class Join(int):
    """A reader joins with a cursor that far back."""


class Drop(int):
    """A reader leaves and comes back with its cursor."""


ACTIONS = st.lists(
    st.one_of(
        st.integers(1, 4),
        st.integers(0, 30).map(Join),
        st.integers(0, 5).map(Drop),
    ),
    max_size=40,
)


@settings(max_examples=60, deadline=None)
@given(actions=ACTIONS, size=st.sampled_from([0, 3000, WINDOW_BYTES]), view=st.sampled_from(VIEWS[:4]))
def test_whoever_joins_and_leaves_whenever_gets_the_logs_own_frames(
    actions: list[Any], size: int, view: tuple[Wire, Options]
) -> None:
    """I4, I5: pieces of the answer, readers that join and drop, in any order: each reader's bytes are the log's."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        runner.run(play_out(actions, size, *view))


async def play_out(actions: list[Any], size: int, wire: Wire, options: Options) -> None:
    log = await Log.begin()
    events = block_events("abcdefghijklmnop", size)
    readers: list[tuple[int, Subscription, list[bytes]]] = []
    tasks: list[asyncio.Task[None]] = []

    async def follow(reader: Subscription, got: list[bytes]) -> None:
        while (chunk := await reader.read()) is not None:
            got.append(chunk)

    def join(seq: int, got: list[bytes], first: int) -> None:
        reader = log.reader(wire, options, seq=seq)
        readers.append((first, reader, got))
        tasks.append(asyncio.create_task(follow(reader, got)))

    for action in actions:
        if isinstance(action, Join):
            seq = max(0, log.tail.seq - action)
            join(seq, [], seq)
        elif isinstance(action, Drop):
            if action < len(tasks) and not tasks[action].done():
                tasks[action].cancel()
                await asyncio.wait([tasks[action]])
                first, reader, got = readers[action]
                join(reader.seq, got, first)
        else:
            await log.grow(*events[:action]) if events else None
            events = events[action:]
        for _ in range(action % 3):
            await asyncio.sleep(0)
    if events:
        await log.grow(*events)
    await asyncio.gather(*tasks, return_exceptions=True)

    frames: dict[int, bytes] = {}
    for first, _, got in readers:
        frames.setdefault(first, await log.frames(wire, options, after=first))
        assert frames[first] == b"".join(got)


def test_a_reader_without_a_cursor_begins_at_the_beginning() -> None:
    """I13: what was accepted is the first thing to see."""
    assert 0 == START.seq
