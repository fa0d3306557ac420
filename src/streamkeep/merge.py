"""
Join runs of deltas, so that a late reader gets one frame per block (`?catchup=merged`).

Pure: no I/O, no clock.

Laws
    1. Folding the merged log gives the same message, usage and digest as folding the log, and merging again changes
       nothing.
    2. A merged entry stands where the last of its run stood (`seq`, `at`), so its cursor covers the whole run.
    3. Only what is understood to the last member is joined. A delta with a member that is not named in this file, such
       as another vendor's `upstream`, passes unchanged and ends the run; so does every other entry, malformed ones
       included. A run of one stays byte for byte as it was.
"""

from collections.abc import Iterable
from typing import Annotated, Final

import msgspec

from streamkeep.entry import Entry

MAX_MERGED_BYTES: Final = 256 * 1024
"""Bytes of text (UTF-8) in one merged delta: some dozen frames for the longest answers, none near a proxy's buffer."""

_DELTA: Final = "content_block_delta"

# Bounded, because what is not a 64-bit integer can be decoded but not encoded again.
_Count = Annotated[int, msgspec.Meta(ge=0, lt=2**31)]


class Merger:
    """Joins runs in a log that comes in parts."""

    def __init__(self) -> None:
        self._run: _Run | None = None

    def feed(self, entries: Iterable[Entry]) -> list[Entry]:
        """Take the next entries and give those that are complete; the last run stays open."""
        complete: list[Entry] = []
        for entry in entries:
            change = _joinable(entry)
            if self._run is not None and change is not None and self._run.join(entry, change):
                continue
            complete += self.flush()
            if change is None:
                complete.append(entry)
            else:
                self._run = _Run(entry, change)
        return complete

    def flush(self) -> list[Entry]:
        """Close the open run and give its entry, if there is one."""
        run, self._run = self._run, None
        return [run.entry()] if run is not None else []


def merged(entries: Iterable[Entry]) -> list[Entry]:
    """Join the runs of a whole log, or of a piece of one."""
    merger = Merger()
    return [*merger.feed(entries), *merger.flush()]


class _Run:
    """Deltas of one type for one block, one right after the other."""

    def __init__(self, entry: Entry, change: "_Change") -> None:
        self._last = entry
        self._change = change
        self._pieces = [change.delta.piece]
        self._bytes = _utf8_length(change.delta.piece)
        self._joined = False

    def join(self, entry: Entry, change: "_Change") -> bool:
        """Take one more delta; False if it belongs to another run."""
        mine, other = self._change.delta, change.delta
        size = self._bytes + _utf8_length(other.piece)
        if type(other) is not type(mine) or change.index != self._change.index or size > MAX_MERGED_BYTES:
            return False
        self._last, self._bytes, self._joined = entry, size, True
        self._pieces.append(other.piece)
        mine.absorb(other)
        return True

    def entry(self) -> Entry:
        """Give the entry that stands for the run."""
        if not self._joined:
            return self._last
        self._change.delta.piece = "".join(self._pieces)
        return Entry(self._last.seq, self._last.at, _DELTA, _encode(self._change))


def _utf8_length(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode())


def _joinable(entry: Entry) -> "_Change | None":
    if entry.name != _DELTA:
        return None
    try:
        return _decode_change(entry.data)
    except (ValueError, RecursionError):
        return None


class _TextDelta(msgspec.Struct, tag="text_delta", forbid_unknown_fields=True):
    piece: str = msgspec.field(name="text")

    def absorb(self, other: object) -> None:
        """Text is all it has."""


class _InputJsonDelta(msgspec.Struct, tag="input_json_delta", forbid_unknown_fields=True):
    piece: str = msgspec.field(name="partial_json")

    def absorb(self, other: object) -> None:
        """Text is all it has."""


class _ThinkingDelta(msgspec.Struct, tag="thinking_delta", forbid_unknown_fields=True, omit_defaults=True):
    piece: str = msgspec.field(name="thinking")
    estimated_tokens: _Count | None = None

    def absorb(self, other: object) -> None:
        """Add up the estimates: each is an increment, to be summed over the block (`BetaThinkingDelta` of the SDK)."""
        if isinstance(other, _ThinkingDelta) and other.estimated_tokens is not None:
            self.estimated_tokens = (self.estimated_tokens or 0) + other.estimated_tokens


class _Change(msgspec.Struct, tag="content_block_delta", forbid_unknown_fields=True):
    index: _Count
    delta: _TextDelta | _ThinkingDelta | _InputJsonDelta


_decode_change = msgspec.json.Decoder(_Change).decode
_encode = msgspec.json.Encoder().encode
