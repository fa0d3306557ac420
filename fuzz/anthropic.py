"""
Invariant: however a body of the Messages API is made and cut, the parser gives the same events and the same failure,
raises nothing, and logs nothing that a wire could not frame.

    python fuzz/anthropic.py                 with atheris installed: coverage-guided, its own flags apply
    python fuzz/anthropic.py --seconds 30    without: random bodies from the API's own words, seeded and repeatable
    python fuzz/anthropic.py body.bin        one body again

The first byte of an input chooses the size of the pieces; the rest is the body.
"""

import json

from running import run

from streamkeep import registry
from streamkeep.entry import Entry, Event
from streamkeep.providers.base import MAX_DETAIL_CHARACTERS, is_event_name
from streamkeep.sse import Decoder
from streamkeep.wire.base import Options

TYPES = ["message_start", "content_block_start", "content_block_delta", "content_block_stop", "message_delta"]
TYPES += ["message_stop", "ping", "error", "new_event", "stream.completed"]

WORDS = [b"event: %b\ndata: " % name.encode() for name in TYPES]
WORDS += [b'{"type":"%b"' % name.encode() for name in TYPES]
WORDS += [
    b"\n\n",
    b"\n",
    b"}",
    b"}\n\n",
    b"{",
    b"[",
    b"]",
    b",",
    b'"',
    b"\\",
    b"\\ud800",
    b"5",
    b"1e999",
    b"null",
    b"\xff",
]
WORDS += [b',"index":0', b',"index":1', b',"index":-1', b',"index":"x"', b',"content_block":{"type":"thinking"}']
WORDS += [b',"content_block":{"type":"text","text":"a"}', b',"delta":{"type":"text_delta","text":"\xc3\xa9"}']
WORDS += [b',"error":{"type":"overloaded_error","message":"m"}', b',"error":"m"', b',"message":{}', b"\ndata: "]

FRAME = (
    b'event: %b\ndata: {"type":"%b","index":%d,"content_block":{"type":"thinking"},"delta":{"type":"text_delta"}}\n\n'
)
WORDS += [FRAME % (name.encode(), name.encode(), index) for name in TYPES for index in (0, 1)]

PROVIDER = registry.provider("anthropic")

WIRES = [registry.wire(name) for name in registry.names("wire")]

Result = tuple[list[Event], bool, str | None]


def check(data: bytes) -> None:
    """Hold one input to the invariant."""
    step, body = (data[:1] or b"\1")[0] % 7 + 1, data[1:]
    whole = parse([body])
    pieces = parse([body[start : start + step] for start in range(0, len(body), step)])
    assert whole == pieces, (whole, pieces)
    for name, payload in whole[0]:
        assert is_event_name(name), name
        assert b"\n" not in payload, payload
        assert isinstance(json.loads(payload), dict), payload
    check_wires(whole[0])
    failure = PROVIDER.failure(500, {"retry-after": body[:40].decode("latin-1"), "date": "x"}, body)
    assert len(failure.detail) <= MAX_DETAIL_CHARACTERS


def parse(chunks: list[bytes]) -> Result:
    """Read a body."""
    decoder, parser = Decoder(), PROVIDER.parser()
    events = [event for chunk in chunks for event in parser.feed(decoder.feed(chunk))]
    assert not (parser.ended and parser.failure)
    return events, parser.ended, parser.failure and parser.failure.code


def check_wires(events: list[Event]) -> None:
    """Frame what was logged: one message an entry at most, whatever is in it."""
    log = [Entry(seq, 0.0, *event) for seq, event in enumerate(events, 1)]
    for wire in WIRES:
        for options in (Options(), Options(hide_thinking=True)):
            encoder = wire.encoder(options)
            frames = [encoder.encode(entry, "k") for entry in log]
            if wire.media_type.startswith("text/event-stream"):
                assert all(len(Decoder().feed(frame)) == bool(frame) for frame in frames), frames


if __name__ == "__main__":
    run(check, WORDS, choices=1)
