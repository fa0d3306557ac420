"""
Say where a reader stands: "I have everything up to and including `seq`".

Pure: no I/O, no clock.

Laws
    1. The text form is `<epoch>.<seq>`, short ASCII, fit for an SSE `id:` (an EventSource may send back at most
       128 safe bytes without a preflight; WPT `cors-unsafe-last-event-id.py`).
    2. Each writer that takes a log mints an epoch. A cursor is good if its epoch is one of the log's and its `seq`
       is not past the place where that epoch ended: then what it has read is a prefix of what the log holds (I7).
    3. A bare number means "that many entries, whoever wrote them": for people at a terminal. It skips law 2.
"""

import re
from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

from streamkeep.errors import BadRequest, CursorAhead, CursorForeign

MAX_SEQ = 2**53 - 1
"""Greatest `seq`: what a JavaScript number holds exactly."""

EPOCH_CHARACTERS = "abcdefghijklmnopqrstuvwxyz234567"
"""What an epoch is made of, in base 32."""

EPOCH_LENGTH = 6
"""Characters of an epoch: 30 bits, unique among the few epochs of one stream."""

_TEXT = re.compile(r"(?:([a-z0-9]{1,16})\.)?([0-9]{1,16})", re.ASCII)

Epochs = Sequence[tuple[int, str]]
"""The epochs of one log as `(first_seq, epoch)`, oldest first; the first begins at 1."""


class Cursor(NamedTuple):
    """A position in one log. `Cursor("", 0)` is the beginning."""

    epoch: str
    """The writer that wrote entry `seq`; empty if unknown."""
    seq: int
    """The last entry the reader has; 0 for none."""

    def __str__(self) -> str:
        """Give the text form."""
        return f"{self.epoch}.{self.seq}" if self.epoch else str(self.seq)

    @classmethod
    def parse(cls, text: str) -> "Cursor":
        """
        Read the text form; empty text is the beginning.

        Raises:
            BadRequest: The text is no cursor.
        """
        if not text:
            return START
        match = _TEXT.fullmatch(text)
        if match is None or int(match[2]) > MAX_SEQ:
            raise BadRequest(
                "The cursor is not of the form <epoch>.<number>, such as k3f7x2.417. "
                "Send back the last `id:` received, or leave it out to read from the start.",
                code="cursor_malformed",
            )
        return cls(match[1] or "", int(match[2]))


START = Cursor("", 0)
"""The beginning of every log."""


def epoch_at(epochs: Epochs, seq: int) -> str:
    """Name the epoch in which entry `seq` was written."""
    current = epochs[0][1]
    for first, epoch in epochs:
        if first > seq:
            break
        current = epoch
    return current


def check(cursor: Cursor, epochs: Epochs, last_seq: int) -> None:
    """
    Refuse a cursor that is not a position of this log.

    Args:
        cursor: The reader's.
        epochs: The log's.
        last_seq: The log's last entry.

    Raises:
        CursorForeign: The epoch is none of the log's.
        CursorAhead: The epoch ended before `seq`, or the log has not come to it.
    """
    head = str(Cursor(epoch_at(epochs, last_seq), last_seq))
    if cursor.epoch and cursor.seq and all(cursor.epoch != epoch for _, epoch in epochs):
        raise CursorForeign(
            f"The cursor {cursor} is from another history of this stream. "
            f"The log stands at {head}; read again from the start.",
            head=head,
        )
    if cursor.seq > _end(cursor.epoch, epochs, last_seq):
        raise CursorAhead(
            f"The cursor {cursor} is ahead of the log, which stands at {head}. "
            "What was read past that is gone; read again from the start.",
            head=head,
        )


def _end(epoch: str, epochs: Epochs, last_seq: int) -> int:
    """Find the last entry written in `epoch`; a later epoch ends the one before."""
    for (_, name), (next_first, _) in pairwise(epochs):
        if name == epoch:
            return next_first - 1
    return last_seq
