"""
Say what a wire is: how one dialect of readers is told what the log holds.

Pure: no I/O, no clock.

Laws
    1. Frames are a function of the log's prefix and the options: two readers of one wire get the same bytes for
       entry k, and a resume is an exact suffix (I5).
    2. A frame belongs to one entry; an entry may have an empty frame.
    3. No JSON makes an encoder raise: what a dialect cannot tell of an event it leaves out.
"""

from typing import Protocol

import msgspec

from streamkeep.entry import Entry


class Options(msgspec.Struct, frozen=True):
    """What a reader may choose. Hashable: readers with the same wire and options share one encoder."""

    hide_thinking: bool = False
    """Leave out thinking blocks."""


class Encoder(Protocol):
    """Turns the entries of one log into frames, in order from the first, or from anywhere if the wire is stateless."""

    def encode(self, entry: Entry, epoch: str) -> bytes:
        """
        Give the frame of one entry; empty if this wire has nothing to say of it.

        Args:
            entry: The next one.
            epoch: The epoch it was written in, for its cursor.

        Raises:
            IllegalField: The entry's name would break the frame. No provider gives such a name.
        """


class Wire(Protocol):
    """One dialect."""

    name: str
    """As in `?wire=`; the name of its file."""
    media_type: str
    """The `Content-Type` of its body."""
    opening: bytes
    """Sent before the first frame, so that headers leave at once; no entry's."""
    heartbeat: bytes
    """Sent when nothing was for a while; empty if the wire has no way to say nothing."""

    def ends_cleanly(self, ending: str) -> bool:
        """
        Tell by the ending's name whether the body may end well-formed.

        Where the dialect has no word for failure the connection is cut instead, because clients take a clean end
        for success (I12).
        """

    def encoder(self, options: Options) -> Encoder:
        """Make an encoder for one log."""

    def stateless(self, options: Options) -> bool:
        """Tell whether a frame depends on its own entry alone."""


def is_one_line(entry: Entry) -> bool:
    """Tell whether an entry's name and data can be framed as they are, which is so for all that comes by itself."""
    return entry.name.isprintable() and b"\n" not in entry.data and b"\r" not in entry.data
