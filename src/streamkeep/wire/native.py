"""
Tell readers everything: one SSE message per entry, its bytes unchanged (PROTOCOL.md).

Pure: no I/O, no clock.

Strategy
    Decoders derived from httpx-sse dispatch an empty event at a blank line that follows a lone `retry:`, or a comment
    once an `id:` was seen. So the reconnection time rides in the first entry's frame, and a heartbeat is one line.
"""

from streamkeep import sse
from streamkeep.entry import Entry
from streamkeep.thinking import ThinkingFilter
from streamkeep.wire.base import Encoder, Options, is_one_line

RETRY_MS = 1000
"""Reconnection time asked of an EventSource, in ms; its own default is some seconds."""

_RETRY = sse.retry(RETRY_MS)


class NativeEncoder:
    """Frames as the log has them: `id: <epoch>.<seq>`, `event:` the name, `data:` the entry's bytes."""

    def encode(self, entry: Entry, epoch: str) -> bytes:
        """Frame one entry; the first also asks an EventSource to come back soon."""
        if is_one_line(entry):
            name, data = entry.name.encode(), entry.data
            frame = b"id: %b.%d\nevent: %b\ndata: %b\n\n" % (epoch.encode(), entry.seq, name, data)
        else:
            frame = sse.encode(entry.data, event=entry.name, id=f"{epoch}.{entry.seq}")
        return _RETRY + frame if entry.seq == 1 else frame


class _WithoutThinking:
    def __init__(self, encoder: Encoder) -> None:
        self._encoder = encoder
        self._filter = ThinkingFilter(renumber=False)

    def encode(self, entry: Entry, epoch: str) -> bytes:
        kept = self._filter.keep(entry)
        return b"" if kept is None else self._encoder.encode(kept, epoch)


class Native:
    """Our own wire; resumable from every entry."""

    name = "native"
    media_type = "text/event-stream; charset=utf-8"
    opening = sse.comment("streamkeep") + b"\n"
    heartbeat = sse.comment("heartbeat")

    def ends_cleanly(self, ending: str) -> bool:
        """Every ending has its own event, so the body always ends well-formed."""
        return True

    def stateless(self, options: Options) -> bool:
        """Tell whether a frame depends on its own entry alone."""
        return not options.hide_thinking

    def encoder(self, options: Options) -> Encoder:
        """Make an encoder for one log."""
        return _WithoutThinking(NativeEncoder()) if options.hide_thinking else NativeEncoder()


WIRE = Native()
