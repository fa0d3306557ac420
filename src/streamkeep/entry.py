"""
Give the log its words: the entry, its names, and the views of the relay's own entries.

Pure: no I/O, no clock.

Laws
    1. `data` of a provider's event is the very JSON the provider sent, byte for byte; it is decoded on demand only.
    2. The relay's own names begin with `stream.`; no provider's do.
    3. `seq` is 1, 2, 3 … without gaps, `at` is the writer's wall clock.
"""

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import msgspec

ACCEPTED: Final = "stream.accepted"
"""First entry of every log: the request was taken (I13)."""
ATTEMPT: Final = "stream.attempt"
"""One call upstream begins: which, where to, why."""
SEAM: Final = "stream.seam"
"""A later attempt goes on from here, or starts again after `rewind_to`."""
CANCEL_REQUESTED: Final = "stream.cancel_requested"
"""Somebody asked to stop; may come from any node (I14)."""
COMPLETED: Final = "stream.completed"
"""The ending of an answer that its provider finished."""
FAILED: Final = "stream.failed"
"""The ending of an answer that broke; what came before is kept."""
CANCELLED: Final = "stream.cancelled"
"""The ending of an answer that was stopped."""

TERMINALS: Final = frozenset({COMPLETED, FAILED, CANCELLED})
"""The names one of which is the last entry of an ended log (I3)."""

OWN: Final = frozenset({ACCEPTED, ATTEMPT, SEAM, CANCEL_REQUESTED}) | TERMINALS
"""All names of the relay's own entries; only they change a stream's state."""

VISIBLE: Final = frozenset({"content_block_delta", "content_block_stop", "message_delta", "message_stop"})
"""Provider events that show something: before the first of them a break can be retried unseen."""


class Event(NamedTuple):
    """What happened, before the log has numbered it."""

    name: str
    """The event's name, in the vocabulary of the Messages API or `stream.…`."""
    data: bytes
    """Its JSON, one line."""


class Entry(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """One event in a log."""

    seq: int
    """Position, from 1."""
    at: float
    """Seconds since the Unix epoch when it was accepted, by the writer's clock; not monotonic."""
    name: str
    """The event's name."""
    data: bytes
    """Its JSON, one line, unchanged."""

    def json(self) -> dict[str, Any]:
        """
        Decode `data`.

        Raises:
            msgspec.DecodeError: The provider sent something that is no JSON object, or one nested beyond reason.
        """
        try:
            return _decode_object(self.data)
        except _UNNAMED as error:
            raise msgspec.DecodeError(f"The data of entry {self.seq} cannot be decoded: {error}") from error

    def text(self) -> str:
        """Give the text that this entry adds to the answer; an event that is no text, whatever it is, adds none."""
        if self.name not in _TEXT_EVENTS:
            return ""
        try:
            event = _decode_text(self.data)
        except (ValueError, RecursionError):
            return ""
        if event.delta is not None:
            return event.delta.text if event.delta.type == "text_delta" else ""
        return (
            event.content_block.text if event.content_block is not None and event.content_block.type == "text" else ""
        )


def pack(entries: Sequence[Entry]) -> bytes:
    """Join entries into one block of bytes for storage (MessagePack, arrays)."""
    return _encode_block(entries)


def unpack(block: bytes) -> list[Entry]:
    """
    Take a block apart again.

    Raises:
        msgspec.DecodeError: The block is damaged.
    """
    try:
        return _decode_block(block)
    except _UNNAMED as error:
        raise msgspec.DecodeError(f"A block of the log cannot be decoded: {error}") from error


def event(name: str, data: dict[str, Any]) -> Event:
    """Make one of the relay's own events; members that are None are left out."""
    return Event(name, _encode_json({key: value for key, value in data.items() if value is not None}))


_UNNAMED = (
    UnicodeDecodeError,
    RecursionError,
)  # what msgspec lets through of text that is no UTF-8 and of deep nesting


class _Piece(msgspec.Struct):
    type: str = ""
    text: str = ""


class _TextEvent(msgspec.Struct):
    delta: _Piece | None = None
    content_block: _Piece | None = None


_TEXT_EVENTS = frozenset({"content_block_start", "content_block_delta"})
_decode_text = msgspec.json.Decoder(_TextEvent).decode
_decode_object = msgspec.json.Decoder(dict[str, Any]).decode
_encode_json = msgspec.json.Encoder().encode
_encode_block = msgspec.msgpack.Encoder().encode
_decode_block = msgspec.msgpack.Decoder(list[Entry]).decode
