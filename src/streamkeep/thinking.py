"""
Leave thinking blocks out of a log for readers that asked not to see them.

Pure: no I/O, no clock.
"""

import msgspec

from streamkeep.entry import Entry

HIDDEN_TYPES = frozenset({"thinking", "redacted_thinking"})
"""Block types that are left out."""


class ThinkingFilter:
    """
    Takes the entries of one log in order and gives those that remain.

    Args:
        renumber: Close the gaps that hidden blocks leave in the block indexes, for readers that refuse gaps
            (anthropic 2.10.0 raises IndexError). An event whose index changes is
            written anew; all others keep their bytes.
    """

    def __init__(self, *, renumber: bool) -> None:
        self._renumber = renumber
        self._hidden: set[int] = set()

    def keep(self, entry: Entry) -> Entry | None:
        """
        Give the entry to show, or None for one of a hidden block.

        Raises:
            msgspec.DecodeError: A block event is no JSON object with an index.
        """
        if not entry.name.startswith("content_block_"):
            return entry
        block = _decode(entry.data)
        if block.content_block is not None and block.content_block.type in HIDDEN_TYPES:
            self._hidden.add(block.index)
        if block.index in self._hidden:
            return None
        shift = sum(1 for index in self._hidden if index < block.index) if self._renumber else 0
        if not shift:
            return entry
        data = msgspec.json.encode({**entry.json(), "index": block.index - shift})
        return Entry(entry.seq, entry.at, entry.name, data)


class _BlockType(msgspec.Struct):
    type: str


class _BlockEvent(msgspec.Struct):
    index: int
    content_block: _BlockType | None = None


_decode = msgspec.json.Decoder(_BlockEvent).decode
