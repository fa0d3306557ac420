"""
Turn what a server answers instead of what was asked into an error of our tree.

Pure: no I/O, no clock.
"""

from collections.abc import Iterator, Mapping

import msgspec

from streamkeep.client.reconnect import RETRIED
from streamkeep.errors import (
    BadRequest,
    CallerError,
    CursorError,
    Forbidden,
    Overloaded,
    StreamkeepError,
    TooLarge,
    Unauthorized,
)

MAX_TEXT = 500
"""Characters of a server's text that are shown: ours have some 200."""


class _Error(msgspec.Struct):
    message: str = ""
    code: str = ""
    cursor: str = ""


class _Body(msgspec.Struct):
    error: _Error


def refusal(status: int, headers: Mapping[str, str], body: bytes) -> StreamkeepError:
    """
    Make the error that a server's refusal stands for.

    Args:
        status: Its HTTP status.
        headers: Its headers.
        body: Its body, ours or a proxy's.

    Returns:
        The class that has the refusal's `code`, else the one nearest to its status.
    """
    try:
        told = msgspec.json.decode(body, type=_Body).error
    except msgspec.DecodeError:
        told = _Error()
    text = told.message[:MAX_TEXT] or f"The server answered {status} without saying why. Is it a Streamkeep server?"
    error = _make(told, status, text)
    error.status = status
    error.retryable = status in RETRIED
    error.retry_after = _seconds(headers.get("retry-after", ""))
    return error


def _make(told: _Error, status: int, text: str) -> StreamkeepError:
    known = {kind.code: kind for kind in _kinds(StreamkeepError)}.get(told.code)
    if told.code.startswith("cursor_") and known is not None and issubclass(known, CursorError):
        return known(text, head=told.cursor)
    kind = known if known is not None and issubclass(known, CallerError) else _by_status(status)
    return kind(text, code=told.code or None)


def _kinds(root: type[StreamkeepError]) -> Iterator[type[StreamkeepError]]:
    for kind in root.__subclasses__():
        yield kind
        yield from _kinds(kind)


def _by_status(status: int) -> type[StreamkeepError]:
    nearest: dict[int, type[StreamkeepError]] = {
        401: Unauthorized,
        403: Forbidden,
        413: TooLarge,
        400: BadRequest,
        422: BadRequest,
        503: Overloaded,
    }
    return nearest.get(status) or (CallerError if 400 <= status < 500 else StreamkeepError)


def _seconds(text: str) -> float | None:
    """Read a `Retry-After` of seconds; a date in it, which our server never sends, is taken for none."""
    return float(text) if text.isascii() and text.isdigit() else None
