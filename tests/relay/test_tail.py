"""The end of a log, kept once for all its readers."""

import asyncio
from typing import Any

import pytest

from streamkeep import registry
from streamkeep.cursor import Cursor
from streamkeep.entry import ACCEPTED, COMPLETED, Entry, event
from streamkeep.errors import CursorAhead, CursorForeign
from streamkeep.lifecycle import State
from streamkeep.relay.tail import WINDOW_BYTES, Tail
from streamkeep.stores.base import Head, Record
from streamkeep.wire.base import Options
from streamkeep.wire.native import NativeEncoder

pytestmark = pytest.mark.anyio

NATIVE = registry.wire("native")
RECORD = Record(id="s", created_at=0.0, provider="p", model="m", fingerprint="f")


def tail_at(seq: int = 1, **members: Any) -> Tail:
    window = [Entry(number, 0.0, "x" if number > 1 else ACCEPTED, b"{}") for number in range(1, seq + 1)]
    head: dict[str, Any] = {"record": RECORD, "seq": seq, "state": State.OPEN, "epochs": ((1, "a"),), **members}
    return Tail(Head(**head), window)


def entry(seq: int, size: int = 10, name: str = "x") -> Entry:
    return Entry(seq, float(seq), name, b"." * size)


async def test_the_window_stays_small_however_long_the_stream() -> None:
    """I4, I10: a hundred thousand events leave no more in memory than the newest of them."""
    tail = tail_at()
    feed = tail.adopt(NATIVE, Options(), NativeEncoder(), 1)
    for seq in range(2, 100_002):
        tail.extend([entry(seq, 150)])
        if seq % 7 == 0:
            feed.after(seq - 1)

    window = tail.since(tail.first - 1)
    assert window is not None
    assert sum(len(each.data) for each in window) <= 2 * WINDOW_BYTES
    assert len(window) <= 2 * WINDOW_BYTES / 150
    assert len(feed._frames) <= len(window)
    assert 100_001 == tail.seq


async def test_an_entry_larger_than_the_window_is_kept_as_the_only_one() -> None:
    """The newest entry is always at hand."""
    tail = tail_at()

    tail.extend([entry(2, 3 * WINDOW_BYTES)])
    tail.extend([entry(3, 3 * WINDOW_BYTES)])

    assert (3, [entry(3, 3 * WINDOW_BYTES)]) == (tail.first, tail.since(2))


async def test_what_lies_before_the_window_is_not_made_up() -> None:
    """I2: a reader from before the window is sent to the store."""
    tail = tail_at()
    for seq in range(2, 6):
        tail.extend([entry(seq, WINDOW_BYTES)])

    assert None is tail.since(tail.first - 2)
    assert [] == tail.since(tail.seq)
    assert list(range(tail.first, tail.seq + 1)) == [each.seq for each in tail.since(tail.first - 1) or ()]


async def test_a_tail_without_a_window_begins_behind_the_log() -> None:
    """I2: nothing is at hand, so the first entry that is will be the next."""
    tail = Tail(Head(record=RECORD, seq=7, state=State.OPEN, epochs=((1, "a"),)))

    before = (tail.first, tail.since(6), tail.since(7))
    tail.extend([entry(8)])

    assert (8, None, []) == before
    assert [entry(8)] == tail.since(7)


async def test_the_head_follows_the_entries() -> None:
    """I3: state, end and ending are those of the last entry."""
    tail = tail_at()
    tail.extend([Entry(2, 9.0, *event(COMPLETED, {"a": 1}))])

    head = tail.head

    assert (State.COMPLETED, 2, 9.0, b'{"a":1}') == (head.state, head.seq, head.ended_at, head.ending)
    assert "s" == tail.id


async def test_an_entry_keeps_the_epoch_it_was_written_in() -> None:
    """I7: a cursor names the writer of its entry, so an old one stays good after a take-over."""
    tail = tail_at(5)
    tail.epochs = [(1, "a"), (4, "b")]

    assert ["a", "a", "a", "b", "b"] == [tail.epoch(seq) for seq in range(1, 6)]
    tail.check(Cursor("a", 3))
    tail.check(Cursor("b", 5))
    with pytest.raises(CursorAhead):
        tail.check(Cursor("a", 4))
    with pytest.raises(CursorForeign):
        tail.check(Cursor("c", 1))


async def test_all_readers_get_the_same_frames_encoded_once() -> None:
    """I5: a thousand readers of one wire cost one encoding."""
    encoded: list[int] = []

    class Counting(NativeEncoder):
        def encode(self, entry: Entry, epoch: str) -> bytes:
            encoded.append(entry.seq)
            return super().encode(entry, epoch)

    tail = tail_at()
    tail.adopt(NATIVE, Options(), Counting(), 1)
    tail.extend([entry(2), entry(3), entry(4)])

    feeds = [tail.feed(NATIVE, Options()) for _ in range(1000)]
    frames = {feed.after(1) for feed in feeds if feed is not None}

    assert ([2, 3, 4], 1) == (encoded, len(frames))
    assert {b"".join(NativeEncoder().encode(entry(seq), "a") for seq in (2, 3, 4))} == frames


async def test_frames_before_a_feed_are_none_of_its() -> None:
    """A feed that began later says so instead of giving less."""
    tail = tail_at(5)
    feed = tail.adopt(NATIVE, Options(), NativeEncoder(), 3)

    assert (None, b"") == (feed.after(2), feed.after(5))
    assert None is tail.feed(NATIVE, Options(hide_thinking=True))


async def test_a_feed_that_fell_behind_the_window_is_not_used() -> None:
    """I5: an encoder that missed entries would give other frames than those of the log."""
    tail = tail_at()
    tail.adopt(NATIVE, Options(), NativeEncoder(), 1)
    for seq in range(2, 12):
        tail.extend([entry(seq, WINDOW_BYTES // 2)])

    assert None is tail.feed(NATIVE, Options())


async def test_who_waits_is_woken_and_who_left_is_forgotten() -> None:
    """I4: a reader is a future in a set while it waits, and nothing else."""
    tail = tail_at()
    waiting = [asyncio.create_task(tail.wait()) for _ in range(3)]
    await asyncio.sleep(0)
    waiting[0].cancel()
    alone = tail.waiter()
    dropped = tail.waiter()
    tail.forget(dropped)
    alone.set_result(None)
    await asyncio.wait(waiting[:1])

    tail.extend([entry(2)])
    await asyncio.wait(waiting)

    assert [True, False, False] == [task.cancelled() for task in waiting]
    assert not dropped.done()
    assert set() == tail._waiters


async def test_a_follower_that_fails_harms_nobody_else(caplog: pytest.LogCaptureFixture) -> None:
    """I4: whatever happens while one reader is written to, the log goes on and the others get theirs."""
    tail = tail_at()
    seen: list[int] = []

    def fail() -> None:
        raise RuntimeError("the handler is closed")

    tail.follow(fail)
    tail.follow(lambda: seen.append(tail.seq))
    tail.extend([entry(2)])
    tail.unfollow(fail)
    tail.extend([entry(3)])

    assert [2, 3] == seen
    assert "a reader failed" in caplog.text


async def test_waiters_are_called_when_the_log_has_grown() -> None:
    """A reader that waits is woken once; one that follows is called each time."""
    tail = tail_at()
    waiter = tail.waiter()
    tail.extend([entry(2)])

    assert waiter.done()
