"""
Stand before every route: who asks, from where, and how much.

Strategy
    Bare ASGI, so that streams pass untouched. A page of another site can make a browser ask a server on loopback
    (DNS rebinding), so the `Host` must be one of ours and an `Origin`, where there is one, the same host or allowed.
"""

import hmac
import secrets
from collections.abc import Sequence

from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from streamkeep.errors import Forbidden, StreamkeepError, TooLarge, Unauthorized
from streamkeep.server.errors import describe, error_response
from streamkeep.server.service import REQUEST_ID

MAX_HEADER_BYTES = 32 * 1024
"""Names and values of a request's headers together, in bytes; an SDK sends some 1 KiB."""

LOOPBACK = ("127.0.0.1", "localhost", "::1", "[::1]")
"""Host names of this machine."""

OPEN_PATHS = frozenset({"/", "/healthz", "/readyz", "/docs", "/openapi.json"})
"""Paths that need no key: they show nothing of any stream."""


class Guard:
    """
    Wraps an application.

    Args:
        app: What to guard.
        hosts: Host names that are answered, without ports; empty for all.
        origins: Origins of other sites that may ask.
        keys: Keys one of which a caller must give; empty for none.
        max_body: Largest request body, in bytes.
    """

    def __init__(
        self, app: ASGIApp, *, hosts: Sequence[str], origins: Sequence[str], keys: Sequence[str], max_body: int
    ) -> None:
        self._app = app
        self._hosts = frozenset(host.lower() for host in hosts)
        self._origins = frozenset(origins)
        self._keys = [key.encode() for key in keys]
        self._max_body = max_body

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one ASGI connection."""
        if scope["type"] == "websocket":  # There is no such route, and none must come without a check of its own.
            await send({"type": "websocket.close", "code": 1008})
            return
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        id = scope[REQUEST_ID] = f"req_{secrets.token_hex(12)}"

        async def identified(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], (b"request-id", id.encode())]
            await send(message)

        try:
            self._check(scope)
        except StreamkeepError as error:
            await error_response(Request(scope), describe(error))(scope, receive, identified)
            return
        await self._app(scope, self._limited(receive), identified)

    def _check(self, scope: Scope) -> None:
        headers = Headers(scope=scope)
        if sum(len(name) + len(value) for name, value in headers.raw) > MAX_HEADER_BYTES:
            error = TooLarge(f"The request's headers pass {MAX_HEADER_BYTES} bytes.", code="headers_too_large")
            error.status = 431
            raise error
        host = headers.get("host", "")
        if self._hosts and _name(host) not in self._hosts:
            raise Forbidden(
                "This host name is not one of this server's; add it to allowed_hosts.", code="host_not_allowed"
            )
        origin = headers.get("origin")
        if origin is not None and origin not in self._origins and origin.partition("://")[2] != host:
            raise Forbidden(
                "Pages of this origin may not call this server; add it to allowed_origins.", code="origin_not_allowed"
            )
        length = headers.get("content-length", "0")
        if length.isascii() and length.isdigit() and int(length) > self._max_body:
            raise self._too_large()
        preflight = scope["method"] == "OPTIONS" and origin in self._origins  # carries no key; CORS answers it
        if self._keys and not preflight and not _is_open(scope["path"]):
            self._authorize(headers)

    def _authorize(self, headers: Headers) -> None:
        given = headers.get("x-api-key") or headers.get("authorization", "").removeprefix("Bearer ")
        matches = [hmac.compare_digest(given.encode(), key) for key in self._keys]
        if not any(matches):
            raise Unauthorized("This server needs a key: send it as x-api-key or as Authorization: Bearer.")

    def _limited(self, receive: Receive) -> Receive:
        left = self._max_body

        async def limited() -> Message:
            nonlocal left
            message = await receive()
            left -= len(message.get("body", b""))
            if left < 0:
                raise self._too_large()
            return message

        return limited

    def _too_large(self) -> TooLarge:
        return TooLarge(f"The request's body passes {self._max_body} bytes.", code="body_too_large")


def _is_open(path: str) -> bool:
    return path in OPEN_PATHS or path.startswith("/page/")


def _name(host: str) -> str:
    """Give a `Host` header without its port, in lower case."""
    return (host.partition("]")[0] + "]" if host.startswith("[") else host.partition(":")[0]).lower()
