"""
Leave thinking blocks out of a log for readers that asked not to see them.

Pure: no I/O, no clock.

Laws
    1. What is not understood as a block event (no JSON object, no `index` from 0 to 2³¹ - 1) passes unchanged: hiding
       is a reader's wish, and an answer is not broken off over it.
    2. A block that begins where a hidden one stood takes its place: an answer may begin again (`stream.seam`).
"""

from bisect import bisect_left
from typing import Annotated, Final

import msgspec

from streamkeep.entry import Entry

HIDDEN_TYPES: Final = frozenset({"thinking", "redacted_thinking"})
"""Block types that are left out."""

MAX_HIDDEN_BLOCKS: Final = 10_000
"""Hidden blocks told apart; a hundred times what long answers have. Older ones are only counted."""


class ThinkingFilter:
    """
    Takes the entries of one log in order and gives those that remain.

    Args:
        renumber: Close the gaps that hidden blocks leave in the block indexes, for readers that refuse gaps
            (anthropic 2.10.0 raises IndexError). An event whose index changes gets a new one; its other members keep
            their bytes.
    """

    def __init__(self, *, renumber: bool) -> None:
        self._renumber = renumber
        self._hidden: list[int] = []  # sorted
        self._older = 0

    def keep(self, entry: Entry) -> Entry | None:
        """Give the entry to show, or None for one of a hidden block."""
        if not entry.name.startswith("content_block_"):
            return entry
        try:
            event = _decode(entry.data)
        except (ValueError, RecursionError):
            return entry
        place = bisect_left(self._hidden, event.index)
        hidden = self._hidden[place : place + 1] == [event.index]
        if event.content_block is not None:
            hidden = self._begin(event, place, hidden)
        if hidden:
            return None
        shift = place + self._older if self._renumber else 0
        return _moved(entry, event.index - shift) if 0 < shift <= event.index else entry

    def _begin(self, event: "_BlockEvent", place: int, hidden: bool) -> bool:
        """Note whether the block that begins here is hidden; what stood in its place no longer counts."""
        hide = event.content_block is not None and event.content_block.type in HIDDEN_TYPES
        if hide and not hidden:
            self._hidden.insert(place, event.index)
            if len(self._hidden) > MAX_HIDDEN_BLOCKS:
                del self._hidden[0]
                self._older += 1
        elif hidden and not hide:
            del self._hidden[place]
        return hide


def _moved(entry: Entry, index: int) -> Entry:
    """Give the entry another index; decoding the rest would change numbers that have no exact form here."""
    members = _decode_members(entry.data)
    members["index"] = msgspec.Raw(b"%d" % index)
    return Entry(entry.seq, entry.at, entry.name, msgspec.json.encode(members))


class _BlockType(msgspec.Struct):
    type: str


class _BlockEvent(msgspec.Struct):
    index: Annotated[int, msgspec.Meta(ge=0, lt=2**31)]
    content_block: _BlockType | None = None


_decode = msgspec.json.Decoder(_BlockEvent).decode
_decode_members = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
