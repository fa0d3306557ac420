"""
Encode an answer as the event stream of the Messages API, byte for byte in its manner.

The recorded streams are followed in what a parser must not stumble over: `event:` and `data:` lines, padding of up to
15 spaces inside the JSON before its last brace, and pings whose JSON is spaced differently.

Pure: no I/O, no clock; the randomness comes in as an argument.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from random import Random
from typing import Any, Final

import msgspec

from streamkeep.simulator.answer import Answer, Block, head
from streamkeep.simulator.refusals import error_body

MAX_PADDING: Final = 15
"""Spaces at most before the last brace; 0 to 15 are found in recordings, all about as often."""

PING_EVERY: Final = (150, 400)
"""Deltas between two pings, at least and at most: a stream of ordinary length has one to three."""

_encode: Final = msgspec.json.Encoder().encode


@dataclass(frozen=True, slots=True)
class Event:
    """
    One event as it is sent.

    Attributes:
        frame: its bytes, blank line included.
        tokens: what it takes of the model's time.
    """

    frame: bytes
    tokens: int = 0


PING: Final = Event(b'event: ping\ndata: {"type": "ping"}\n\n')
"""A sign of life."""


def error(kind: str, message: str) -> Event:
    """
    Return an `error` event.
    """
    return Event(b"event: error\ndata: " + _encode(error_body(kind, message)) + b"\n\n")


def events(answer: Answer, random: Random) -> Iterator[Event]:
    """
    Yield the events of an answer, in order.

    Args:
        answer: what is to be sent.
        random: where padding and pings come from; the same state gives the same bytes.
    """
    yield _event("message_start", {"message": head(answer)}, random)
    if not answer.blocks:
        yield PING
    until_ping = 0
    for index, block in enumerate(answer.blocks):
        for event in _block(index, block, random):
            yield event
            until_ping -= 1
            if until_ping < 0:
                yield PING
                until_ping = random.randint(*PING_EVERY)
    usage = {name: value for name, value in answer.input_usage.items() if name != "cache_creation"}
    ending = {"delta": answer.ending(), "usage": usage | answer.output_usage()}
    yield _event("message_delta", ending, random)
    yield _event("message_stop", {}, random)


def _block(index: int, block: Block, random: Random) -> Iterator[Event]:
    yield _event("content_block_start", {"index": index, "content_block": block.opening}, random)
    for delta in block.deltas:
        yield _event("content_block_delta", {"index": index, "delta": delta.payload}, random, delta.tokens)
    if block.closed:
        yield _event("content_block_stop", {"index": index}, random)


def _event(name: str, members: Mapping[str, Any], random: Random, tokens: int = 0) -> Event:
    data = _encode({"type": name, **members})
    padding = b" " * random.randint(0, MAX_PADDING)
    return Event(b"event: %s\ndata: %s%s}\n\n" % (name.encode(), data[:-1], padding), tokens)
