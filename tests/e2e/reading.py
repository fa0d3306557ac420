"""
A reader of event streams that sees what clients hide: each byte, and whether the body ended as it should.

Written without any part of the package: what is measured must not be the measure.
"""

import http.client
import re
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple
from urllib.parse import urlsplit

READ_BYTES = 65_536
"""Bytes asked of a socket at once."""

_FIELD = re.compile(rb"^(id|event|data): ?(.*)$", re.MULTILINE)


class Frame(NamedTuple):
    """One message of an event stream."""

    id: str
    """Its cursor; empty if it has none."""
    name: str
    data: bytes
    raw: bytes
    """All its bytes, the blank line included."""


class Body(NamedTuple):
    """What one connection gave."""

    status: int
    headers: Mapping[str, str]
    raw: bytes
    clean: bool
    """Whether the body ended with its last chunk; False if the connection was cut."""

    @property
    def frames(self) -> list[Frame]:
        """Give the whole frames of the body."""
        return frames(self.raw)


def frames(raw: bytes) -> list[Frame]:
    """Cut bytes into frames; comments and an unfinished last frame are left out."""
    found = []
    for block in raw.split(b"\n\n")[:-1]:
        fields = dict[bytes, bytes](_FIELD.findall(block))
        if b"data" in fields:
            data = b"\n".join(value for name, value in _FIELD.findall(block) if name == b"data")
            frame = (fields.get(b"id", b"").decode(), fields.get(b"event", b"message").decode(), data)
            found.append(Frame(*frame, block + b"\n\n"))
    return found


def joined(pieces: list[Frame]) -> bytes:
    """Give the frames' bytes in one piece."""
    return b"".join(frame.raw for frame in pieces)


class Reading:
    """One open response."""

    def __init__(self, response: http.client.HTTPResponse) -> None:
        self.status = response.status
        self.headers = {name.lower(): value for name, value in response.headers.items()}
        self.raw = b""
        self.clean: bool | None = None
        self._response = response

    def more(self, most: int = READ_BYTES) -> bytes:
        """Give the next bytes, `most` at most; empty at the end, upon which `clean` is set."""
        try:
            piece = self._response.read1(most)
        except (http.client.IncompleteRead, ConnectionError):
            self.clean = False
            return b""
        if not piece:
            self.clean = True
        self.raw += piece
        return piece

    def until_end(self) -> Body:
        """Read to the end."""
        while self.more():
            pass
        return Body(self.status, self.headers, self.raw, bool(self.clean))

    def until_frame(self, count: int) -> list[Frame]:
        """Read until there are so many whole frames, or to the end."""
        while len(found := frames(self.raw)) < count and self.more():
            pass
        return found


@contextmanager
def reading(
    base: str, path: str, *, after: str | None = None, headers: Mapping[str, str] | None = None, timeout_s: float = 20.0
) -> Iterator[Reading]:
    """
    Open a response for reading piece by piece; leaving the block drops the connection.

    Args:
        base: The server's URL.
        path: With its query.
        after: Sent as `Last-Event-ID`.
        headers: Further ones.
        timeout_s: Seconds without a byte after which it is a hang.
    """
    connection = http.client.HTTPConnection(urlsplit(base).netloc, timeout=timeout_s)
    given = {} if after is None else {"last-event-id": after}
    try:
        connection.request("GET", path, headers={**given, **(headers or {})})
        response = connection.getresponse()
        with response:
            yield Reading(response)
    finally:
        connection.close()


def read(base: str, path: str, *, after: str | None = None, timeout_s: float = 20.0) -> Body:
    """Read a response to its end."""
    with reading(base, path, after=after, timeout_s=timeout_s) as open_reading:
        return open_reading.until_end()


def events(id: str, query: str = "") -> str:
    """Give the path of a stream's events."""
    return f"/v1/streams/{id}/events{query}"


def in_threads(*works: Callable[[], Any], timeout_s: float = 60.0) -> list[Any]:
    """Do all at once; give what each gave, or raise what one of them raised."""
    results: dict[int, Any] = {}
    errors: list[BaseException] = []

    def run(place: int, work: Callable[[], Any]) -> None:
        try:
            results[place] = work()
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=run, args=each) for each in enumerate(works)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout_s)
    if errors:
        raise errors[0]
    return [results[place] for place in range(len(works))]
