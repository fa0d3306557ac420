"""
Invariant: however a body is cut, the decoder gives the same messages and the same refusal, and raises nothing else.

    python fuzz/sse.py                 with atheris installed: coverage-guided, its own flags apply
    python fuzz/sse.py --seconds 30    without: random bodies from the format's own words, seeded and repeatable
    python fuzz/sse.py body.bin        one body again

The first byte of an input chooses limits, the second the size of the pieces; the rest is the body.
"""

from collections.abc import Iterable

from running import run

from streamkeep.errors import SseError
from streamkeep.sse import Decoder, SseMessage, encode

WORDS = [b"data", b"event", b"id", b"retry", b": ", b":", b" ", b"\n", b"\r", b"\r\n", b"\n\n", b"\0", b"\xef\xbb\xbf"]
WORDS += [
    b"data: x\n\n",
    b"event: ping\n",
    b"id: a.1\n",
    b"retry: 9\n",
    b"\xe2\x80\xa8",
    b"\xf0\x9f",
    b"\xff",
    b"0",
    b"x",
]

Result = tuple[list[SseMessage], str | None, int | None, str]


def check(data: bytes) -> None:
    """Hold one input to the invariant."""
    limits, size, body = data[:1] or b"\0", data[1:2] or b"\1", data[2:]
    line, message = (64, 64) if limits[0] < 128 else (limits[0] % 16, limits[0] // 16 % 8)
    step = size[0] % 7 + 1
    whole = decode([body], line, message)
    pieces = decode([body[start : start + step] for start in range(0, len(body), step)], line, message)
    assert whole == pieces, (whole, pieces)
    for given in whole[0]:
        check_message(given)


def check_message(given: SseMessage) -> None:
    """Hold one message to what every message is, and to surviving another trip."""
    assert given.data.decode().encode() == given.data
    assert b"\r" not in given.data
    assert "\0" not in given.id
    if "\0" not in given.event:
        again = Decoder().feed(encode(given.data, event=given.event, id=given.id))
        assert [given] == again, (given, again)


def decode(chunks: Iterable[bytes], max_line: int, max_message: int) -> Result:
    """Feed a decoder to the end or to its refusal."""
    decoder = Decoder(max_line=max_line, max_message=max_message)
    messages: list[SseMessage] = []
    error = None
    try:
        for chunk in [*chunks, b""]:
            messages += decoder.feed(chunk)
    except SseError as refusal:
        error = refusal.code
    return messages, error, decoder.retry, decoder.last_event_id


if __name__ == "__main__":
    run(check, WORDS, choices=2)
