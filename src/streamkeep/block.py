"""
Keep one content block of a message: how it begins, what deltas write into it, what it then holds.

Pure: no I/O, no clock.

Strategy: text is filed away in pieces; joining, partial parsing and hashing wait until somebody asks, so that each
delta costs the same however long the block is.

Laws
    1. A delta that does not belong into a block of this type does nothing (anthropic 2.10.0, `accumulate_event` in
       `lib/streaming/_beta_messages.py`); `Block.take` tells.
    2. Tool JSON never raises, whatever the model wrote: what cannot be parsed becomes `{"INVALID_JSON": text}`, the
       wrapping that the API's guide to fine-grained tool streaming recommends. (The SDK raises.)
    3. The digest is the SHA-256 of bytes that a client can make from the frames alone:

       block                                    bytes
       `text`, `thinking`                       the UTF-8 of its text: what the start brought, then every delta
       `tool_use`, `server_tool_use`,           the UTF-8 of every `partial_json`, joined as they came;
       `mcp_tool_use`                           if that is empty, as any other block:
       any other                                the `data` of its `content_block_start`, byte for byte as received
"""

import hashlib
import math
from typing import Any, Final, get_args

import jiter
import msgspec

from streamkeep.entry import Entry

MAX_DEPTH: Final = 64
"""
Levels of nesting in what is kept decoded. Results of server tools have about ten; much deeper ones exhaust the stack
of some encoder on the message's way to its reader.
"""


class TextDelta(msgspec.Struct, tag="text_delta"):
    """More text."""

    text: str


class ThinkingDelta(msgspec.Struct, tag="thinking_delta"):
    """More thinking."""

    thinking: str


class InputJsonDelta(msgspec.Struct, tag="input_json_delta"):
    """More of a tool's input; the pieces are JSON only when joined."""

    partial_json: str


class CitationsDelta(msgspec.Struct, tag="citations_delta"):
    """One more citation of a text block."""

    citation: dict[str, Any]


class SignatureDelta(msgspec.Struct, tag="signature_delta"):
    """The signature of a thinking block; it replaces, it does not add."""

    signature: str


class CompactionDelta(msgspec.Struct, tag="compaction_delta"):
    """The whole content of a compaction block."""

    content: str | None = None
    encrypted_content: str | None = None


Delta = TextDelta | ThinkingDelta | InputJsonDelta | CitationsDelta | SignatureDelta | CompactionDelta
"""Every delta that writes something."""

DELTA_TYPES: Final = frozenset(str(each.__struct_config__.tag) for each in get_args(Delta))
"""Their `type`."""


