"""
Fold a log into the message it tells: snapshots, replies that do not stream, continuations, digests.

Pure: no I/O, no clock.

Strategy: `add` decodes an event once into a typed struct and files its text away (`streamkeep.block`); nothing is
joined before somebody asks. A fold costs time linear in the bytes of the log, and so does each question.

Laws
    1. The message is the one that the official Python SDK accumulates (anthropic 2.10.0, `accumulate_event` in
       `lib/streaming/_beta_messages.py`): a block's place is its order of arrival and deltas name the place; a second
       `message_start` is ignored; each `message_delta` replaces the stop members of the one before, and beside them
       keeps `container`, `context_management` and `input_transformations`; a fallback block renames `model`.
    2. Events, blocks and deltas of unknown type are no error. A known one with a member missing or of the wrong type
       is `upstream_malformed`; the fold then stands as it did before that event. Only `usage` may be missing.
    3. A seam with `rewind_to` takes back whole blocks: those that began after that entry, the message itself if it
       began after it, and in any case what `message_delta` and `message_stop` said, since they follow all blocks.
       The relay rewinds to a place between blocks; a block that began before it would keep all its text.
"""

from collections.abc import Callable, Iterable
from typing import Annotated, Any, Final, NamedTuple

import msgspec

from streamkeep.block import DELTA_TYPES, Block, Delta, TextBlock, begin, copy_json
from streamkeep.entry import ATTEMPT, SEAM, Entry
from streamkeep.errors import UpstreamBroken

MAX_BLOCKS: Final = 10_000
"""Blocks of one message: a hundred times what long agentic answers have; each costs about 1 KiB beside its text."""

MAX_UNKNOWN: Final = 32
"""Names kept in `MessageFold.unknown`: enough for a person who wonders; no program counts them."""

MAX_UNKNOWN_NAME: Final = 64
"""Characters of such a name; the longest known has 16."""


class MessageFold:
    """Folds the entries of one log, in order."""

    attempts: int
    """Calls upstream so far (`stream.attempt`)."""
    complete: bool
    """True once `message_stop` came."""
    unknown: list[str]
    """Types of deltas that found no place in the message, each once; at most `MAX_UNKNOWN`."""

    def __init__(self) -> None:
        self.attempts = 0
        self.complete = False
        self.unknown = []
        self._start: _Start | None = None
        self._blocks: list[Block] = []
        self._ending: dict[str, Any] = {}
        self._usage: dict[str, Any] = {}

    @property
    def stop_reason(self) -> str | None:
        """Why the model stopped; None until it did."""
        begun_with = self._start.stop_reason if self._start else None
        reason: str | None = self._ending.get("stop_reason", begun_with)
        return reason

    def add(self, entry: Entry) -> None:
        """
        Take the next entry.

        Raises:
            UpstreamBroken: `upstream_malformed`; the event contradicts the API or what came before it.
        """
        apply = _STEPS.get(entry.name)
        if apply is None:
            return
        try:
            apply(self, entry)
        except (ValueError, RecursionError) as error:
            raise UpstreamBroken(
                f"Event {entry.seq} ({entry.name}) of the answer is malformed: {error}. "
                "What came before it is kept; ask again for a whole answer.",
                code="upstream_malformed",
            ) from error

    def message(self) -> dict[str, Any] | None:
        """
        Give the message as far as it got, in the shape of the Messages API; None before `message_start`.

        Returns:
            A fresh copy, the caller's to change. JSON can hold it; integers in a tool's `input` may have more than
            64 bits, which msgspec does not encode and `json` does.
        """
        if self._start is None:
            return None
        message: dict[str, Any] = copy_json({**self._start.members, **self._ending})
        for block in self._blocks:
            if block.serving_model is not None:
                message["model"] = block.serving_model
        message["content"] = [block.snapshot() for block in self._blocks]
        message["usage"] = self.usage()
        return message

    def usage(self) -> dict[str, Any]:
        """Give `message_start`'s usage, overwritten by `message_delta`'s cumulative counts; null overwrites nothing."""
        usage: dict[str, Any] = copy_json(self._usage)
        return usage

    def text(self) -> str:
        """Give all text blocks, joined."""
        return "".join(block.written() for block in self._blocks if isinstance(block, TextBlock))

    def digest(self) -> dict[str, Any]:
        """Give `{"blocks": [{"index", "type", "bytes", "sha256"}]}`; `streamkeep.block` says over which bytes."""
        return {"blocks": [{"index": index, **block.digest()} for index, block in enumerate(self._blocks)]}

    def _attempt(self, _: Entry) -> None:
        self.attempts += 1

    def _seam(self, entry: Entry) -> None:
        seq = _decode_seam(entry.data).rewind_to
        if seq is None or self._start is None:
            return
        if seq < self._start.seq:
            self._start = None
        self._blocks = [block for block in self._blocks if block.seq <= seq]
        self._ending = {}
        self._usage = dict(self._start.usage) if self._start else {}
        self.complete = False

    def _message_start(self, entry: Entry) -> None:
        if self._start is not None:
            return
        members = copy_json(_decode_message_start(entry.data).message)
        known = msgspec.convert(members, _KnownMembers)
        if len(known.content) > MAX_BLOCKS:
            raise ValueError(f"a message has at most {MAX_BLOCKS} blocks")
        start = _Start(entry.seq, members, _checked_usage(known.usage), known.stop_reason)
        self._blocks = [begin(shape, entry) for shape in known.content]
        self._usage = dict(start.usage)
        self._start = start

    def _block_start(self, entry: Entry) -> None:
        self._expect_started()
        begun = _decode_block_start(entry.data)
        if begun.index > len(self._blocks):
            raise ValueError(f"block {begun.index} begins where {len(self._blocks)} is next")
        if len(self._blocks) >= MAX_BLOCKS:
            raise ValueError(f"a message has at most {MAX_BLOCKS} blocks")
        self._blocks.append(begin(begun.content_block, entry))

    def _block_delta(self, entry: Entry) -> None:
        try:
            change = _decode_change(entry.data)
        except msgspec.ValidationError:
            foreign = _decode_foreign_change(entry.data)
            if foreign.delta.type in DELTA_TYPES:
                raise
            self._block(foreign.index)
            self._note(foreign.delta.type)
            return
        if not self._block(change.index).take(change.delta):
            self._note(str(change.delta.__struct_config__.tag))

    def _block_stop(self, entry: Entry) -> None:
        self._block(_decode_block_stop(entry.data).index)

    def _message_delta(self, entry: Entry) -> None:
        self._expect_started()
        told = _decode_message_delta(entry.data)
        ending, usage = copy_json(told.ending()), _checked_usage(told.usage)
        self._ending |= ending
        self._usage |= _present(usage)

    def _message_stop(self, _: Entry) -> None:
        self._expect_started()
        self.complete = True

    def _expect_started(self) -> None:
        if self._start is None:
            raise ValueError("it comes before message_start")

    def _block(self, index: int) -> Block:
        if index >= len(self._blocks):
            raise ValueError(f"block {index} has not begun")
        return self._blocks[index]

    def _note(self, delta_type: str) -> None:
        name = delta_type[:MAX_UNKNOWN_NAME]
        if name not in self.unknown and len(self.unknown) < MAX_UNKNOWN:
            self.unknown.append(name)


