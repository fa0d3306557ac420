"""
Tell readers the bare text, for pipes and `curl`.

Pure: no I/O, no clock.

The dialect has no word for failure and none for waiting: only a completed answer ends the body well-formed, every
other ending cuts the connection (I12).
"""

from streamkeep.entry import COMPLETED, Entry
from streamkeep.wire.base import Encoder, Options


class TextEncoder:
    """Gives the text of text deltas and nothing else."""

    def encode(self, entry: Entry, epoch: str) -> bytes:
        """Give the text that one entry adds, as UTF-8."""
        return entry.text().encode()


class Text:
    """Plain text; not resumable, because its bytes carry no cursor."""

    name = "text"
    media_type = "text/plain; charset=utf-8"
    opening = b""
    heartbeat = b""

    def ends_cleanly(self, ending: str) -> bool:
        """Only a completed answer may look complete."""
        return ending == COMPLETED

    def stateless(self, options: Options) -> bool:
        """A frame depends on its own entry alone."""
        return True

    def encoder(self, options: Options) -> Encoder:
        """Make an encoder for one log."""
        return TextEncoder()


WIRE = Text()
