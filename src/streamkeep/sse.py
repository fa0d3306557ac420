"""
Turn the bytes of an event stream into messages, and messages into bytes.

Pure: no I/O, no clock.

Strategy
    CR and CRLF become LF, one split cuts a chunk into lines, each line is read as a field. A chunk that begins at
    the beginning of a line and holds no CR skips what there is to mend, never the reading: there is no second
    algorithm to keep equal to the first. A CR at the end of a chunk ends its line at once; a LF that opens the next
    chunk belongs to it and is swallowed.

Laws
    1. Where the input is cut is invisible (I8), in what is returned and in what is refused.
    2. A complete message is returned by the call that completed it, never by a later one.
    3. Time is linear in the bytes fed, whatever their chunks; memory is at most an unfinished line and an
       unfinished message (I10).
    4. Nothing here knows what a message means.

Source
    WHATWG HTML, "Server-sent events", sections 9.2.5 (parsing) and 9.2.6 (interpretation).
"""

import re
from typing import NamedTuple

from streamkeep.errors import IllegalField, LineTooLong, MessageTooLong, SseError

MAX_LINE_BYTES = 8 << 20
"""
Longest accepted line, in bytes, without its line end.

Reason: a provider sends a whole tool call, image or final response as one `data:` line, and base64 makes megabytes
of a picture; beyond that it is an attack or a bug.
"""

MAX_MESSAGE_BYTES = 8 << 20
"""Most data of one message, in bytes as received. Reason: many short lines must not do what one long line may not."""

MAX_RETRY_MS = 2**53 - 1
"""Longest reconnection time, in milliseconds: what a JavaScript number holds exactly. Longer ones are cut to it."""

DEFAULT_EVENT = "message"
"""The type of a message whose stream names none."""

MAX_KNOWN_EVENTS = 256
"""Most `event:` lines the process remembers. Reason: a dialect has a dozen or two; more are not names."""

MAX_KNOWN_EVENT_BYTES = 128
"""Longest `event:` line remembered. Reason: real names have some forty characters."""

_LF, _CR = b"\n\r"
_BOM = b"\xef\xbb\xbf"
_RETRY_DIGITS = len(str(MAX_RETRY_MS)) + 1  # enough to see that a number is greater
_BREAKS_FRAME = re.compile("[\r\n\0\ud800-\udfff]")
_message = tuple.__new__  # what SseMessage() does, at half its cost
_event_lines: dict[bytes, str] = {}


class SseMessage(NamedTuple):
    """One dispatched message."""

    event: str
    """Its type; `message` if the stream named none."""
    data: bytes
    """UTF-8, LF between lines and none at the end; ill-formed sequences are replaced by U+FFFD."""
    id: str
    """The last event id seen so far; empty if none, never with NUL."""


class Decoder:
    """
    An incremental decoder for one response body.

    Args:
        max_line: Bytes; see `MAX_LINE_BYTES`.
        max_message: Bytes; see `MAX_MESSAGE_BYTES`.
    """

    retry: int | None
    """The last reconnection time sent, in milliseconds, at most `MAX_RETRY_MS`; None if none was."""
    last_event_id: str
    """What to send as `Last-Event-ID` on a reconnect; the id of a block that no blank line closed is not in it."""

    def __init__(self, *, max_line: int = MAX_LINE_BYTES, max_message: int = MAX_MESSAGE_BYTES) -> None:
        self.retry = None
        self.last_event_id = ""
        self._max_line = max_line
        self._max_message = max_message
        self._carries = True  # one of the next four is set: the coming chunk cannot be split as it is
        self._failure: SseError | None = None
        self._at_start = True
        self._after_cr = False
        self._line = bytearray()  # not a list of pieces: the same time, and no object for each tiny chunk
        self._event = DEFAULT_EVENT
        self._id = ""
        self._data: bytes | bytearray | None = None

    def feed(self, chunk: bytes) -> list[SseMessage]:
        """
        Take the next piece of the body and return the messages it completed.

        Args:
            chunk: Any split of the body, also inside a UTF-8 sequence or a CRLF; may be empty.

        Returns:
            Messages in stream order. Those completed before a limit was passed are returned; the next call raises,
            so `feed(b"")` at the end of the body tells whether it was refused.

        Raises:
            LineTooLong: A line exceeds `max_line`. The decoder is spent: every later call raises the same error.
            MessageTooLong: The data of one message exceeds `max_message`; likewise.
        """
        if self._carries or _CR in chunk or len(chunk) > self._max_line:
            lines = self._cut(chunk)
        else:
            lines = chunk.split(b"\n")
            if rest := lines.pop():
                self._line += rest
                self._carries = True
        messages = self._read(lines)
        if self._failure is not None and not messages:
            raise self._failure
        return messages

    def _cut(self, chunk: bytes) -> list[bytes]:
        """Cut a chunk into the lines that it ends, minding what earlier chunks left behind."""
        if self._failure is not None:
            raise self._failure
        if chunk and (self._after_cr or _CR in chunk):
            chunk = self._with_lf(chunk)
        lines = chunk.split(b"\n")
        if len(self._line) + len(chunk) > self._max_line:
            lines = self._within_limit(lines)
        rest = lines.pop()
        if lines:
            lines[0] = self._resumed(lines[0])
        self._line += rest
        self._carries = self._at_start or self._after_cr or bool(self._line) or self._failure is not None
        return lines

    def _with_lf(self, chunk: bytes) -> bytes:
        """Make every line end in a chunk an LF; the LF of a CRLF that was cut in two is dropped."""
        if self._after_cr:
            chunk = chunk.removeprefix(b"\n")
        self._after_cr = chunk.endswith(b"\r")
        return chunk.replace(b"\r\n", b"\n").replace(b"\r", b"\n")

    def _within_limit(self, lines: list[bytes]) -> list[bytes]:
        """Give the lines before the first that is too long, finished or not, and an empty one in its place."""
        begun = len(self._line)
        for index, line in enumerate(lines):
            if begun + len(line) > self._max_line:
                self._failure = LineTooLong(
                    f"The event stream holds a line of more than {self._max_line} bytes. "
                    "The sender is at fault, or the limit is too low for what it sends."
                )
                return [*lines[:index], b""]
            begun = 0
        return lines

    def _resumed(self, end: bytes) -> bytes:
        """Complete the line that earlier chunks began; the very first loses its byte order mark."""
        self._line += end
        line = bytes(self._line)
        self._line.clear()
        if self._at_start:
            self._at_start = False
            return line.removeprefix(_BOM)
        return line

    def _read(self, lines: list[bytes]) -> list[SseMessage]:
        """Read lines as fields and give the messages that blank ones complete."""
        messages: list[SseMessage] = []
        data = self._data
        for line in lines:
            if not line:
                self.last_event_id = self._id
                if data is not None:  # WHATWG 9.2.6: an empty data buffer dispatches nothing.
                    if not data.isascii() or type(data) is bytearray:
                        data = _well_formed(data)
                    messages.append(_message(SseMessage, (self._event, data, self._id)))
                    data = None
                self._event = DEFAULT_EVENT
                continue
            if line[:6] == b"data: ":
                value = line[6:]
            elif line in _event_lines:
                self._event = _event_lines[line]
                continue
            elif (given := self._field(line)) is not None:
                value = given
            else:
                continue
            data = value if data is None else _joined(data, value)
            if len(data) > self._max_message:
                self._failure = self._too_long()
                self._carries = True
                break
        self._data = data
        return messages

    def _field(self, line: bytes) -> bytes | None:
        """Take in one line; the value of a `data` field is given back."""
        name, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if name == b"data":
            return value
        if name == b"event":
            self._event = _event(line, value)
        elif name == b"id" and 0 not in value:
            self._id = value.decode("utf-8", "replace")
        elif name == b"retry" and value.isdigit():
            self.retry = min(int(value.lstrip(b"0")[:_RETRY_DIGITS] or b"0"), MAX_RETRY_MS)
        return None

    def _too_long(self) -> MessageTooLong:
        return MessageTooLong(
            f"The event stream holds a message of more than {self._max_message} bytes. "
            "The sender is at fault, or the limit is too low for what it sends."
        )