def fold(entries: Iterable[Entry]) -> MessageFold:
    """
    Fold a log, or the beginning of one.

    Raises:
        UpstreamBroken: As `MessageFold.add`.
    """
    folded = MessageFold()
    for entry in entries:
        folded.add(entry)
    return folded


def _present(members: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in members.items() if value is not None}


def _checked_usage(usage: dict[str, Any] | None) -> dict[str, Any]:
    """Copy a usage; those who bill or estimate by it may rely on its four counts being numbers."""
    msgspec.convert(usage or {}, _Counts)
    checked: dict[str, Any] = copy_json(usage or {})
    return checked


_Place = Annotated[int, msgspec.Meta(ge=0)]


class _KnownMembers(msgspec.Struct):
    id: str | None = None
    model: str | None = None
    content: list[dict[str, Any]] = []
    usage: dict[str, Any] | None = None
    stop_reason: str | None = None


_Tokens = Annotated[int, msgspec.Meta(ge=0)]


class _Counts(msgspec.Struct):
    input_tokens: _Tokens | None = None
    output_tokens: _Tokens | None = None
    cache_creation_input_tokens: _Tokens | None = None
    cache_read_input_tokens: _Tokens | None = None


class _Start(NamedTuple):
    seq: int
    members: dict[str, Any]
    usage: dict[str, Any]
    stop_reason: str | None


class _MessageStart(msgspec.Struct):
    message: dict[str, Any]


class _BlockStart(msgspec.Struct):
    index: _Place
    content_block: dict[str, Any]


class _Change(msgspec.Struct):
    index: _Place
    delta: Delta


class _ForeignDelta(msgspec.Struct):
    type: str


class _ForeignChange(msgspec.Struct):
    index: _Place
    delta: _ForeignDelta


class _BlockStop(msgspec.Struct):
    index: _Place


class _Stop(msgspec.Struct):
    stop_reason: str | None = None
    stop_sequence: str | None = None
    stop_details: dict[str, Any] | None = None
    container: dict[str, Any] | None = None


class _MessageDelta(msgspec.Struct):
    delta: _Stop
    usage: dict[str, Any] | None = None
    context_management: dict[str, Any] | None = None
    input_transformations: list[Any] | None = None

    def ending(self) -> dict[str, Any]:
        """Name what it replaces in the message: the stop members always, the others if they say something."""
        stop = self.delta
        always = {
            "stop_reason": stop.stop_reason,
            "stop_sequence": stop.stop_sequence,
            "stop_details": stop.stop_details,
        }
        told = {
            "container": stop.container,
            "context_management": self.context_management,
            "input_transformations": self.input_transformations,
        }
        return always | _present(told)


class _Seam(msgspec.Struct):
    rewind_to: int | None = None


_decode_message_start = msgspec.json.Decoder(_MessageStart).decode
_decode_block_start = msgspec.json.Decoder(_BlockStart).decode
_decode_change = msgspec.json.Decoder(_Change).decode
_decode_foreign_change = msgspec.json.Decoder(_ForeignChange).decode
_decode_block_stop = msgspec.json.Decoder(_BlockStop).decode
_decode_message_delta = msgspec.json.Decoder(_MessageDelta).decode
_decode_seam = msgspec.json.Decoder(_Seam).decode

_STEPS: Final[dict[str, Callable[[MessageFold, Entry], None]]] = {
    ATTEMPT: MessageFold._attempt,
    SEAM: MessageFold._seam,
    "message_start": MessageFold._message_start,
    "content_block_start": MessageFold._block_start,
    "content_block_delta": MessageFold._block_delta,
    "content_block_stop": MessageFold._block_stop,
    "message_delta": MessageFold._message_delta,
    "message_stop": MessageFold._message_stop,
}