class Block:
    """A block that arrives whole: results, redacted thinking, uploads, and every type without a class here."""

    seq: int
    """The entry that began it."""
    type: str
    """Its `type`."""
    serving_model: str | None = None
    """The model that writes from here on, if the block marks a server-side fallback."""

    def __init__(self, shape: dict[str, Any], started_by: Entry) -> None:
        self.seq = started_by.seq
        self.type = shape["type"]
        self._shape = shape
        self._started_by = started_by.data

    def take(self, delta: Delta) -> bool:
        """Write a delta; False if it does not belong here."""
        return False

    def snapshot(self) -> dict[str, Any]:
        """Give the block as far as it got; a fresh copy."""
        shape: dict[str, Any] = copy_json(self._shape)
        return shape

    def digest(self) -> dict[str, Any]:
        """Give `type`, `bytes` and `sha256` of the content (law 3)."""
        content = self.content()
        return {"type": self.type, "bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}

    def content(self) -> bytes:
        """Give what the digest is taken of."""
        return self._started_by


class WrittenBlock(Block):
    """A block that deltas write; `written` is all of it so far."""

    def __init__(self, shape: dict[str, Any], started_by: Entry, beginning: str) -> None:
        super().__init__(shape, started_by)
        self._pieces = [beginning]

    def written(self) -> str:
        """Join what was written."""
        if len(self._pieces) > 1:
            self._pieces = ["".join(self._pieces)]
        return self._pieces[0]

    def content(self) -> bytes:
        """Give what the digest is taken of."""
        return self.written().encode()


class TextBlock(WrittenBlock):
    """`text`."""

    def __init__(self, shape: dict[str, Any], started_by: Entry) -> None:
        known = msgspec.convert(shape, _TextShape)
        super().__init__(shape, started_by, known.text or "")
        self._citations = known.citations or []

    def take(self, delta: Delta) -> bool:
        """Write text or add a citation."""
        if isinstance(delta, TextDelta):
            self._pieces.append(delta.text)
            return True
        if isinstance(delta, CitationsDelta):
            self._citations.append(copy_json(delta.citation))
            return True
        return False

    def snapshot(self) -> dict[str, Any]:
        """Give the block as far as it got; without citations the member stays as it came."""
        cited = {"citations": copy_json(self._citations)} if self._citations else {}
        return {**super().snapshot(), "text": self.written(), **cited}


class ThinkingBlock(WrittenBlock):
    """`thinking`."""

    def __init__(self, shape: dict[str, Any], started_by: Entry) -> None:
        super().__init__(shape, started_by, msgspec.convert(shape, _ThinkingShape).thinking or "")

    def take(self, delta: Delta) -> bool:
        """Write thinking or set the signature."""
        if isinstance(delta, ThinkingDelta):
            self._pieces.append(delta.thinking)
            return True
        if isinstance(delta, SignatureDelta):
            self._shape["signature"] = delta.signature
            return True
        return False

    def snapshot(self) -> dict[str, Any]:
        """Give the block as far as it got."""
        return {**super().snapshot(), "thinking": self.written()}


class ToolBlock(WrittenBlock):
    """`tool_use` and its kin: `input` arrives as pieces of JSON (`TRACKS_TOOL_INPUT` of the SDK)."""

    def __init__(self, shape: dict[str, Any], started_by: Entry) -> None:
        super().__init__(shape, started_by, "")

    def take(self, delta: Delta) -> bool:
        """Write more of the input."""
        if isinstance(delta, InputJsonDelta):
            self._pieces.append(delta.partial_json)
            return True
        return False

    def snapshot(self) -> dict[str, Any]:
        """Give the block as far as it got; of unfinished JSON the finished part: no cut-off strings or literals."""
        shape = super().snapshot()
        text = self.written()
        if text.strip():
            shape["input"] = _parse_input(text)
        elif shape.get("input") is None:
            shape["input"] = {}
        return shape

    def content(self) -> bytes:
        """Give what the digest is taken of."""
        return super().content() or self._started_by


class CompactionBlock(Block):
    """`compaction`: begins empty and gets its content in one piece."""

    def take(self, delta: Delta) -> bool:
        """Set the content."""
        if isinstance(delta, CompactionDelta):
            self._shape |= {"content": delta.content, "encrypted_content": delta.encrypted_content}
            return True
        return False


class FallbackBlock(Block):
    """`fallback`: from here on another model answers."""

    def __init__(self, shape: dict[str, Any], started_by: Entry) -> None:
        super().__init__(shape, started_by)
        self.serving_model = msgspec.convert(shape, _FallbackShape).to.model


def begin(shape: dict[str, Any], started_by: Entry) -> Block:
    """
    Begin a block.

    Args:
        shape: The `content_block`; it is copied.
        started_by: The entry that brought it.

    Raises:
        ValueError: It has no `type`, a member that deltas build on is of the wrong type, or it cannot be copied
            (`copy_json`).
    """
    return _BLOCKS.get(msgspec.convert(shape, _Shape).type, Block)(copy_json(shape), started_by)


def copy_json(value: Any, levels: int = MAX_DEPTH) -> Any:
    """
    Copy decoded JSON, of a kind that every encoder takes.

    Raises:
        ValueError: It is nested deeper than `MAX_DEPTH`, or holds an integer of more than 64 bits.
    """
    if isinstance(value, int) and not -(2**63) <= value < 2**64:
        raise ValueError("it holds an integer of more than 64 bits")
    if not isinstance(value, dict | list):
        return value
    if not levels:
        raise ValueError(f"it is nested deeper than {MAX_DEPTH} levels")
    if isinstance(value, list):
        return [copy_json(each, levels - 1) for each in value]
    return {name: copy_json(each, levels - 1) for name, each in value.items()}


def _parse_input(text: str) -> Any:
    try:
        parsed = jiter.from_json(text.encode(), allow_inf_nan=False, partial_mode=True)
    except ValueError:
        return {"INVALID_JSON": text}
    return parsed if _is_finite(parsed) else {"INVALID_JSON": text}


def _is_finite(value: Any) -> bool:
    """Tell whether JSON can hold the numbers: 1e999 is parsed as infinity, which cannot be written again."""
    if isinstance(value, float):
        return math.isfinite(value)
    children = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return all(map(_is_finite, children))


class _Shape(msgspec.Struct):
    type: str


class _TextShape(msgspec.Struct):
    text: str | None = None
    citations: list[Any] | None = None


class _ThinkingShape(msgspec.Struct):
    thinking: str | None = None


class _Hop(msgspec.Struct):
    model: str


class _FallbackShape(msgspec.Struct):
    to: _Hop


_BLOCKS: Final[dict[str, type[Block]]] = {
    "text": TextBlock,
    "thinking": ThinkingBlock,
    "tool_use": ToolBlock,
    "server_tool_use": ToolBlock,
    "mcp_tool_use": ToolBlock,
    "compaction": CompactionBlock,
    "fallback": FallbackBlock,
}
