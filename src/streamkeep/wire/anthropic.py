"""
Tell readers what the Messages API would: the provider's events, and `error` where an answer broke.

Pure: no I/O, no clock.

Strategy
    The log's vocabulary is this API's, so its frames carry the entry's bytes. The relay's own entries are not shown:
    since October 2026 the SDKs hand unknown events to the application. The cursor rides in `id:`,
    which the SDKs ignore and which makes this wire resumable too.

    A failed or stopped answer ends with an `error` event, which every SDK raises. Without it the Python SDK takes
    a body that merely ends for a complete answer (anthropic 2.10.0).
"""

from typing import Any

import msgspec

from streamkeep import sse
from streamkeep.entry import CANCELLED, FAILED, Entry
from streamkeep.thinking import ThinkingFilter
from streamkeep.wire.base import Encoder, Options


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
            return _ending(entry)
        shown = entry if self._blocks is None else self._blocks.keep(entry)
        if shown is None:
            return b""
        return b"event: %b\nid: %b.%d\ndata: %b\n\n" % (entry.name.encode(), epoch.encode(), entry.seq, shown.data)


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


def _ending(entry: Entry) -> bytes:
    if entry.name == FAILED:
        error = entry.json()["error"]
        body = error_body(error.get("type", "api_error"), error["message"])
    elif entry.name == CANCELLED:
        body = error_body("api_error", "The answer was stopped before it was complete.")
    else:
        return b""
    return sse.encode(msgspec.json.encode(body), event="error")


WIRE = AnthropicWire()
