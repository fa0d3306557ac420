"""
The mark that every delta bears: when the emitter wrote it.

Pure: no I/O, no clock.
"""

import re

SIZE = 22
"""Bytes of a stamp: `~t`, 19 digits of nanoseconds, `~`."""

_FIND = re.compile(rb"~t(\d{19})~").findall


def stamp(ns: int) -> bytes:
    """Write a stamp."""
    return b"~t%019d~" % ns


class Scanner:
    """Finds the stamps in one stream's bytes, however they are cut."""

    __slots__ = ("_rest",)

    def __init__(self) -> None:
        self._rest = b""

    def times(self, data: bytes) -> list[bytes]:
        """Give the times in the next bytes, as digits."""
        if self._rest:
            data = self._rest + data
        last = data.rfind(b"~", -(SIZE - 1))
        self._rest = data[last:] if last >= 0 and data[last + 1 : last + 2] in b"t" else b""
        return _FIND(data)

    def count(self, data: bytes) -> int:
        """Count the stamps that begin in the next bytes; cheaper by far where many come at once."""
        found = (self._rest + data).count(b"~t") if self._rest else data.count(b"~t")
        self._rest = b"~" if data.endswith(b"~") else b""
        return found
