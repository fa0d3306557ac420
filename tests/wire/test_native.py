"""The native wire: its vectors, its checker, and recordings that come back byte for byte."""

import pytest

from streamkeep.entry import CANCELLED, COMPLETED, FAILED, Entry
from streamkeep.errors import IllegalField
from streamkeep.testing.check_wire import check_wire
from streamkeep.wire.base import Options
from streamkeep.wire.native import RETRY_MS, WIRE
from tests.recordings import Recording, anthropic_recordings
from tests.wire.logs import WireVector, frames, read, recorded_log, vectors

VECTORS = vectors("native")


@pytest.mark.parametrize("vector", VECTORS)
def test_a_log_gives_the_frames_of_its_vector(vector: WireVector) -> None:
    """I5: the bytes are fixed, for every implementation."""
    assert vector.frames == frames(WIRE, vector.log, vector.options, vector.epoch)
    if vector.ends_cleanly is not None:
        assert vector.ends_cleanly == WIRE.ends_cleanly(vector.log[-1].name)


def test_it_keeps_the_promises_of_a_wire() -> None:
    """I5, I12: what every wire promises, over the logs of the vectors and hostile ones."""
    check_wire(WIRE, [each.values[0].log for each in VECTORS])


@pytest.mark.parametrize("recording", anthropic_recordings(), ids=str)
def test_a_recorded_answer_arrives_byte_for_byte(recording: Recording) -> None:
    """I2, I5: every entry arrives with its name, its bytes and its cursor, a resume as the exact suffix."""
    log = recorded_log(recording)
    sent = frames(WIRE, log, Options())

    messages = read(WIRE.opening + WIRE.heartbeat.join(sent))

    assert [(each.name, each.data, f"k3f7x2.{each.seq}") for each in log] == [tuple(each) for each in messages]
    middle = len(log) // 2
    assert sent[middle:] == frames(WIRE, log[middle:], Options())


@pytest.mark.parametrize("recording", anthropic_recordings(), ids=str)
def test_hidden_thinking_is_gone_and_nothing_else(recording: Recording) -> None:
    """What remains keeps its bytes and its index; no thinking is among it."""
    log = recorded_log(recording)

    shown = read(b"".join(frames(WIRE, log, Options(hide_thinking=True))))

    everything = read(b"".join(frames(WIRE, log, Options())))
    thinking = (b'"thinking"', b'"redacted_thinking"', b'"thinking_delta"', b'"signature_delta"')
    assert [each for each in everything if each in shown] == shown
    assert [] == [each for each in shown if any(word in each.data for word in thinking)]
    assert len(everything) - len(shown) == _events_of_hidden_blocks(log)


def _events_of_hidden_blocks(log: list[Entry]) -> int:
    """Count them the slow way: blocks by their start, events by their index."""
    events = [each.json() for each in log if each.name.startswith("content_block_")]
    starts = [each for each in events if "content_block" in each]
    hidden = {each["index"] for each in starts if each["content_block"]["type"] in ("thinking", "redacted_thinking")}
    return sum(each["index"] in hidden for each in events)


def test_the_first_frame_asks_for_a_quick_reconnect() -> None:
    """An EventSource waits some seconds by default; the reconnection time rides in the first entry's frame."""
    first, second = frames(WIRE, [Entry(1, 0.0, "stream.accepted", b"{}"), Entry(2, 0.0, "x", b"{}")], Options())

    assert b"retry: %d\nid: k3f7x2.1\nevent: stream.accepted\ndata: {}\n\n" % RETRY_MS == first
    assert b"id: k3f7x2.2\nevent: x\ndata: {}\n\n" == second


def test_every_ending_ends_the_body_well_formed() -> None:
    """I12: each has an event of its own, so no client can take one for another."""
    assert all(WIRE.ends_cleanly(ending) for ending in (COMPLETED, FAILED, CANCELLED))


def test_a_name_that_would_break_the_frame_is_refused() -> None:
    """No provider gives such a name; a log that holds one all the same cannot smuggle in a message."""
    with pytest.raises(IllegalField):
        frames(WIRE, [Entry(1, 0.0, "a\nevent: b", b"{}")], Options())