def _joined(data: bytes | bytearray, value: bytes) -> bytearray:
    """Add one line to the data of a message."""
    grown = data if isinstance(data, bytearray) else bytearray(data)
    grown += b"\n"
    grown += value
    return grown


def _event(line: bytes, value: bytes) -> str:
    """Read an event's name, and remember its line: the same dozen come again and again."""
    name = value.decode("utf-8", "replace") or DEFAULT_EVENT
    if len(_event_lines) < MAX_KNOWN_EVENTS and len(line) <= MAX_KNOWN_EVENT_BYTES:
        _event_lines[line] = name
    return name


def _well_formed(data: bytes | bytearray) -> bytes:
    try:
        data.decode()
    except UnicodeDecodeError:
        return data.decode("utf-8", "replace").encode()
    return bytes(data)


def encode(data: bytes, *, event: str | None = None, id: str | None = None) -> bytes:
    """
    Give one message as bytes.

    Args:
        data: UTF-8. Each line of it takes a `data:` line, so a CR or CRLF in it arrives as LF.
        event: Its type; None leaves it to the reader's default, `message`.
        id: Its id; None leaves the one before in force, `""` resets it.

    Raises:
        IllegalField: `event` or `id` cannot be sent.
    """
    head = b"" if id is None else b"id: %b\n" % _sendable("id", id)
    if event is not None:
        head += b"event: %b\n" % _sendable("event", event)
    if _LF in data or _CR in data:
        data = data.replace(b"\r\n", b"\n").replace(b"\r", b"\n").replace(b"\n", b"\ndata: ")
    return b"%bdata: %b\n\n" % (head, data)


def comment(text: str) -> bytes:
    """
    Give a comment, which readers ignore and proxies take for life.

    It is a line and no message: a blank line after it would make some readers, the official OpenAI SDK among
    them, dispatch an empty one.

    Args:
        text: Each line of it becomes a comment of its own.
    """
    lines = text.encode("utf-8", "replace").replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n")
    return b"".join(b": %b\n" % line for line in lines)


def retry(ms: int) -> bytes:
    """
    Give the line that tells a reader how long to wait before it connects again; a line, as `comment`.

    Args:
        ms: Milliseconds, from 0.

    Raises:
        IllegalField: It is negative or more than `MAX_RETRY_MS`.
    """
    if not 0 <= ms <= MAX_RETRY_MS:
        raise IllegalField(f"A reconnection time of {ms} ms cannot be sent; it goes from 0 to {MAX_RETRY_MS}.")
    return b"retry: %d\n" % ms


def _sendable(field: str, value: str) -> bytes:
    """Give a field's value as bytes."""
    if value.isprintable() or not _BREAKS_FRAME.search(value):
        return value.encode()
    raise IllegalField(f"The {field} of a message must not hold CR, LF, NUL or a lone surrogate; take it out.")
