"""
Write and read the rows of `streams`.

Strategy
    A row is written at the start, when another writer takes over and at the end, never per append. Until the end its
    `state` is `open`; whether a stop was requested is known from its entries.
"""

import sqlite3
from typing import Any

import msgspec

from streamkeep.lifecycle import State
from streamkeep.stores.base import Head, Record
from streamkeep.stores.sqlite.live import Live

Statement = tuple[str, tuple[Any, ...]]
"""SQL and its parameters."""

Epochs = tuple[tuple[int, str], ...]

COLUMNS = (
    "key, id, created_at, provider, model, fingerprint, idempotency_key, metadata, ttl_s, token, epochs, state, seq, "
    "ended_at, ending, request"
)
"""What `head_of` and `live_of` read, in their order."""

_INSERT = f"INSERT INTO streams ({COLUMNS}) VALUES ({', '.join('?' * 16)})"  # noqa: S608  names of our own

_END = """
    UPDATE streams SET state = ?, seq = ?, ended_at = ?, expires_at = ?, ending = ?, request = x'' WHERE key = ?
"""

_encode_epochs = msgspec.json.Encoder().encode
_decode_epochs = msgspec.json.Decoder(Epochs).decode


def begun(live: Live) -> Statement:
    """Write a stream's row."""
    record = live.record
    values = (
        live.key, record.id, record.created_at, record.provider, record.model, record.fingerprint,
        record.idempotency_key, record.metadata, record.ttl_s, live.token, _encode_epochs(live.epochs).decode(),
        State.OPEN.value, None, None, None, record.request,
    )  # fmt: skip
    return _INSERT, values


def taken(live: Live) -> Statement:
    """Write who may write it now."""
    return "UPDATE streams SET token = ?, epochs = ? WHERE key = ?", (
        live.token,
        _encode_epochs(live.epochs).decode(),
        live.key,
    )


def ended(live: Live) -> Statement:
    """Write how it ended; the request is no longer needed by anyone."""
    last = live.tail[-1]
    return _END, (live.state.value, last.seq, last.at, last.at + live.record.ttl_s, last.data, live.key)


def record_of(row: sqlite3.Row) -> Record:
    """Read what a stream is."""
    return Record(
        id=row["id"],
        created_at=row["created_at"],
        provider=row["provider"],
        model=row["model"],
        fingerprint=row["fingerprint"],
        idempotency_key=row["idempotency_key"],
        request=row["request"],
        metadata=row["metadata"],
        ttl_s=row["ttl_s"],
    )


def head_of(row: sqlite3.Row) -> Head:
    """Read where an ended stream stands."""
    return Head(
        record=record_of(row),
        seq=row["seq"],
        state=State(row["state"]),
        epochs=_decode_epochs(row["epochs"]),
        ended_at=row["ended_at"],
        ending=row["ending"],
    )


def live_of(row: sqlite3.Row, *, seq: int, state: State) -> Live:
    """
    Read a stream that has not ended.

    Args:
        row: Its row.
        seq: The last entry in its blocks.
        state: After that.
    """
    return Live(
        row["key"], record_of(row), token=row["token"], epochs=_decode_epochs(row["epochs"]), seq=seq, state=state
    )
