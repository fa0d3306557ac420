"""
Seal what goes into a row, so that damage is noticed when it is read.

Pure: no I/O, no clock.

Strategy
    `version (1 byte) · CRC-32 of the rest (4 bytes, big-endian) · MessagePack`. SQLite guards its write-ahead log with
    checksums but not the pages of the file itself.
"""

import zlib
from collections.abc import Iterable, Sequence

import msgspec

from streamkeep.entry import Entry, pack, unpack

VERSION = 1
"""Of the form of a sealed row; the first byte."""

HEAD_BYTES = 5
"""Version and checksum."""


class Damaged(ValueError):
    """A row is not what was written."""


def seal_block(entries: Sequence[Entry]) -> bytes:
    """Make a block row of one stream's entries."""
    return _seal(pack(entries))


def open_block(data: bytes) -> list[Entry]:
    """
    Give a block row's entries.

    Raises:
        Damaged: The row was changed.
    """
    return unpack(_open(data))


def seal_parts(parts: Iterable[tuple[int, Sequence[Entry]]]) -> bytes:
    """Make a journal row of `(stream's key, its new entries)`."""
    return _seal(_encode_parts(parts))


def open_parts(data: bytes) -> list[tuple[int, list[Entry]]]:
    """
    Give a journal row's parts.

    Raises:
        Damaged: The row was changed.
    """
    return _decode_parts(_open(data))


def _seal(payload: bytes) -> bytes:
    return b"%c%b%b" % (VERSION, zlib.crc32(payload).to_bytes(4, "big"), payload)


def _open(data: bytes) -> bytes:
    payload = data[HEAD_BYTES:]
    if data[:1] != bytes((VERSION,)) or data[1:HEAD_BYTES] != zlib.crc32(payload).to_bytes(4, "big"):
        raise Damaged("a row of the log fails its checksum")
    return payload


_encode_parts = msgspec.msgpack.Encoder().encode
_decode_parts = msgspec.msgpack.Decoder(list[tuple[int, list[Entry]]]).decode
