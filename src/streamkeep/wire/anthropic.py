"""
Tell readers what the Messages API would: the provider's events, and `error` where an answer broke.

Pure: no I/O, no clock.

Strategy
    The log's vocabulary is this API's, so its frames carry the entry's bytes. The relay's own entries are not shown:
    since October 2026 the SDKs hand unknown events to the application. The cursor rides in `id:`,
    which the SDKs ignore and which makes this wire resumable too; it stands last, because some readers take the line
    after `event:` for the data.

    A failed or stopped answer ends with an `error` event, which every SDK raises. Without it the Python SDK takes
    a body that merely ends for a complete answer (anthropic 2.10.0).
"""

from typing import Any

import msgspec

from streamkeep import sse
from streamkeep.entry import CANCELLED, FAILED, Entry
from streamkeep.thinking import ThinkingFilter
from streamkeep.wire.base import Encoder, Options, is_one_line


class AnthropicEncoder:
    """
    Frames for the official SDKs.

    Args:
        blocks: Leaves blocks out, or None.
    """

    def __init__(self, blocks: ThinkingFilter | None) -> None:
        self._blocks = blocks

    def encode(self, entry: Entry, epoch: str) -> bytes:
        """Frame one entry; most of the relay's own have no frame."""
        if entry.name.startswith("stream."):
            error = _error(entry)
            return b"" if error is None else _frame(Entry(entry.seq, entry.at, "error", error), epoch)
        shown = entry if self._blocks is None else self._blocks.keep(entry)
        return b"" if shown is None else _frame(shown, epoch)


class AnthropicWire:
    """The dialect of `POST /v1/messages` with `stream: true`."""

    name = "anthropic"
    media_type = "text/event-stream; charset=utf-8"
    opening = sse.comment("streamkeep") + b"\n"
    heartbeat = sse.comment("heartbeat")

    def ends_cleanly(self, ending: str) -> bool:
        """The dialect has a word for failure, so the body always ends well-formed."""
        return True

    def stateless(self, options: Options) -> bool:
        """Tell whether a frame depends on its own entry alone."""
        return not options.hide_thinking

    def encoder(self, options: Options) -> Encoder:
        """Make an encoder for one log."""
        return AnthropicEncoder(ThinkingFilter(renumber=True) if options.hide_thinking else None)


def error_body(kind: str, message: str, request_id: str | None = None) -> dict[str, Any]:
    """Give an error in the vendor's shape; `kind` is its `error.type`."""
    body: dict[str, Any] = {"type": "error", "error": {"type": kind, "message": message}}
    return body if request_id is None else {**body, "request_id": request_id}


def _frame(entry: Entry, epoch: str) -> bytes:
    if not is_one_line(entry):
        message = sse.encode(entry.data, event=entry.name)
        return b"%bid: %b.%d\n\n" % (message[:-1], epoch.encode(), entry.seq)
    return b"event: %b\ndata: %b\nid: %b.%d\n\n" % (entry.name.encode(), entry.data, epoch.encode(), entry.seq)


def _error(entry: Entry) -> bytes | None:
    """Give what SDKs are told of an ending that is no success."""
    if entry.name == FAILED:
        try:
            error = _decode_failed(entry.data).error
        except (ValueError, RecursionError):
            error = _Error()
        body = error_body(error.type, error.message)
    elif entry.name == CANCELLED:
        body = error_body("api_error", "The answer was stopped before it was complete.")
    else:
        return None
    return msgspec.json.encode(body)


class _Error(msgspec.Struct):
    type: str = "api_error"
    message: str = "The answer broke before it was complete."


class _Failed(msgspec.Struct):
    error: _Error


_decode_failed = msgspec.json.Decoder(_Failed).decode

WIRE = AnthropicWire()
