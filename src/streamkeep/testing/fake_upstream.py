"""
Play a model's API that does just what a script says: bytes cut as you like, pauses, resets, silence.

Strategy
    An HTTP server on a loopback socket that shares no code with the one it is read by. It answers its requests with
    the given `Answer`s in turn, the last one again and again, and keeps what was asked and when the asker hung up.

Example:
    async with FakeUpstream(Answer([first_half, Fault.RESET]), Answer([whole])) as upstream:
        ...  # ask upstream.base_url, then look at upstream.requests
"""

import asyncio
import socket
import struct
from collections.abc import Sequence
from enum import Enum
from types import TracebackType
from typing import Self

MAX_HEAD_BYTES = 64 * 1024
"""Largest request head that is read, in bytes."""


class Fault(Enum):
    """How an answer can go wrong."""

    RESET = "reset"
    """The connection is reset (RST); what was sent and not yet read may be lost."""
    CUT = "cut"
    """The connection ends (FIN) without the body's own end."""
    HANG = "hang"
    """Nothing more comes until the asker hangs up."""


Step = bytes | asyncio.Event | Fault
"""What happens next in an answer: bytes are sent as one piece, an event is waited for, a fault ends it."""


class Answer:
    """
    One response.

    Args:
        steps: Its body, piece by piece. After the last one the body ends properly.
        status: Its HTTP status.
        headers: Further headers, and others in place of `content-type: text/event-stream`.
        framed: Send the body in chunks; if not, it ends with the connection.
        head: Steps before the status line.
    """

    def __init__(
        self,
        steps: Sequence[Step] = (),
        *,
        status: int = 200,
        headers: dict[str, str] | None = None,
        framed: bool = True,
        head: Sequence[Step] = (),
    ) -> None:
        self.steps = list(steps)
        self.status = status
        self.headers = {"content-type": "text/event-stream", **(headers or {})}
        self.framed = framed
        self.head = list(head)


class Request:
    """
    One request that came.

    Attributes:
        method: Such as `POST`.
        path: With its query.
        headers: Lower-case names.
        body: Its bytes.
        abandoned: True if the asker hung up before the answer had ended.
        finished: Set when the answer has ended, one way or the other.
    """

    def __init__(self, method: str, path: str, headers: dict[str, str], body: bytes) -> None:
        self.method = method
        self.path = path
        self.headers = headers
        self.body = body
        self.abandoned = False
        self.finished = asyncio.Event()


class FakeUpstream:
    """
    The server. Use as an async context manager.

    Args:
        *answers: In the order of the requests.

    Attributes:
        base_url: Where it listens.
        requests: What was asked, in order.
        connections: How many were opened.
    """

    def __init__(self, *answers: Answer) -> None:
        self.base_url = ""
        self.requests: list[Request] = []
        self.connections = 0
        self._answers = answers or (Answer(),)
        self._server: asyncio.Server | None = None
        self._serving: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        """Listen on a free port."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, limit=MAX_HEAD_BYTES)
        host, port = self._server.sockets[0].getsockname()
        self.base_url = f"http://{host}:{port}"
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close everything."""
        if self._server is not None:
            self._server.close()
        for task in self._serving:
            task.cancel()
        await asyncio.gather(*self._serving, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        task = asyncio.current_task()
        assert task is not None
        self._serving.add(task)
        try:
            while request := await _read_request(reader):
                answer = self._answers[min(len(self.requests), len(self._answers) - 1)]
                self.requests.append(request)
                if not await _Reply(reader, writer, request).give(answer):
                    break
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            writer.close()
            self._serving.discard(task)


class _Reply:
    """One answer on its way."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, request: Request) -> None:
        self._reader = reader
        self._writer = writer
        self._request = request

    async def give(self, answer: Answer) -> bool:
        """Send it all; tell whether the connection can take another request."""
        gone = asyncio.create_task(self._reader.read(1))
        playing = asyncio.create_task(self._play(answer))
        try:
            await asyncio.wait([gone, playing], return_when=asyncio.FIRST_COMPLETED)
            self._request.abandoned = not playing.done()
            return playing.done() and playing.result()
        finally:
            for task in (gone, playing):
                task.cancel()
            await asyncio.gather(gone, playing, return_exceptions=True)
            self._request.finished.set()

    async def _play(self, answer: Answer) -> bool:
        for step in answer.head:
            if not await self._do(step, framed=False):
                return False
        framing = {"transfer-encoding": "chunked"} if answer.framed else {"connection": "close"}
        head = "".join(f"{name}: {value}\r\n" for name, value in {**answer.headers, **framing}.items())
        self._writer.write(f"HTTP/1.1 {answer.status} Scripted\r\n{head}\r\n".encode("latin-1"))
        for step in answer.steps:
            if not await self._do(step, framed=answer.framed):
                return False
        if answer.framed:
            self._writer.write(b"0\r\n\r\n")
        await self._writer.drain()
        return answer.framed

    async def _do(self, step: Step, *, framed: bool) -> bool:
        if isinstance(step, bytes):
            self._writer.write(b"%x\r\n%b\r\n" % (len(step), step) if framed and step else step)
            await self._writer.drain()
        elif isinstance(step, asyncio.Event):
            await step.wait()
        elif step is Fault.HANG:
            await asyncio.get_running_loop().create_future()
        else:
            if step is Fault.RESET:
                linger = struct.pack("ii", 1, 0)
                self._writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            return False
        return True


async def _read_request(reader: asyncio.StreamReader) -> Request | None:
    try:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    except asyncio.IncompleteReadError:
        return None
    first, *lines = head.rstrip("\r\n").split("\r\n")
    method, path, _ = first.split(" ", 2)
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    body = await reader.readexactly(int(headers.get("content-length", "0")))
    return Request(method, path, headers, body)
