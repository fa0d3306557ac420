"""Hold what every route needs, and read what every request carries."""

import asyncio
import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import msgspec
from starlette.requests import ClientDisconnect, Request

from streamkeep.errors import BadRequest
from streamkeep.relay import Relay
from streamkeep.server.heart import Heart
from streamkeep.settings import Settings

REQUEST_ID = "streamkeep.request_id"
"""Key in the ASGI scope for this request's id, which stands in every error and in the header `request-id`."""

_NUMBER = re.compile(r"[0-9]{1,18}(?:\.[0-9]{1,18})?", re.ASCII)


class Service:
    """
    One server's parts.

    Args:
        relay: Entered by whoever made it.
        settings: The server's.
    """

    def __init__(self, relay: Relay, settings: Settings) -> None:
        self.relay = relay
        self.settings = settings
        self.heart = Heart(
            heartbeat_s=settings.heartbeat, send_timeout_s=settings.send_timeout, max_readers=settings.max_readers
        )


async def json_object(request: Request) -> dict[str, Any]:
    """
    Read the request's body.

    Raises:
        BadRequest: It is no JSON object.
        TooLarge: It passes the limit.
    """
    try:
        body = await request.body()
        return msgspec.json.decode(body, type=dict[str, Any])
    except ClientDisconnect as error:
        raise BadRequest("The body was broken off.", code="body_incomplete") from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BadRequest("The body must be a JSON object.", code="invalid_json") from error


def vendor_headers(headers: Mapping[str, str]) -> dict[str, str]:
    """Give the caller's headers that are meant for the vendor; the provider decides which of them it takes."""
    return {name.lower(): value for name, value in headers.items() if name.lower().startswith("anthropic-")}


def number(text: str | None, name: str, *, default: float, low: float, high: float) -> float:
    """
    Read a number from a query.

    Raises:
        BadRequest: It is none, or out of bounds.
    """
    if text is None:
        return default
    value = float(text) if _NUMBER.fullmatch(text) else float("nan")
    if not low <= value <= high:
        raise BadRequest(f"{name}: must be a number from {low:g} to {high:g}")
    return value


def flag(text: str | None, name: str, *, default: bool) -> bool:
    """
    Read a yes or no from a query.

    Raises:
        BadRequest: It is neither.
    """
    if text is None:
        return default
    if text not in ("0", "1", "false", "true"):
        raise BadRequest(f"{name}: must be 0 or 1")
    return text in ("1", "true")


@asynccontextmanager
async def while_connected(request: Request) -> AsyncIterator[None]:
    """Run the body until the caller goes away; then it is cancelled, and what the body waits for goes on (I6)."""
    owner = asyncio.current_task()
    assert owner is not None
    gone = False

    async def listen() -> None:
        nonlocal gone
        while (await request.receive())["type"] != "http.disconnect":
            pass
        gone = True
        owner.cancel()

    listener = asyncio.create_task(listen(), name="waiting caller")
    try:
        yield
    except asyncio.CancelledError:
        if not gone:
            raise
        owner.uncancel()
    finally:
        listener.cancel()
