"""The vectors of the wires, and logs made of recordings."""

import json
from dataclasses import dataclass
from typing import Any

import pytest

from streamkeep.entry import ACCEPTED, ATTEMPT, COMPLETED, Entry
from streamkeep.sse import Decoder, SseMessage
from streamkeep.wire.base import Options, Wire
from tests.recordings import ROOT, Recording

FOLDER = ROOT / "spec" / "vectors" / "wire"


@dataclass(frozen=True)
class WireVector:
    """One log, and what a wire says of it."""

    options: Options
    epoch: str
    log: list[Entry]
    frames: list[bytes]
    ends_cleanly: bool | None


def vectors(wire: str) -> list[Any]:
    """Give the vectors of one wire, as parameters of a test."""
    return [pytest.param(_read(json.loads(path.read_text("utf-8"))), id=path.stem) for path in _files(wire)]


def frames(wire: Wire, log: list[Entry], options: Options, epoch: str = "k3f7x2") -> list[bytes]:
    """Encode a log from its beginning."""
    encoder = wire.encoder(options)
    return [encoder.encode(entry, epoch) for entry in log]


def read(body: bytes) -> list[SseMessage]:
    """Give the messages of a body."""
    return Decoder().feed(body)


def recorded_log(recording: Recording) -> list[Entry]:
    """Give the log that a relay keeps of a recording: payloads as they came, but no pings."""
    payloads = [(json.loads(payload)["type"], payload) for payload in recording.payloads()]
    kept = [(name, payload) for name, payload in payloads if name != "ping"]
    events = [(ACCEPTED, b"{}"), (ATTEMPT, b'{"n":1}'), *kept, (COMPLETED, b"{}")]
    return [Entry(seq, 0.0, name, data) for seq, (name, data) in enumerate(events, 1)]


def _files(wire: str) -> list[Any]:
    found = sorted((FOLDER / wire).glob("*.json"))
    assert found, f"no vectors of {wire}"
    return found


def _read(told: dict[str, Any]) -> WireVector:
    return WireVector(
        Options(**told["options"]),
        told["epoch"],
        [Entry(each["seq"], 0.0, each["name"], each["data"].encode()) for each in told["entries"]],
        [frame.encode() for frame in told["frames"]],
        told.get("ends_cleanly"),
    )
