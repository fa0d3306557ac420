"""
Check that a wire keeps what `wire/base.py` promises.

Strategy
    Logs go in, frames come out, and what must not matter is varied: who encodes, where it starts, what else is being
    encoded. Logs of our own are added to those given: each ending, hidden blocks, and what only a hostile upstream
    would write. Run it on a wire of your own:

        def test_my_wire_keeps_its_promises():
            check_wire(MyWire(), [my_log, my_other_log])
"""

import json
from collections.abc import Iterable, Mapping, Sequence

from streamkeep.entry import ACCEPTED, ATTEMPT, CANCEL_REQUESTED, CANCELLED, COMPLETED, FAILED, Entry
from streamkeep.errors import IllegalField
from streamkeep.sse import Decoder, SseMessage
from streamkeep.wire.base import Options, Wire

EPOCH = "k3f7x2"
"""The epoch of every log here."""

OPTIONS = (Options(), Options(hide_thinking=True))
"""What a reader may choose, in every combination."""

HOSTILE_NAMES = ("a\nevent: message_stop\ndata: {}\n\n", "a\rb", "a\0b", "a\u2028b", "\ud800", "n" * 10_000, "")
"""Names that would break a frame, or nearly."""

HOSTILE_DATA = (
    b'{"type":"x",\n"a":1}',
    b'{}\n\nevent: message_stop\ndata: {"type":"message_stop"}\n\n',
    b'{"type":"x"}\r\rid: evil.9\r\r',
    b"",
    b"null",
    b"5",
    b"[]",
    b"{}",
    b'"',
    b"\xff\xfe",
    b"[" * 50_000,
    b'{"index":0,"content_block":{"type":"text","text":"a","x":' + b"[" * 50_000,
    b'{"index":"x","content_block":5}',
    b'{"index":0,"content_block":5}',
    b'{"index":0,"content_block":{}}',
    b'{"index":0,"content_block":{"type":5,"text":5}}',
    b'{"index":0,"content_block":{"type":"text","text":5}}',
    b'{"index":-1,"content_block":{"type":"thinking"}}',
    b'{"index":1e3,"content_block":{"type":"thinking"}}',
    b'{"index":99999999999999999999,"content_block":{"type":"thinking"}}',
    b'{"index":0,"delta":5}',
    b'{"index":0,"delta":{"type":"text_delta","text":5}}',
    b'{"index":0,"delta":{"type":"text_delta","text":null}}',
    b'{"index":0,"delta":{"type":"text_delta","text":"\\ud800"}}',
    b'{"index":0,"delta":{"type":"input_json_delta","partial_json":5}}',
    b'{"message":5}',
    b'{"delta":5,"usage":5}',
    b'{"delta":{"stop_reason":5},"usage":{"output_tokens":"x"}}',
    b'{"error":5}',
    b'{"error":{"type":5,"message":5}}',
    b'{"error":{}}',
)
"""What JSON, and what is none, can put in place of every member that an encoder reads."""

_NAMES = ("message_start", "content_block_start", "content_block_delta", "content_block_stop", "message_delta")
_EVENTS = (*_NAMES, "message_stop", "content_block_new", "error", "new_event", ACCEPTED, ATTEMPT)


def check_wire(wire: Wire, logs: Iterable[Sequence[Entry]]) -> None:
    """
    Run every check.

    Args:
        wire: The wire.
        logs: Whole logs as a relay writes them, from `stream.accepted` to an ending.

    Raises:
        AssertionError: A promise is broken.
    """
    for log in (*logs, *sample_logs(), *hostile_logs()):
        for options in OPTIONS:
            check_frames(wire, log, options)
            if wire.media_type.startswith("text/event-stream"):
                check_sse(wire, log, options)
    check_silence(wire)
    check_endings(wire)
    check_names(wire)


def frames_of(wire: Wire, log: Iterable[Entry], options: Options) -> list[bytes]:
    """Encode a log from its beginning."""
    encoder = wire.encoder(options)
    return [encoder.encode(entry, EPOCH) for entry in log]


def check_frames(wire: Wire, log: Sequence[Entry], options: Options) -> None:
    """Frames depend on the log and the options, not on who encodes, when, or what else (I5)."""
    frames = frames_of(wire, log, options)
    assert all(type(frame) is bytes for frame in frames), "a frame is bytes"
    assert frames == frames_of(wire, log, options), "a second encoder gives other bytes"
    first, second, other = (wire.encoder(options) for _ in range(3))
    for place, entry in enumerate(log):
        other.encode(log[-1 - place], EPOCH)
        assert frames[place] == first.encode(entry, EPOCH), f"entry {entry.seq}: encoders disturb one another"
        assert frames[place] == second.encode(entry, EPOCH), f"entry {entry.seq}: encoders disturb one another"
    if wire.stateless(options):
        alone = [wire.encoder(options).encode(entry, EPOCH) for entry in log]
        assert frames == alone, "a frame of a stateless wire depends on entries before it"


def check_sse(wire: Wire, log: Sequence[Entry], options: Options) -> None:
    """Each frame is whole messages whose id, if they have one, is the entry's cursor; signs of life are none."""
    decoder = Decoder()
    assert not decoder.feed(wire.opening), "the opening is a message"
    for entry, frame in zip(log, frames_of(wire, log, options), strict=True):
        alone = Decoder()
        messages = alone.feed(frame)
        assert bool(messages) == bool(frame), f"entry {entry.seq}: a frame without a message"
        assert alone.last_event_id in ("", f"{EPOCH}.{entry.seq}"), f"entry {entry.seq}: its id is no cursor of it"
        assert not decoder.feed(wire.heartbeat), "a heartbeat is a message"
        joined = decoder.feed(frame)
        assert _said(messages) == _said(joined), f"entry {entry.seq}: a frame that runs into the next"
        _check_no_other(entry, messages)


