"""Ask an ASGI application without a socket: whole answers, streams that go on, callers that leave or take nothing."""

import asyncio
from collections.abc import Callable
from typing import Any, ClassVar

import msgspec
from starlette.types import ASGIApp, Message

from streamkeep.server.stream_response import EXTENSION

HOST = "127.0.0.1:8000"


class Exchange:
    """
    One request on its way.

    Attributes:
        status: Of the answer, once it began.
        headers: Lower-case names.
        body: What came so far.
        whole: True once the body ended well-formed.
        closed: True once the server closed the connection without that.
        aborted: True once the server dropped the connection with what was not taken.
        pushed: Whether chunks may be written past ASGI, as under our own server.
    """

    pushed: ClassVar[bool] = False

    def __init__(self, app: ASGIApp, method: str, target: str, headers: dict[str, str], parts: list[bytes]) -> None:
        self.status = 0
        self.headers: dict[str, str] = {}
        self.body = b""
        self.whole = False
        self.closed = False
        self.aborted = False
        self._held = b""
        self._writable: Callable[[], None] | None = None
        self._parts = parts
        self._sent = 0
        self._gone = asyncio.Event()
        self._taking = asyncio.Event()
        self._taking.set()
        path, _, query = target.partition("?")
        scope = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": method,
            "scheme": "http",
            "path": path,
            "raw_path": path.encode(),
            "query_string": query.encode(),
            "root_path": "",
            "headers": [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()],
            "client": ("127.0.0.1", 50000),
            "server": ("127.0.0.1", 8000),
            "state": {},
            "extensions": {EXTENSION: self},
        }
        self.task = asyncio.ensure_future(app(scope, self._receive, self._send))

    def leave(self) -> None:
        """Go away."""
        self._gone.set()

    def stall(self) -> None:
        """Take nothing more."""
        self._taking.clear()

    def take_again(self) -> None:
        """Take what was held back, and what comes."""
        self._taking.set()
        self.body += self._held
        self._held = b""
        if self._writable is not None:
            self._writable()

    @property
    def open(self) -> bool:
        """As `server.serving.Line`."""
        return self.pushed and bool(self.status) and not self._gone.is_set()

    def write(self, chunk: bytes) -> bool:
        """As `server.serving.Line`."""
        if self._taking.is_set():
            self.body += chunk
        else:
            self._held += chunk
        return self._taking.is_set()

    def when_writable(self, call: Callable[[], None] | None) -> None:
        """As `server.serving.Line`."""
        self._writable = call

    @property
    def json(self) -> Any:
        """Give the body as JSON."""
        return msgspec.json.decode(self.body)

    async def _receive(self) -> Message:
        if self._sent < len(self._parts):
            self._sent += 1
            more = self._sent < len(self._parts)
            return {"type": "http.request", "body": self._parts[self._sent - 1], "more_body": more}
        await self._gone.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message: Message) -> None:
        taking = asyncio.ensure_future(self._taking.wait())
        gone = asyncio.ensure_future(self._gone.wait())
        await asyncio.wait([taking, gone], return_when=asyncio.FIRST_COMPLETED)
        taking.cancel()
        gone.cancel()
        if self._gone.is_set():
            return
        if message["type"] == "http.response.start":
            self.status = message["status"]
            self.headers = {name.decode().lower(): value.decode("latin-1") for name, value in message["headers"]}
        else:
            self.body += message.get("body", b"")
            self.whole = not message.get("more_body", False)

    def close(self) -> None:
        """As `server.serving.Line`."""
        self.closed = True
        self.leave()

    def abort(self) -> None:
        """As `server.serving.Line`."""
        self.aborted = True
        self.leave()


class Visitor:
    """Asks one application, with the headers that every caller sends."""

    def __init__(self, app: ASGIApp, **headers: str) -> None:
        self.app = app
        self._headers = {"host": HOST, **{name.replace("_", "-"): value for name, value in headers.items()}}

    def begin(
        self,
        method: str,
        target: str,
        json: Any = None,
        *,
        headers: dict[str, str] | None = None,
        parts: list[bytes] | None = None,
    ) -> Exchange:
        """Begin a request whose answer is looked at while it comes."""
        body = parts if parts is not None else [b"" if json is None else msgspec.json.encode(json)]
        return Exchange(self.app, method, target, {**self._headers, **(headers or {})}, body)

    async def ask(self, method: str, target: str, json: Any = None, **how: Any) -> Exchange:
        """Ask, and wait for the whole answer."""
        exchange = self.begin(method, target, json, **how)
        await exchange.task
        return exchange
