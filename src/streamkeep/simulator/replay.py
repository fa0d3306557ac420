"""
Play a recorded stream: its bytes as they were, in chunks cut as wanted.

A recording is a response body (`.sse`), or one JSON payload a line without framing (`.chunks.txt`), framed here.
Who recorded the stream did not record its chunks; so they are a parameter, and no reader may see a difference (I8).
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from random import Random
from typing import Final

import msgspec

from streamkeep.errors import BadRequest
from streamkeep.simulator.pace import Frame, due_s

MAX_RECORDING_BYTES: Final = 64 * 1024 * 1024
"""Bytes of a recording that is played: it is held in memory, at `byte` chunking once more per stream."""

LONGEST_RANDOM_CHUNK: Final = 300
"""Bytes of a random chunk at most: about two events, so that most cuts fall inside one."""

_EVENT_END: Final = re.compile(rb"\r\n\r\n|\n\n|\r\r")
_LINE_END: Final = re.compile(rb"\r\n|\n|\r")
_TYPE: Final = re.compile(rb'"type"\s*:\s*"([^"]+)"')


class Chunking(StrEnum):
    """How a recording is cut into writes."""

    WHOLE = "whole"
    EVENT = "event"
    BYTE = "byte"
    RANDOM = "random"


@dataclass(frozen=True, slots=True)
class Recording:
    """
    A recorded stream.

    Attributes:
        events: the bytes of each event, blank line included; joined they are the body.
    """

    events: tuple[bytes, ...]

    @property
    def body(self) -> bytes:
        """
        The whole response body.
        """
        return b"".join(self.events)


def load(path: Path, *, crlf: bool = False) -> Recording:
    """
    Read a recording.

    Args:
        path: a file in one of the two forms; which, is seen from its content.
        crlf: rewrite all line ends to CR LF.

    Raises:
        BadRequest: if the file cannot be read, is too large, or is in neither form.
    """
    try:
        with path.open("rb") as file:
            raw = file.read(MAX_RECORDING_BYTES + 1)
    except OSError as error:
        raise BadRequest(f"The recording {path.name} cannot be read: {error.strerror}.") from None
    if len(raw) > MAX_RECORDING_BYTES:
        raise BadRequest(f"The recording {path.name} is over {MAX_RECORDING_BYTES} bytes; play a shorter one.")
    body = _body(path.name, raw)
    return Recording(tuple(_split(_LINE_END.sub(b"\r\n", body) if crlf else body)))


def frames(
    recording: Recording, chunking: Chunking, random: Random, *, ttft_s: float, events_per_s: float, after: int | None
) -> Iterator[Frame]:
    """
    Yield a recording's bytes as chunks with their due times: a chunk is due with the event that it begins in.

    Args:
        recording: what is played.
        chunking: how it is cut.
        random: where random cuts come from; the same state gives the same chunks.
        ttft_s: seconds to the first event.
        events_per_s: pace after it; 0 is all at once.
        after: how many events are played; None for all.
    """
    played = recording.events[:after]
    ends, at = [], 0
    for event in played:
        at += len(event)
        ends.append(at)
    body, begun, start = b"".join(played), 0, 0
    for end in _cuts(body, ends, chunking, random):
        complete = begun
        while complete < len(ends) and ends[complete] <= end:
            complete += 1
        yield Frame(body[start:end], due_s(begun, ttft_s, events_per_s), complete - begun)
        begun, start = complete, end


def _cuts(body: bytes, ends: list[int], chunking: Chunking, random: Random) -> Iterator[int]:
    """
    Yield where each chunk ends.
    """
    if chunking is Chunking.EVENT:
        yield from ends
    elif chunking is Chunking.WHOLE and body:
        yield len(body)
    elif chunking is Chunking.BYTE:
        yield from range(1, len(body) + 1)
    elif chunking is Chunking.RANDOM:
        at = 0
        while at < len(body):
            longest = 3 if random.random() < 0.25 else LONGEST_RANDOM_CHUNK
            at = min(len(body), at + random.randint(1, longest))
            yield at


def _body(name: str, raw: bytes) -> bytes:
    if name.endswith(".sse"):
        return raw
    if raw.startswith((b"event:", b"data:", b":")):
        return raw if raw.endswith((b"\n\n", b"\r\n\r\n")) else raw.rstrip(b"\r\n") + b"\n\n"
    return _framed(name, [line for line in raw.splitlines() if line.strip()])


def _framed(name: str, lines: list[bytes]) -> bytes:
    """
    Frame payloads: under the event name of their type, or without one, as chat completions are.
    """
    body = bytearray()
    for nth, line in enumerate(lines, 1):
        if not line.lstrip().startswith(b"{"):
            raise BadRequest(f"The recording {name} is no event stream, and its line {nth} is no JSON object.")
        kind = _kind(line)
        body += (b"event: %s\n" % kind if kind else b"") + b"data: %s\n\n" % line
    chat = bool(lines) and b'"choices"' in lines[0]
    return bytes(body) + (b"data: [DONE]\n\n" if chat else b"")


class _Typed(msgspec.Struct):
    type: str = ""


def _kind(payload: bytes) -> bytes:
    """
    Return the `type` of a payload, also of one that was recorded without its last brace; empty if it has none.
    """
    try:
        return msgspec.json.decode(payload, type=_Typed).type.encode()
    except (msgspec.DecodeError, UnicodeDecodeError):
        found = _TYPE.search(payload)
        return found[1] if found else b""


def _split(body: bytes) -> Iterator[bytes]:
    start = 0
    for end in _EVENT_END.finditer(body):
        yield body[start : end.end()]
        start = end.end()
    if start < len(body):
        yield body[start:]