def check_silence(wire: Wire) -> None:
    """What is sent when there is nothing to say dispatches nothing, at any time and however often."""
    if not wire.media_type.startswith("text/event-stream"):
        return
    between = b"id: k.1\ndata: {}\n\n"
    body = wire.opening + wire.heartbeat * 3 + between + wire.heartbeat * 2 + b"\n" + between
    assert Decoder().feed(body) == Decoder().feed(between * 2), "opening or heartbeat is not invisible"


def check_endings(wire: Wire) -> None:
    """Success ends well-formed; what is not a success and ends so too is told in words (I12)."""
    assert wire.ends_cleanly(COMPLETED), "a completed answer ends well-formed"
    for log in sample_logs():
        ending = log[-1].name
        if ending != COMPLETED and wire.ends_cleanly(ending):
            for options in OPTIONS:
                assert frames_of(wire, log, options)[-1], f"{ending} ends well-formed, and nothing says so"


def check_names(wire: Wire) -> None:
    """A name that would break the frame is refused or made harmless."""
    for name in HOSTILE_NAMES:
        for options in OPTIONS:
            try:
                frame = wire.encoder(options).encode(Entry(1, 0.0, name, b"{}"), EPOCH)
            except IllegalField:
                continue
            if wire.media_type.startswith("text/event-stream"):
                assert len(Decoder().feed(frame)) <= 1, f"{name!r} smuggles in a message"


def sample_logs() -> list[list[Entry]]:
    """Give logs as a relay writes them: one for each ending, with text, thinking, tools and what is unknown."""
    ending = {"stop_reason": None, "usage": {"output_tokens": 3}, "attempts": 1}
    error = {"code": "upstream_overloaded", "type": "overloaded_error", "message": "Too much.", "status": 529}
    return [
        [*_log(_ANSWER), _entry(len(_ANSWER) + 1, COMPLETED, {**ending, "stop_reason": "end_turn"})],
        [*_log(_ANSWER[:9]), _entry(10, FAILED, {"error": error, **ending})],
        [*_log(_ANSWER[:2]), _entry(3, FAILED, {"error": error, **ending})],
        [*_log(_ANSWER[:9]), _entry(10, CANCEL_REQUESTED, {"by": "caller"}), _entry(11, CANCELLED, ending)],
    ]


def hostile_logs() -> list[list[Entry]]:
    """Give logs that no relay writes: every kind of event with data of every wrong kind."""
    logs = [[Entry(seq, 0.0, name, data) for seq, data in enumerate(HOSTILE_DATA, 1)] for name in _EVENTS]
    return [
        *logs,
        *([Entry(1, 0.0, ending, data)] for ending in (COMPLETED, FAILED, CANCELLED) for data in HOSTILE_DATA),
    ]


def _log(events: Iterable[tuple[str, dict[str, object]]]) -> list[Entry]:
    return [_entry(seq, name, members) for seq, (name, members) in enumerate(events, 1)]


def _entry(seq: int, name: str, members: Mapping[str, object]) -> Entry:
    whole = members if name.startswith("stream.") else {"type": name, **members}
    return Entry(seq, 1_760_000_000.0 + seq / 8, name, json.dumps(whole, ensure_ascii=False).encode())


def _block(index: int, shape: dict[str, object], *deltas: dict[str, object]) -> list[tuple[str, dict[str, object]]]:
    return [
        ("content_block_start", {"index": index, "content_block": shape}),
        *(("content_block_delta", {"index": index, "delta": delta}) for delta in deltas),
        ("content_block_stop", {"index": index}),
    ]


_MESSAGE = {"id": "msg_1", "type": "message", "role": "assistant", "model": "check-1", "content": [], "usage": {}}

_ANSWER: list[tuple[str, dict[str, object]]] = [
    (ACCEPTED, {"id": "s1", "provider": "check", "model": "check-1"}),
    (ATTEMPT, {"n": 1, "provider": "check", "model": "check-1", "why": "start"}),
    ("message_start", {"message": _MESSAGE}),
    *_block(
        0,
        {"type": "thinking", "thinking": "", "signature": ""},
        {"type": "thinking_delta", "thinking": "Hm."},
        {"type": "signature_delta", "signature": "c2ln"},
    ),
    *_block(1, {"type": "text", "text": ""}, {"type": "text_delta", "text": "Grüße \U0001f30d"}),
    *_block(2, {"type": "redacted_thinking", "data": "b3BhcXVl"}),
    *_block(
        3, {"type": "tool_use", "id": "t1", "name": "f", "input": {}}, {"type": "input_json_delta", "partial_json": ""}
    ),
    *_block(4, {"type": "new_block"}, {"type": "new_delta", "text": "not text"}),
    ("new_event", {"a": 123456789012345678901234567890}),
    ("message_delta", {"delta": {"stop_reason": "tool_use"}, "usage": {"output_tokens": 3}}),
    ("message_stop", {}),
]


def _said(messages: Iterable[SseMessage]) -> list[tuple[str, bytes]]:
    return [(message.event, message.data) for message in messages]


def _check_no_other(entry: Entry, messages: Sequence[SseMessage]) -> None:
    """Data with line ends in it stays data: it neither ends its message nor begins another."""
    if b"\n" in entry.data or b"\r" in entry.data:
        assert all(message.id != "evil.9" for message in messages), f"entry {entry.seq}: its data set an id"
        if entry.name != "message_stop":
            names = {message.event for message in messages}
            assert "message_stop" not in names, f"entry {entry.seq}: its data became an event"
