"""A stream in the hand: events, text, message, stop."""

import asyncio
from typing import Any

import pytest

from streamkeep.entry import Entry
from streamkeep.errors import BadRequest, CursorForeign, StoreUnavailable
from streamkeep.relay.stream import rfc3339
from streamkeep.stores.base import MAX_READ_BYTES
from streamkeep.stores.memory import MemoryStore
from streamkeep.testing.fake_upstream import Fault
from tests.relay.scripted import CLOSING, OPENING, Maker, Script, Wait, delta, whole

pytestmark = pytest.mark.anyio


async def test_events_are_the_log_from_any_cursor_live_or_not(stage: Maker) -> None:
    """I2, I4: who follows and who comes later see the same entries."""
    opened = await stage(Script([OPENING, *[step for text in "abc" for step in (delta(text), Wait(1))], CLOSING]))
    stream = await opened.start()
    live = [entry async for entry in stream.events()]
    cursors = [str(entry.seq) for entry in live] + [f"{stream.head.cursor.epoch}.{entry.seq}" for entry in live]

    later = [[entry async for entry in stream.events(after=cursor)] for cursor in cursors]

    assert await opened.log(stream) == live
    assert [live[n:] for n in range(1, len(live) + 1)] * 2 == later


async def test_text_is_the_answers_text_piece_by_piece(stage: Maker) -> None:
    """Thinking and tools are no text; a block's opening text is."""
    opened = await stage(
        Script([OPENING.replace(b'"text":""', b'"text":"0"') + delta("a"), Wait(1), delta("b") + CLOSING])
    )
    stream = await opened.start()

    assert ["0", "a", "b"] == [piece async for piece in stream.text()]


async def test_a_message_is_given_as_far_as_it_got(stage: Maker) -> None:
    """I13: before the answer begins there is none; then the part; at the end the whole."""
    opened = await stage(Script([Wait(2), OPENING + delta("a"), Wait(2), delta("b") + CLOSING]))
    stream = await opened.start()

    messages = [await stream.message(wait_s=wait_s) for wait_s in (1, 2, None)]

    assert [None, "a", "ab"] == [message and message["content"][0]["text"] for message in messages]


async def test_the_end_is_waited_for_no_longer_than_asked(stage: Maker) -> None:
    """I10: a wait has its limit, and what is waited for goes on."""
    opened = await stage(Script([Wait(5), whole("a")]))
    stream = await opened.start()

    assert [False, True] == [await stream.ended(wait_s=4), await stream.ended(wait_s=2)]


async def test_a_malformed_log_can_be_looked_at(stage: Maker) -> None:
    """I2: a stream that failed over a malformed event is shown up to there."""
    opened = await stage(Script([OPENING + delta("a") + delta("lost", index=7) + delta("b") + CLOSING]))
    stream = await opened.run()

    message = await stream.message()

    assert message is not None
    assert "a" == message["content"][0]["text"]
    assert 0 == len(opened.relay.tails)


async def test_a_stream_as_json_says_what_it_knows(stage: Maker) -> None:
    """The members are there from the start; those of the ending are null until then."""
    opened = await stage(Script([OPENING + delta("a"), Wait(3), CLOSING]))
    stream = await opened.start(metadata={"user_id": "u", "team": 7})
    await opened.clock.advance(1)
    await stream.refresh()

    live = stream.json(await stream.fold())
    await stream.ended()
    ended = stream.json(await stream.fold())

    assert ("open", None, None, 1, None) == tuple(
        live[name] for name in ("state", "ended_at", "timing", "attempts", "stop_reason")
    )
    assert {"input_tokens": 3, "output_tokens": 1} == live["usage"]
    assert ("completed", "end_turn", 1, {"user_id": "u", "team": 7}) == tuple(
        ended[name] for name in ("state", "stop_reason", "attempts", "metadata")
    )
    assert {"ttft_ms": 0.0, "duration_ms": 3000.0, "output_tokens_per_s": 2.3} == ended["timing"]
    assert "message" not in stream.json()
    assert str(stream.head.cursor) == ended["cursor"]


@pytest.mark.parametrize("after, error", [("nonsense!", BadRequest), ("foreig.3", CursorForeign)])
async def test_a_cursor_of_another_history_is_refused(stage: Maker, after: str, error: Any) -> None:
    """I7: it is never silently read as something else."""
    opened = await stage(whole("a"))
    stream = await opened.run()

    with pytest.raises(error):
        async for _ in stream.events(after=after):
            pass


async def test_a_stop_gives_its_receipt(stage: Maker) -> None:
    """I14: when the upstream was closed, and when the log was sealed."""
    opened = await stage(Script([OPENING + delta("a"), Fault.HANG]))
    stream = await opened.start()
    await opened.clock.advance(1)

    receipt = await stream.cancel("a reader")

    assert ("cancelled", 0.0, stream.json()["ended_at"]) == (
        receipt["state"],
        receipt["upstream_closed_ms"],
        receipt["sealed_at"],
    )
    assert "a reader" == (await opened.ending(stream))["cancel"]["by"]


async def test_a_receipt_before_the_seal_says_what_is_so_far(stage: Maker) -> None:
    """I14: a stop whose sealing takes long is answered all the same."""
    opened = await stage(Script([OPENING + delta("a"), Fault.HANG]))
    stream = await opened.start()

    assert (None, None) == (stream.receipt()["upstream_closed_ms"], stream.receipt()["sealed_at"])


async def test_a_log_that_lost_entries_is_not_read_as_if_it_were_whole(stage: Maker) -> None:
    """I2: the reader is told that the log cannot be read on."""

    class Forgetful(MemoryStore):
        async def read(self, id: str, after: int, *, max_bytes: int = MAX_READ_BYTES) -> list[Entry]:
            return []

    opened = await stage(whole("a"), store=Forgetful())
    stream = await opened.run()

    with pytest.raises(StoreUnavailable):
        async for _ in stream.events():
            pass


async def test_readers_that_break_off_are_not_counted_for_ever(stage: Maker) -> None:
    """I6: who leaves in the middle of a loop has left."""
    opened = await stage(Script([OPENING + delta("a"), Fault.HANG]))
    stream = await opened.start()
    events = stream.events()
    await anext(events)
    watched = opened.relay.tails[stream.id].readers
    waiting = asyncio.create_task(stream.ended())
    await opened.clock.settle()
    waiting.cancel()
    await asyncio.wait([waiting])
    await events.aclose()

    assert (1, 0) == (watched, opened.relay.tails[stream.id].readers)


def test_times_are_rfc_3339() -> None:
    """In UTC, with milliseconds."""
    assert "1970-01-01T00:00:01.500Z" == rfc3339(1.5)
