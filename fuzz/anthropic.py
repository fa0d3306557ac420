"""
Invariant: however a body of the Messages API is made and cut, the parser gives the same events and the same failure,
raises nothing, and logs nothing that a wire could not frame.

    python fuzz/anthropic.py                 with atheris installed: coverage-guided, its own flags apply
    python fuzz/anthropic.py --seconds 30    without: random bodies from the API's own words, seeded and repeatable
    python fuzz/anthropic.py body.bin        one body again

The first byte of an input chooses the size of the pieces; the rest is the body.
"""

import argparse
import json
import random
import sys
import time
from pathlib import Path

from streamkeep import registry
from streamkeep.entry import Entry, Event
from streamkeep.providers.base import MAX_DETAIL_CHARACTERS, is_event_name
from streamkeep.sse import Decoder
from streamkeep.wire.base import Options

try:
    import atheris
except ModuleNotFoundError:
    atheris = None

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

MAX_WORDS = 60
"""Most words of a random body. Reason: the bugs of an event reader need few events; more would only be slower."""

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


def at_random(seconds: float, seed: int) -> int:
    """Check random bodies for a while and tell how many; a failing one is written out as hexadecimal."""
    source = random.Random(seed)
    until = time.monotonic() + seconds
    count = 0
    while time.monotonic() < until:
        data = source.randbytes(1) + b"".join(source.choices(WORDS, k=source.randrange(MAX_WORDS)))
        try:
            check(data)
        except Exception:
            sys.stderr.write(f"fails, seed {seed}, input {data.hex()}\n")
            raise
        count += 1
    return count


def main() -> None:
    """Run under atheris if it is there, else at random."""
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[1])
    parser.add_argument("--seconds", type=float, help="random inputs for so long, without atheris")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("inputs", nargs="*", type=Path)
    options, _ = parser.parse_known_args()
    for path in filter(Path.is_file, options.inputs):
        check(path.read_bytes())
    if options.seconds is None and atheris is not None:
        atheris.Setup(sys.argv, check)
        atheris.Fuzz()
    elif not options.inputs:
        count = at_random(options.seconds or 10.0, options.seed)
        sys.stdout.write(f"{count} bodies hold the invariant (seed {options.seed})\n")


if __name__ == "__main__":
    main()
